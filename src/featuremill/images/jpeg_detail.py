"""Estimates the fine detail of a JPEG from samples of its data, before it is decoded.

Decoding at 1/2, 1/4 or 1/8 averages 2, 4 or 8 pixels. What swings nearly as fast as averages are
taken comes out as slow waves that the picture does not have (moire), and the smaller picture does
not show which waves are its own. The file's DCT coefficients do. Reading them all would take half
of a decoder's time; samples take a hundredth. A sample may begin anywhere, since Huffman codes
find back to their words and blocks within some dozens of blocks (Klein & Wiseman, "Parallel Huffman
Decoding with Applications to JPEG Files", The Computer Journal 46(5), 2003).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from featuremill.images.resize import Integers, compiled

_SAMPLES = 16
_SAMPLE_BYTES = 1024
_UNSURE_BYTES = 512
"""Of a sample: read to find the blocks, not counted."""
_ENOUGH = 6
"""Nothing is known where fewer samples could be read."""
_MOST_SEGMENTS = 1000
_OUTLIERS = 2
"""So many samples may be from behind the picture, where phones put previews and gain maps."""
_FIRST_COLUMN = {2: 6, 4: 3, 8: 1}
"""By the part decoded, the slowest of a block's eight waves that comes out as a slower one."""
_ZIGZAG = np.array(
    sorted(range(64), key=lambda i: (sum(divmod(i, 8)), i % 8 if sum(divmod(i, 8)) % 2 == 0 else i))
)
"""Position in a block, row by row, of each coefficient in the order of the file."""
_LONG = 1 << 16

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint16]


class _Scan(NamedTuple):
    """What is needed to read the coefficients: tables by component, components by block."""

    start: int
    blocks: Integers
    dc: Codes  # (components, 65792): code length and symbol by the next 16 bits, or by 8
    ac: Codes
    steps: Integers  # (components, 64), of the quantisation


class Detail(NamedTuple):
    """Contrasts as root mean squares, in levels of 0...255: the third largest of 16 samples.

    ``lost`` is, for 2, 4 and 8, that of waves which decoding at 1/2, 1/4 or 1/8 cannot tell from
    slower ones. ``regular`` is that of fine waves which alone fill their part of the picture, as
    in cloth, meshes and gratings: they vanish at the network's size, where of an even gray each
    level of rounding counts.
    """

    lost: dict[int, float]
    regular: float


def fine_detail(jpeg: bytes) -> Detail | None:
    """Sample a JPEG's coefficients.

    Parameters
    ----------
    jpeg : bytes
        A JPEG whose header is sound.

    Returns
    -------
    Detail or None
        None where it cannot be told, as for progressive JPEGs.
    """
    try:
        scan = _scan(jpeg)
    except (IndexError, KeyError, ValueError):
        return None
    if scan is None:
        return None
    last = max(scan.start, len(jpeg) - _SAMPLE_BYTES)
    starts = np.linspace(scan.start, last, _SAMPLES, dtype=np.int64)
    squares = np.zeros((_SAMPLES, len(scan.steps), 64))
    counts = np.zeros(squares.shape[:2])
    data = np.frombuffer(jpeg, np.uint8)
    _read(data, starts, scan.blocks, scan.dc, scan.ac, squares, counts)
    read = counts.min(axis=1) > 0
    if read.sum() < _ENOUGH:
        return None
    mean = squares[read] / counts[read][:, :, None] * (scan.steps / 8.0) ** 2
    power = np.empty_like(mean)
    power[:, :, _ZIGZAG] = mean
    power = power.reshape(*power.shape[:2], 8, 8)  # (samples, components, rows, columns)
    lost = {part: _contrast(power, first) for part, first in _FIRST_COLUMN.items()}
    return Detail(lost, _regular(power))


def _contrast(power: Floats, first: int) -> float:
    """Contrast of waves along one axis that hardly change along the other: these come out slow."""
    along_x, along_y = power[..., :2, first:].sum((2, 3)), power[..., first:, :2].sum((2, 3))
    return _largest(np.sqrt(np.maximum(along_x, along_y)))


def _regular(power: Floats) -> float:
    """Contrast of fine waves in samples whose blocks are far more alike than their pixels."""
    light = power[:, :1]
    fine = np.sqrt(light[..., 3:, :].sum((2, 3)) + light[..., :3, 3:].sum((2, 3)))
    coarse = np.sqrt(light[..., 0, 0])  # how the means of blocks differ
    return _largest(np.where(coarse < fine / 2, fine, 0.0))


def _largest(contrasts: Floats) -> float:
    """The largest contrast of all samples and components, but for outliers."""
    return float(np.sort(contrasts.max(axis=1))[-1 - _OUTLIERS])


def _scan(jpeg: bytes) -> _Scan | None:
    """Read the header's segments up to the pixels, or None if they are not in one baseline scan."""
    steps: dict[int, Integers] = {}
    codes: dict[int, bytes] = {}
    components: dict[int, tuple[int, int]] = {}
    at = 2
    for _ in range(_MOST_SEGMENTS):
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        content = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            steps |= _quantisation(content)
        elif marker == 0xC4:
            codes |= _huffman(content)
        elif marker in (0xC0, 0xC1):
            for name, sampling, table in zip(*(content[6 + i :: 3] for i in range(3)), strict=True):
                components[name] = (table, (sampling >> 4) * (sampling & 15))
        elif marker == 0xDA:
            break
    chosen = dict(zip(content[1::2], content[2::2], strict=False))
    blocks = _order([count for _, count in components.values()])
    if marker != 0xDA or content[0] != len(components) or len(blocks) == 0:
        return None
    return _Scan(
        start=at,
        blocks=blocks,
        dc=_lookups(tuple(codes[chosen[name] >> 4] for name in components)),
        ac=_lookups(tuple(codes[0x10 | chosen[name] & 15] for name in components)),
        steps=np.array([steps[table] for table, _ in components.values()]),
    )


def _order(counts: list[int]) -> Integers:
    """Component of each block of an MCU; a component alone has one block in it."""
    counts = [1] if len(counts) == 1 else counts
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def _quantisation(content: bytes) -> dict[int, Integers]:
    tables = {}
    while content:
        size = 128 if content[0] >> 4 else 64
        kind = ">u2" if size == 128 else "u1"
        tables[content[0] & 15] = np.frombuffer(content[1 : 1 + size], kind).astype(np.int32)
        content = content[1 + size :]
    return tables


def _huffman(content: bytes) -> dict[int, bytes]:
    tables = {}
    while content:
        size = 17 + sum(content[1:17])
        tables[content[0]] = content[1:size]
        content = content[size:]
    return tables


@lru_cache(16)
def _lookups(tables: tuple[bytes, ...]) -> Codes:
    """256 times the length of the code that 16 bits begin with, plus its symbol; else 0.

    Behind these the same by 8 bits, 0 where a code is longer: what is small stays in the cache.
    """
    lookups = np.zeros((len(tables), _LONG + 256), np.uint16)
    for lookup, table in zip(lookups, tables, strict=True):
        lengths = np.repeat(np.arange(1, 17), list(table[:16]))
        words = (lengths << 8) + np.frombuffer(table[16:], np.uint8)
        filled = np.repeat(words, 1 << (16 - lengths))
        lookup[:_LONG][: len(filled)] = filled
        short = lookup[:_LONG:256]
        lookup[_LONG:] = np.where(short >> 8 <= 8, short, 0)
    return lookups


@compiled
def _read(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    blocks: Integers,
    dc: Codes,
    ac: Codes,
    squares: Floats,
    counts: Floats,
) -> None:
    """Sum the squares of the coefficients of each sample, and count its blocks.

    In place of the first coefficient stands how far it is from its mean over the sample.

    A sample whose second half holds an impossible code has not found its blocks: its counts are 0.
    """
    for sample in range(len(starts)):
        at, bits, held, block, k = starts[sample], np.uint64(0), 0, 0, 0
        sure = at + _UNSURE_BYTES
        end = min(at + _SAMPLE_BYTES, len(data) - 1)
        level, total = np.zeros((2, counts.shape[1]))
        while at < end:
            while held <= 40 and at < end:
                byte = data[at]
                at += 1
                if byte == 0xFF:
                    after = data[at]
                    at += 1
                    if 0xD0 <= after <= 0xD7:  # a restart: an MCU begins
                        bits, held, block, k = np.uint64(0), 0, 0, 0
                        continue
                    if after != 0:  # the end
                        end = at
                        break
                bits = (bits << np.uint64(8)) | np.uint64(byte)
                held += 8
            if held <= 40:
                break
            component = blocks[block]
            peek = np.int64((bits >> np.uint64(held - 16)) & np.uint64(0xFFFF))
            codes = dc[component] if k == 0 else ac[component]
            word = int(codes[_LONG + (peek >> 8)])
            if word == 0:
                word = int(codes[peek])
            size, run = word & 15, (word >> 4) & 15
            at_end = k > 0 and size == 0 and run < 15
            bad = word == 0 or k + run > 63 or (k == 0 and run > 0)
            if bad:
                if at >= sure:
                    counts[sample, :] = 0
                    break
                held, block, k = held - 1, 0, 0
                continue
            held -= word >> 8
            k += run
            if size > 0:
                value = int((bits >> np.uint64(held - size)) & np.uint64((1 << size) - 1))
                held -= size
                if at >= sure:
                    if value < 1 << (size - 1):
                        value -= (1 << size) - 1
                    if k == 0:
                        level[component] += value
                    else:
                        squares[sample, component, k] += value * value
            k += 1
            if at_end or k > 63:
                if at >= sure:
                    counts[sample, component] += 1
                    total[component] += level[component]
                    squares[sample, component, 0] += level[component] ** 2
                block, k = (block + 1) % len(blocks), 0
        squares[sample, :, 0] -= total**2 / np.maximum(1, counts[sample])
