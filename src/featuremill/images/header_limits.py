"""Rejects images whose headers announce too many parts, such as tiles, strips or scans.

A few kilobytes can say that a picture has a million tiles, strips or scans, and its decoder takes
memory or time for each. An honest picture has some dozens; each bound is far beyond that. It is
held before any decoder sees the bytes; whatever else they may do is bounded by the memory and
the time of :mod:`featuremill.images.sandbox`.
"""

import re
import struct

from featuremill.errors import ImageRejected
from featuremill.images.tiff_tags import (
    HEIGHT,
    STRIPS,
    WIDTH,
    Tag,
    count_of_entries,
    is_tiff,
    read_tags,
)

MOST_SEGMENTS = 10_000
"""Segments of a JPEG before its pixels. Pillow joins EXIF segments, in the square of their number;
the longest colour profile has 255."""
MOST_SCANS = 100
"""Scans of a JPEG, each of which visits every pixel; encoders write about ten."""
MOST_BLOCKS = 100_000
"""Chunks of a PNG, boxes of a JPEG 2000, blocks of an ICNS, resources of a PSD, blocks of a GIF
before its picture. A PNG of 100 MB has 12,500 where its encoder wrote 8 KiB at a time."""
MOST_ENTRIES = 4_096
"""Entries of a directory of a TIFF (some hundred tags exist), and of an icon."""
MOST_COLOURS = 65_536
"""Colours of an XPM."""
_SPARE_STRIPS, _PIXELS_A_STRIP = 16_384, 64
"""Strips or tiles of a TIFF, each of which takes Pillow 400 bytes: a file may have these, and one
more for so many pixels."""
_SPARE_TILES, _PIXELS_A_TILE = 8_192, 4_096
"""The same of a JPEG 2000, in each component; OpenJPEG takes 4 KiB for each."""
_SPARE_CODE_BLOCKS, _PIXELS_A_CODE_BLOCK = 65_536, 256
"""The same of its code blocks, of which OpenJPEG takes 500 bytes for each. Three components in
blocks of 32 x 32 have one for 256 pixels; usual are 64 x 64."""

_SOS, _EOI = 0xDA, 0xD9
_ALONE = (0x00, 0x01, *range(0xD0, 0xD9))
"""Markers that have no length."""
_FILL = re.compile(rb"\xff+")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SIZE_OF_JPEG2000 = re.compile(rb"\xff\x4f\xff\x51")
_VALUES_OF_XPM = re.compile(rb'"\s*\d+\s+\d+\s+(\d+)\s+\d+')
_NONE = Tag(0, 0)


def check_costs(data: bytes) -> None:
    """Reject what has too many parts to be an honest picture.

    Parameters
    ----------
    data : bytes
        The encoded image. What no check knows, or what is damaged, passes.

    Raises
    ------
    ImageRejected
        At stage ``limit``, naming the number and the bound.
    """
    if data.startswith(b"\xff\xd8\xff"):
        _check_scans(data, _start_of_scan(data))
    elif data.startswith(b"\x89PNG"):
        _check_blocks("chunks of a PNG", data, at=8, length_at=0, beside=12)
    elif is_tiff(data):
        _check_tiff(data)
    elif data.startswith(b"8BPS"):
        _check_resources(data)
    elif data.startswith((b"\0\0\1\0", b"\0\0\2\0")):
        _check("pictures of an icon", int.from_bytes(data[4:6], "little"), MOST_ENTRIES)
    elif data.startswith(b"icns"):
        _check_blocks("blocks of an ICNS", data, at=8, length_at=4, beside=0)
        _check_tiles(data)
    elif data.startswith((b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")):
        _check_blocks("boxes of a JPEG 2000", data, at=0, length_at=0, beside=0)
        _check_tiles(data)
    elif data.startswith(b"GIF8"):
        _check_extensions(data)
    elif data.startswith(b"/* XPM") and (found := _VALUES_OF_XPM.search(data, 0, 4_096)):
        _check("colours of an XPM", int(found[1]), MOST_COLOURS)


def _check(what: str, number: int, most: int) -> None:
    if number > most:
        raise ImageRejected("limit", f"{number:,} {what}, limit {most:,}")


def _check_blocks(what: str, data: bytes, *, at: int, length_at: int, beside: int) -> None:
    """Count blocks with a length of four bytes, which does not count ``beside`` bytes."""
    least = max(8, beside)
    if len(data) < least * MOST_BLOCKS:  # as nearly always
        return
    number = 0
    while at + 8 <= len(data) and number <= MOST_BLOCKS:
        place = at + length_at
        at += max(8, beside + int.from_bytes(data[place : place + 4], "big"))
        number += 1
    _check_walk(what, number, MOST_BLOCKS)


def _check_walk(what: str, number: int, most: int) -> None:
    """As :func:`_check`, where the walk ended at the bound."""
    if number > most:
        raise ImageRejected("limit", f"over {most:,} {what}, limit {most:,}")


def _start_of_scan(jpeg: bytes) -> int:
    """Position of the first scan; rejects a JPEG with too many segments before it."""
    at = 2
    for number in range(len(jpeg)):
        fill = _FILL.match(jpeg, at)
        if fill is None or fill.end() + 3 > len(jpeg) or jpeg[fill.end()] == _SOS:
            break
        _check_walk("segments of a JPEG", number + 1, MOST_SEGMENTS)
        marker, at = jpeg[fill.end()], fill.end() + 1
        if marker not in _ALONE:
            at += int.from_bytes(jpeg[at : at + 2], "big")
    return at


def _check_scans(jpeg: bytes, at: int) -> None:
    # What follows the picture, a film perhaps, may look like scans: a second look is exact.
    if jpeg.count(b"\xff\xda", at) <= MOST_SCANS:
        return
    scans = 0
    while found := _NEXT_MARKER.search(jpeg, at):
        marker, at = jpeg[found.end() - 1], found.end()
        if marker == _EOI:
            break
        scans += marker == _SOS
        if marker not in _ALONE:
            at += int.from_bytes(jpeg[at : at + 2], "big")
    _check("scans of a JPEG", scans, MOST_SCANS)


def _check_tiles(data: bytes) -> None:
    """Look at the sizes that each code stream of a JPEG 2000 states, also within an ICNS."""
    for found in _SIZE_OF_JPEG2000.finditer(data):
        at = found.end()
        fields = data[at + 4 : at + 38]
        if len(fields) < 34:
            return
        right, bottom, left, top, width, height, tiles_left, tiles_top, components = struct.unpack(
            ">8IH", fields
        )
        if not width or not height:
            return
        tiles = -(-(right - tiles_left) // width) * -(-(bottom - tiles_top) // height)
        pixels = max(0, right - left) * max(0, bottom - top)
        most = _SPARE_TILES + pixels // _PIXELS_A_TILE
        _check("tiles of a JPEG 2000", tiles * components, most)
        blocks = components * _code_blocks(
            data, at + int.from_bytes(data[at : at + 2], "big"), pixels
        )
        most = _SPARE_CODE_BLOCKS + pixels // _PIXELS_A_CODE_BLOCK
        _check("code blocks of a JPEG 2000", blocks, most)


def _code_blocks(data: bytes, at: int, pixels: int) -> int:
    """About how many code blocks a component has, by the main header, of which ``at`` is part."""
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\x90":  # the first tile
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0x52 and length >= 12 and len(data) >= at + 2 + length:  # COD
            coding = data[at + 4 : at + 2 + length]
            levels, width, height = coding[5], coding[6] + 2, coding[7] + 2
            blocks = 0
            for level in range(levels + 1):  # 0 is the smallest
                precinct = (
                    coding[10 + level] if coding[0] & 1 and len(coding) > 10 + level else 0xFF
                )
                within = [max(0, side - (level > 0)) for side in (precinct & 15, precinct >> 4)]
                area = min(width, within[0]) + min(height, within[1])  # as a power of two
                blocks += pixels >> 2 * (levels - level) >> area
            return blocks
        at += 2 + length
    return 0


def _check_tiff(data: bytes) -> None:
    """Look at the first directory, which is the only one that is decoded."""
    _check("entries of a TIFF", count_of_entries(data), MOST_ENTRIES)
    tags = read_tags(data, MOST_ENTRIES)
    pixels = tags.get(WIDTH, _NONE).first * tags.get(HEIGHT, _NONE).first
    strips = max(tags.get(tag, _NONE).length for tag in STRIPS)
    _check("strips of a TIFF", strips, _SPARE_STRIPS + pixels // _PIXELS_A_STRIP)


def _check_resources(psd: bytes) -> None:
    """Count the resources that stand before the pixels of a PSD."""
    try:
        at = 30 + struct.unpack_from(">I", psd, 26)[0]
        end = min(len(psd), at + 4 + struct.unpack_from(">I", psd, at)[0])
    except struct.error:
        return
    if end - at < 12 * MOST_BLOCKS:
        return
    at, number = at + 4, 0
    while at + 12 <= end and number <= MOST_BLOCKS:
        at += 6 + (psd[at + 6] | 1) + 1
        length = int.from_bytes(psd[at : at + 4], "big")
        at, number = at + 4 + length + length % 2, number + 1
    _check_walk("resources of a PSD", number, MOST_BLOCKS)


def _check_extensions(gif: bytes) -> None:
    """Count the blocks of comments and the like that stand before the picture of a GIF."""
    if len(gif) < 2 * MOST_BLOCKS:
        return
    at = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 0x80 else 0)
    number = 0
    while gif[at : at + 1] == b"\x21":
        at += 2
        while at < len(gif) and gif[at]:
            at, number = at + 1 + gif[at], number + 1
            _check_walk("blocks of a GIF before its picture", number, MOST_BLOCKS)
        at += 1
