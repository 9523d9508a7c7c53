"""Damaged files, made from valid ones; each follows from a seed, a format and a number alone."""

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

import numpy as np

from soak.pictures import SIZE, valid_files

_HOSTILE = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF)
_HOSTILE_LARGE = (0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
_LONGEST = 2_000_000
"""Bytes that a segment is multiplied to."""
_PNG = b"\x89PNG\r\n\x1a\n"
_BOXES = (b"ftyp", b"jP  ")

ByteOrder = Literal["big", "little"]
Bytes = bytearray
Random = np.random.Generator


def mutant(format_: str, seed: int, number: int) -> bytes:
    """One damaged file: a valid one with one to four changes.

    Parameters
    ----------
    format_ : str
        One of :data:`featuremill.images.decode.FORMATS`.
    seed, number : int
        The same two give the same file.
    """
    random = np.random.default_rng([seed, zlib.crc32(format_.encode()), number])
    files = _files(format_)
    data = Bytes(files[random.integers(len(files))])
    for _ in range(random.integers(1, 5)):
        change = _CHANGES[random.integers(len(_CHANGES))]
        data = change(data, random, files)
    if data.startswith(_PNG) and random.random() < 0.8:
        _seal_png(data)
    return bytes(data)


@cache
def _files(format_: str) -> list[bytes]:
    return valid_files(format_)


def _flip_bits(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    for at in _places(data, random, 1, 17):
        data[at] ^= 1 << int(random.integers(8))
    return data


def _set_bytes(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    for at in _places(data, random, 1, 9):
        data[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, int(random.integers(256))]))
    return data


def _truncate(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    return data[: random.integers(len(data) + 1)]


def _splice(data: Bytes, random: Random, files: list[bytes]) -> Bytes:
    """The beginning of this file, the end of another one of its format."""
    other = files[random.integers(len(files))]
    share = random.random()
    return data[: int(share * len(data))] + other[int(share * len(other)) :]


def _move(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    """Put a piece somewhere else, over what is there or between."""
    start, end = _piece(data, random)
    at = int(random.integers(len(data) + 1))
    over = (end - start) * int(random.integers(2))
    return data[:at] + data[start:end] + data[at + over :]


def _remove(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    start, end = _piece(data, random)
    return data[:start] + data[end:]


def _change_number(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    """Overwrite what may be a length, an offset or a count near the beginning."""
    width = int(random.choice([1, 2, 4, 8]))
    head = max(1, min(len(data), int(random.choice([32, 128, 1024]))))
    return _write(data, int(random.integers(head)), width, random)


def _change_size(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    """Overwrite one of the places that look like the picture's width or height."""
    places = [
        (at, width)
        for side in SIZE
        for width in (2, 4)
        for order in ("big", "little")
        for at in _occurrences(data, side.to_bytes(width, order))
    ]
    if not places:
        return data
    at, width = places[random.integers(len(places))]
    return _write(data, at, width, random)


def _change_segment(data: Bytes, random: Random, _: list[bytes]) -> Bytes:
    """Multiply, drop, swap or misstate the length of a segment, chunk or box."""
    segments = list(_segments(data))
    if len(segments) < 2:
        return data
    start, length_at, length_bytes, end = segments[random.integers(len(segments))]
    kind = random.integers(4)
    if kind == 0:
        times = min(int(random.choice([1, 2, 50, 20_000])), _LONGEST // (end - start) + 1)
        return data[:end] + data[start:end] * times + data[end:]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        other = segments[random.integers(len(segments))]
        return data[:end] + data[other[0] : other[3]] + data[end:]
    return _write(data, length_at, length_bytes, random)


_CHANGES: tuple[Callable[[Bytes, Random, list[bytes]], Bytes], ...] = (
    *(_flip_bits, _set_bytes, _truncate, _splice, _move, _remove),
    *(_change_number, _change_size, _change_size, _change_segment, _change_segment),
)


def _places(data: Bytes, random: Random, least: int, most: int) -> list[int]:
    """A few positions, half of the time among the first ones, where headers are."""
    if not data:
        return []
    end = len(data) if random.random() < 0.5 else min(len(data), 200)
    return [int(at) for at in random.integers(end, size=random.integers(least, most))]


def _piece(data: Bytes, random: Random) -> tuple[int, int]:
    start = int(random.integers(len(data) + 1))
    longest = int(random.choice([4, 64, 1024, len(data)]))
    return start, min(len(data), start + int(random.integers(longest + 1)))


def _write(data: Bytes, at: int, width: int, random: Random) -> Bytes:
    order: ByteOrder = "big" if random.random() < 0.5 else "little"
    was = int.from_bytes(data[at : at + width], order)
    near = was + int(random.integers(-3, 4))
    choices = [near, was * 2, was * 1000, *_HOSTILE, *_HOSTILE_LARGE, int(random.integers(2**32))]
    value = choices[random.integers(len(choices))] % 2 ** (8 * width)
    data[at : at + width] = value.to_bytes(width, order)
    return data


def _occurrences(data: Bytes, wanted: bytes) -> Iterator[int]:
    at = data.find(wanted)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1)


def _segments(data: Bytes) -> Iterator[tuple[int, int, int, int]]:
    """Start, position and bytes of the length, and end of each segment, as far as it is one."""
    if data.startswith(_PNG):
        yield from _walk(data, 8, length_at=0, head=12, order="big")
    elif data.startswith(b"RIFF"):
        yield from _walk(data, 12, length_at=4, head=8, order="little")
    elif data.startswith(b"icns"):
        yield from _walk(data, 8, length_at=4, head=0, order="big")
    elif data[4:8] in _BOXES:
        yield from _walk(data, 0, length_at=0, head=0, order="big")
    elif data.startswith(b"\xff\xd8"):
        yield from _jpeg_segments(data)


def _walk(
    data: Bytes, at: int, *, length_at: int, head: int, order: ByteOrder
) -> Iterator[tuple[int, int, int, int]]:
    """Segments with a length of four bytes, which does not count ``head`` bytes."""
    while at + 8 <= len(data):
        place = at + length_at
        length = int.from_bytes(data[place : place + 4], order)
        end = at + max(8, head + length)
        if end > len(data):
            return
        yield at, place, 4, end
        at = end


def _jpeg_segments(data: Bytes) -> Iterator[tuple[int, int, int, int]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield at, at + 2, 2, min(end, len(data))
        at = end


def _seal_png(data: Bytes) -> None:
    """Bring the checksums of a PNG in order, so that a decoder looks at what they guard."""
    for start, _, _, end in list(_walk(data, 8, length_at=0, head=12, order="big")):
        data[end - 4 : end] = zlib.crc32(data[start + 4 : end - 4]).to_bytes(4, "big")
