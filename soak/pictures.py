"""Small valid files of every format that featuremill reads: what mutants are made of."""

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from featuremill.images.decode import FORMATS

SIZE = (61, 47)
"""Width and height of every picture: numbers that turn up in a file for no other reason."""


def valid_files(format_: str) -> list[bytes]:
    """Files of one format, in several colour modes and of several inner forms.

    Parameters
    ----------
    format_ : str
        One of :data:`featuremill.images.decode.FORMATS`.
    """
    if format_ in _BY_HAND:
        return _BY_HAND[format_]()
    return [_saved(format_, mode, **options) for mode, options in _SAVED[format_]]


def picture(mode: str = "RGB") -> Image.Image:
    """A smooth, colourful picture without a symmetry, the same at every call."""
    width, height = SIZE
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [np.sin(7 * x + 2 * y), np.cos(3 * x * y + 5 * y), np.sin(9 * y - 4 * x * x)]
    rgb = (127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(rgb[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(rgb).convert(mode)


def _saved(format_: str, mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, format_, **options)
    return file.getvalue()


def _exif() -> bytes:
    tags = Image.Exif()
    tags[0x0112] = 6
    tags[0x010E] = "a description of some length, to be cut and spliced"
    return tags.tobytes()


_FRAMES: dict[str, Any] = {"save_all": True, "append_images": [picture().rotate(90)]}
_PLAIN: dict[str, Any] = {}
_SAVED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "JPEG": [
        *(("RGB", _PLAIN), ("L", _PLAIN), ("CMYK", _PLAIN), ("RGB", {"progressive": True})),
        *(("RGB", {"exif": _exif()}), ("RGB", {"subsampling": 0, "restart_marker_rows": 1})),
    ],
    "PNG": [
        *(("RGB", _PLAIN), ("RGBA", _PLAIN), ("P", {"transparency": 3}), ("1", _PLAIN)),
        *(("I;16", _PLAIN), ("RGB", {"exif": _exif()}), ("RGBA", _FRAMES)),
    ],
    "WEBP": [
        *(("RGB", _PLAIN), ("RGBA", _PLAIN), ("RGB", {"lossless": True})),
        *(("RGB", {"exif": _exif()}), ("RGB", _FRAMES)),
    ],
    "GIF": [("P", _PLAIN), ("L", {"interlace": 0}), ("RGB", _FRAMES)],
    "TIFF": [
        *(("RGB", _PLAIN), ("RGB", {"compression": "tiff_lzw"}), ("I;16", _PLAIN), ("F", _PLAIN)),
        *(("RGB", {"compression": "jpeg"}), ("1", {"compression": "group4"}), ("CMYK", _PLAIN)),
        *(("RGB", {"compression": "tiff_deflate"}), ("RGB", {"big_tiff": True}), ("RGB", _FRAMES)),
        ("P", {"compression": "packbits"}),
    ],
    "BMP": [("RGB", _PLAIN), ("P", _PLAIN), ("1", _PLAIN), ("RGBA", _PLAIN)],
    "AVIF": [("RGB", _PLAIN), ("RGBA", _PLAIN), ("RGB", {"exif": _exif()})],
    "JPEG2000": [
        *(("RGB", _PLAIN), ("L", _PLAIN), ("RGBA", _PLAIN), ("RGB", {"no_jp2": True})),
        ("RGB", {"irreversible": True, "tile_size": (32, 32)}),
    ],
    "PPM": [("RGB", _PLAIN), ("L", _PLAIN), ("1", _PLAIN), ("I;16", _PLAIN)],
    "QOI": [("RGB", _PLAIN), ("RGBA", _PLAIN)],
    "DDS": [("RGB", _PLAIN), ("RGBA", {"pixel_format": "DXT5"}), ("RGB", {"pixel_format": "BC5"})],
    "SGI": [("RGB", _PLAIN), ("L", _PLAIN), ("RGBA", _PLAIN), ("L", {"bpc": 2})],
    "MSP": [("1", _PLAIN)],
    "XBM": [("1", _PLAIN)],
    "ICO": [
        ("RGBA", {"sizes": [(32, 32)]}),
        ("RGB", {"bitmap_format": "bmp", "sizes": [(32, 32)]}),
    ],
    "DIB": [("RGB", _PLAIN), ("P", _PLAIN)],
    "PCX": [("RGB", _PLAIN), ("P", _PLAIN), ("L", _PLAIN), ("1", _PLAIN)],
    "TGA": [("RGB", _PLAIN), ("RGBA", {"compression": "tga_rle"}), ("P", _PLAIN), ("LA", _PLAIN)],
}


def _psd() -> list[bytes]:
    width, height = SIZE
    planes = np.asarray(picture()).transpose(2, 0, 1)  # (h, w, 3) -> (3, h, w)
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
    nothing = struct.pack(">I", 0)
    raw = struct.pack(">H", 0) + planes.tobytes()
    # PackBits with runs of literals only
    rows = [b"%c%b" % (width - 1, row.tobytes()) for plane in planes for row in plane]
    lengths = b"".join(struct.pack(">H", len(row)) for row in rows)
    packed = struct.pack(">H", 1) + lengths + b"".join(rows)
    return [header + 3 * nothing + pixels for pixels in (raw, packed)]


def _sun() -> list[bytes]:
    width, height = SIZE
    files = []
    for depth, mode in ((24, "RGB"), (8, "L")):
        pixels = np.asarray(picture(mode)).reshape(height, -1)
        rows = np.pad(pixels, ((0, 0), (0, pixels.shape[1] % 2))).tobytes()
        files.append(
            struct.pack(">8I", 0x59A66A95, width, height, depth, len(rows), 1, 0, 0) + rows
        )
    whole, rest = divmod(height * (width + width % 2), 256)
    runs = b"\x80\xff\x11" * whole + b"\x80%c\x77" % (rest - 1)
    files.append(struct.pack(">8I", 0x59A66A95, width, height, 8, len(runs), 2, 0, 0) + runs)
    return files


def _xpm() -> list[bytes]:
    width, height = SIZE
    pixels = np.asarray(picture("L").quantize(4))
    colours = [f'"{chr(97 + index)} c #{0x3F2F1F * index:06x}",' for index in range(4)]
    rows = ['"' + "".join(chr(97 + value) for value in row) + '",' for row in pixels]
    lines = [
        *("/* XPM */", "static char *picture[] = {", f'"{width} {height} 4 1",'),
        *(*colours, *rows, "};", ""),
    ]
    return ["\n".join(lines).encode()]


def _cur() -> list[bytes]:
    # an icon of a bitmap, but for two numbers of its header
    icon = _saved("ICO", "RGB", bitmap_format="bmp", sizes=[(32, 32)])
    return [b"\0\0\2\0" + icon[4:]]


def _icns() -> list[bytes]:
    def file(*blocks: tuple[bytes, bytes]) -> bytes:
        body = b"".join(name + struct.pack(">I", 8 + len(data)) + data for name, data in blocks)
        return b"icns" + struct.pack(">I", 8 + len(body)) + body

    small = picture().resize((16, 16))
    plane = b"\x7f" + bytes(128) + b"\x7f" + bytes(range(128))  # literals
    png, jpeg2000 = io.BytesIO(), io.BytesIO()
    small.save(png, "PNG")
    picture().resize((128, 128)).save(jpeg2000, "JPEG2000")
    return [
        file((b"is32", small.tobytes()), (b"s8mk", bytes(range(256)))),
        file((b"is32", 3 * plane)),
        file((b"icp4", png.getvalue())),
        file((b"ic07", jpeg2000.getvalue())),
    ]


_BY_HAND = {"ICNS": _icns, "PSD": _psd, "SUN": _sun, "XPM": _xpm, "CUR": _cur}

if set(_SAVED) | set(_BY_HAND) != set(FORMATS):
    raise AssertionError("a format has no valid files to make mutants of")
