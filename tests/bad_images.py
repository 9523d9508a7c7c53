"""A folder of every nasty kind of image file, and what should become of each.

Usage: ``expected = write_corpus(folder)``.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
TURNED_RIGHT = 6
"""The EXIF orientation of a camera held upright: the picture is to be turned clockwise."""


def write_corpus(folder: Path) -> dict[str, str]:
    """Write about sixty files below ``folder``.

    Returns
    -------
    dict
        For each path relative to ``folder`` (as ``os.fsdecode`` gives it): ``ok``, or the stage
        that should reject it. The two links that lead nowhere are of stage ``list``.
    """
    expected = {}
    for name, content, outcome in _files():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(content)
        except OSError:  # a file system that takes UTF-8 only
            continue
        expected[name] = outcome

    (folder / "dangling link.jpg").symlink_to("nowhere.jpg")
    (folder / "link loop.jpg").symlink_to("link loop.jpg")
    expected |= {"dangling link.jpg": "list", "link loop.jpg": "list"}

    unreadable = folder / "unreadable.jpg"
    unreadable.write_bytes(encoded("JPEG"))
    unreadable.chmod(0)
    expected["unreadable.jpg"] = "ok" if os.access(unreadable, os.R_OK) else "fetch"
    return expected


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Draw a smooth, colourful picture without a symmetry, the same at every call."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [np.sin(7 * x + 2 * y), np.cos(3 * x * y + 5 * y), np.sin(9 * y - 4 * x * x)]
    rgb = (127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


def encoded(format: str, image: Image.Image | None = None, **options: Any) -> bytes:  # noqa: A002
    """Encode a picture as Pillow does."""
    file = io.BytesIO()
    (image or picture()).save(file, format, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    """EXIF that says no more than how the camera was held."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Write a PNG by hand, where Pillow would refuse to; ``rows`` are filtered, uncompressed."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _files() -> Iterator[tuple[str, bytes, str]]:
    yield from _kinds()
    yield from _damaged()
    yield from _too_large()
    yield from _names()


def _kinds() -> Iterator[tuple[str, bytes, str]]:
    """Formats and colour modes that all become RGB."""
    gray16 = Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21)
    yield "gray 16 bit.png", encoded("PNG", gray16), "ok"
    rows = b"".join(b"\0" + bytes(range(y, y + 8 * 6)) for y in range(8))
    yield "rgb 16 bit.png", png(8, 8, 16, 2, rows), "ok"
    yield "1 bit.png", encoded("PNG", picture("1")), "ok"
    transparency = bytes(range(256))
    yield "palette.png", encoded("PNG", picture("P"), transparency=transparency), "ok"
    yield "la.png", encoded("PNG", picture("LA")), "ok"
    yield "rgba.png", encoded("PNG", picture("RGBA")), "ok"
    yield "float.tif", encoded("TIFF", picture("F")), "ok"
    yield "cmyk.tif", encoded("TIFF", picture("CMYK"), compression="tiff_lzw"), "ok"
    yield "cmyk.jpg", encoded("JPEG", picture("CMYK")), "ok"
    ycck = simplejpeg.encode_jpeg(np.asarray(picture("CMYK")), colorspace="CMYK")
    yield "ycck.jpg", ycck, "ok"
    yield "gray.jpg", encoded("JPEG", picture("L")), "ok"
    yield "progressive.jpg", encoded("JPEG", progressive=True), "ok"

    frames = {"save_all": True, "append_images": [picture().rotate(180)]}
    yield "animated.gif", encoded("GIF", **frames), "ok"
    yield "animated.webp", encoded("WEBP", **frames), "ok"
    yield "pages.tif", encoded("TIFF", **frames), "ok"
    yield "stereo.mpo", encoded("MPO", **frames), "ok"
    for format_, extension in (
        *(("BMP", "bmp"), ("ICO", "ico"), ("PPM", "ppm"), ("TGA", "tga")),
        *(("AVIF", "avif"), ("JPEG2000", "jp2")),
    ):
        yield f"plain.{extension}", encoded(format_), "ok"

    yield "1x1.png", encoded("PNG", picture(size=(1, 1))), "ok"
    yield "1x5000.jpg", encoded("JPEG", picture(size=(1, 5000))), "ok"


def _damaged() -> Iterator[tuple[str, bytes, str]]:
    """Files that are no image, or no longer, and some that only look it."""
    jpeg, portrait = encoded("JPEG"), encoded("JPEG", exif=exif(TURNED_RIGHT))
    yield "empty.jpg", b"", "decode"
    for format_, extension in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif")):
        whole = encoded(format_)
        yield f"truncated.{extension}", whole[: len(whole) * 3 // 4], "decode"
    yield "signature only.jpg", jpeg[:4], "decode"
    whole = encoded("PNG")
    middle = whole.index(b"IDAT") + 40
    yield "wrong crc.png", _flipped(whole, whole.index(b"IHDR") + 18), "decode"
    yield "wrong data.png", _flipped(whole, middle), "decode"
    yield "0x0.png", png(0, 0, 8, 2, b""), "decode"

    yield "page.jpg", HTML, "decode"
    yield "text.jpg", b"Not an image at all.\n", "decode"
    yield "zip.png", b"PK\x05\x06" + bytes(18), "decode"
    yield "drawing.svg.png", SVG, "decode"
    yield "postscript.jpg", EPS, "decode"

    yield "trailing garbage.jpg", jpeg + b"\0garbage\xff\xd8" * 9, "ok"
    yield "portrait.jpg", portrait, "ok"
    yield "broken exif.jpg", portrait.replace(b"MM\0*", b"??\0*"), "ok"
    yield "jpeg in truth.png", jpeg, "ok"
    yield "png in truth.jpg", whole, "ok"


def _too_large() -> Iterator[tuple[str, bytes, str]]:
    """Small files whose pixels would fill the memory, all above the default limits."""
    side = 11_000
    yield "bomb.png", png(side, side, 1, 0, bytes(side * (1 + side // 8))), "limit"
    yield "60000x60000.png", png(60_000, 60_000, 8, 2, b""), "limit"
    jpeg = encoded("JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    large = jpeg[:size] + struct.pack(">HH", 60_000, 60_000) + jpeg[size + 4 :]
    yield "60000x60000.jpg", large, "limit"
    nested = encoded("ICO", sizes=[(32, 32)])
    offset = nested.index(b"\x89PNG")
    inner = png(60_000, 60_000, 8, 2, b"")
    entry = struct.pack("<BBBBHHII", 32, 32, 0, 0, 1, 32, len(inner), offset)
    yield "nested.ico", nested[:6] + entry + inner, "limit"


def _names() -> Iterator[tuple[str, bytes, str]]:
    """Names that trip listings, addresses, tables and shells."""
    jpeg = encoded("JPEG")
    for name in (
        *(
            "a b.jpg",
            'it\'s "quoted".jpg',
            "new\nline.jpg",
            "tab\t.jpg",
            "strawberry \U0001f353.jpg",
        ),
        *("100%.jpg", "%2e%2e%2F.jpg", "x.jpg#1", "x?y=1.jpg", "a+b.jpg", "-rf.jpg", "a,b;c.jpg"),
        *("back\\slash.jpg", "~.jpg", "UPPER.JPG", "noextension", "folder.jpg/inside.jpg"),
        *("n" * 246 + ".jpg", os.fsdecode(b"latin-1 \xff.jpg")),
    ):
        yield name, jpeg, "ok"


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
