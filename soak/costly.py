"""Small files that would cost far more than they weigh, of every format that knows a way to.

Nothing in them is damaged. What they have too many of is counted nowhere among bytes and pixels:
segments, scans, tiles, strips, entries of a directory.
"""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from soak.pictures import picture, valid_files

_EXIF = b"Exif\0\0"


def costly_files() -> dict[str, bytes]:
    """Each of them by its name."""
    return {name: make() for name, make in COSTLY.items()}


def _saved(format_: str, image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def _segments(marker: int, body: bytes, count: int) -> bytes:
    jpeg = valid_files("JPEG")[0]
    segment = struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body
    return jpeg[:2] + segment * count + jpeg[2:]


def _empty_segments(count: int) -> bytes:
    """Behind one that makes Pillow look for EXIF."""
    jpeg = _segments(0xE1, _EXIF, 1)
    return jpeg[:12] + b"\xff\xef\0\2" * count + jpeg[12:]


def _scans(count: int, side: int) -> bytes:
    """A progressive JPEG of one colour that refines nothing, again and again."""
    jpeg = _saved("JPEG", Image.new("L", (side, side), 128), progressive=True, quality=50)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:]


def _jpeg2000(side: int, **options: Any) -> bytes:
    return _saved("JPEG2000", Image.new("RGB", (side, side)), **options)


def _jpeg2000_in_icns(side: int) -> bytes:
    inner = _jpeg2000(side, tile_size=(2, 1), num_resolutions=1)
    return b"icns" + struct.pack(">I4sI", 16 + len(inner), b"ic08", 8 + len(inner)) + inner


def _boxes(count: int) -> bytes:
    whole = valid_files("JPEG2000")[0]
    return whole[:12] + (struct.pack(">I", 8) + b"free") * count + whole[12:]


def tiff(fields: list[tuple[int, int, int, int]], rest: bytes) -> bytes:
    """A little-endian TIFF of one directory, then ``rest``; fields: tag, type, count, value."""
    packed = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + (struct.pack("<HH", value, 0) if kind == 3 and count == 1 else struct.pack("<I", value))
        for tag, kind, count, value in sorted(fields)
    )
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + packed + bytes(4) + rest


def _strips(count: int) -> bytes:
    fields = [(256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(277, 3, 1, 1), (278, 4, 1, 1)]
    at = 14 + 12 * (len(fields) + 2)
    fields += [(273, 4, count, at), (279, 4, count, at + 4 * count)]
    offsets = struct.pack("<I", at + 8 * count) * count
    return tiff(fields, offsets + struct.pack("<I", 1) * count + b"\x80")


def _directory(count: int) -> bytes:
    """A BigTIFF whose directory has entries upon entries of a tag that nobody knows."""
    entry = struct.pack("<HHQQ", 0xC000, 4, 1, 0)
    return b"II\x2b\0" + struct.pack("<HHQQ", 8, 0, 16, count) + entry * count + bytes(8)


def _chunks(kind: bytes, body: bytes, count: int) -> bytes:
    png = valid_files("PNG")[0]
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk * count + png[33:]


def _icons(count: int) -> bytes:
    png = _saved("PNG", picture().resize((8, 8)))
    entry = struct.pack("<BBBBHHLL", 8, 8, 0, 0, 1, 32, len(png), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + png


def _blocks(count: int) -> bytes:
    return b"icns" + struct.pack(">I", 8 + 8 * count) + struct.pack(">4sI", b"zzzz", 8) * count


def _resources(count: int) -> bytes:
    psd = valid_files("PSD")[0]
    body = struct.pack(">4sHHI", b"8BIM", 1, 0, 0) * count
    return psd[:30] + struct.pack(">I", len(body)) + body + psd[34:]


def _frames(count: int) -> bytes:
    gif = _saved("GIF", Image.new("P", (2, 2)))
    first = gif.index(b",")
    return gif[:first] + gif[first:-1] * count + b";"


def _comments(count: int) -> bytes:
    gif = _saved("GIF", Image.new("P", (2, 2)))
    first = gif.index(b",")
    return gif[:first] + b"\x21\xfe\x01A\0" * count + gif[first:]


def _colours(count: int) -> bytes:
    rows = [f'"{number:05d} c #{number:06x}"' for number in range(count)]
    rows += ['"' + 8 * "00000" + '"'] * 8
    head = f'/* XPM */\nstatic char *a[] = {{\n"8 8 {count} 5",\n'
    return (head + ",\n".join(rows) + "};\n").encode()


COSTLY: dict[str, Callable[[], bytes]] = {
    "JPEG of 66,000 EXIF segments": lambda: _segments(0xE1, _EXIF + bytes(24), 66_000),
    "JPEG of 66,000 comments": lambda: _segments(0xFE, b"no", 66_000),
    "JPEG of 3 million empty segments": lambda: _empty_segments(3_000_000),
    "JPEG of 3,000 scans": lambda: _scans(3_000, 4_000),
    "JPEG 2000 of 62,500 tiles": lambda: _jpeg2000(250, tile_size=(1, 1), num_resolutions=1),
    "JPEG 2000 of a million code blocks": lambda: _jpeg2000(2_000, codeblock_size=(4, 4)),
    "JPEG 2000 of 187,500 precincts": lambda: _jpeg2000(
        1_000, precinct_size=(4, 4), codeblock_size=(4, 4), num_resolutions=1
    ),
    "ICNS of a JPEG 2000 of 32,768 tiles": lambda: _jpeg2000_in_icns(256),
    "JPEG 2000 of a million boxes": lambda: _boxes(1_000_000),
    "TIFF of a million strips": lambda: _strips(1_000_000),
    "TIFF of a million entries": lambda: _directory(1_000_000),
    "PNG of a million chunks": lambda: _chunks(b"aaAa", b"", 1_000_000),
    "PNG of a million texts": lambda: _chunks(b"tEXt", b"a\0", 1_000_000),
    "icon of 60,000 sizes": lambda: _icons(60_000),
    "ICNS of a million blocks": lambda: _blocks(1_000_000),
    "PSD of a million resources": lambda: _resources(1_000_000),
    "GIF of 500,000 frames": lambda: _frames(500_000),
    "GIF of a million comments": lambda: _comments(1_000_000),
    "XPM of 500,000 colours": lambda: _colours(500_000),
}
