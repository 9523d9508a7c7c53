"""Decodes image bytes to RGB pixels, within limits.

What the bytes are is decided by their content, never by a name. The reference is Pillow's
``Image.open(f).convert("RGB")``, turned upright; JPEGs go through libjpeg-turbo's own interface,
which gives the same pixels several times sooner.
"""

import importlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, cast

import numpy as np
import simplejpeg
from PIL import AvifImagePlugin, Image, ImageFile, UnidentifiedImageError

from featuremill._utils.extras import is_installed
from featuremill.config.option import above_zero
from featuremill.errors import ImageRejected
from featuremill.images import tiff_tags
from featuremill.images.header_limits import check_costs
from featuremill.images.pixel_ranges import check_eight_bits, gray_levels, has_range
from featuremill.images.raw_pixels import Pixels, read_pixels
from featuremill.images.scaled_jpeg import decode_scaled
from featuremill.images.tiff_tags import is_tiff
from featuremill.images.unsupported import unsupported

# The common ones come first, and TGA, which has no signature, last. Left out on purpose: EPS, for
# which Pillow starts Ghostscript, and what holds no picture: films, grids of measurements, stubs.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "QOI", "PSD"),
    *("ICNS", "DDS", "SGI", "SUN", "MSP", "XPM", "XBM", "ICO", "CUR", "DIB", "PCX", "TGA"),
)
"""What is always decoded, by Pillow's names."""
Part = tuple[tuple[int, int], tuple[int, int]]
Resizer = Callable[[Pixels, tuple[int, int], str, Part | None], Pixels]

_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda rgb: np.rot90(rgb, 2),
    4: np.flipud,
    5: lambda rgb: rgb.swapaxes(0, 1),
    6: lambda rgb: np.rot90(rgb, -1),
    7: lambda rgb: np.rot90(rgb, 2).swapaxes(0, 1),
    8: np.rot90,
}
_ON_THEIR_SIDE = (5, 6, 7, 8)
_PIXELS_AT_ONCE = 1 << 22
_LIKE_XBM = re.compile(rb"#define\s+\w*width\s")
"""Other programs in C begin with a definition, too."""
_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@dataclass(frozen=True)
class Limits:
    """The largest image that is decoded; both are known before any pixel is.

    Parameters
    ----------
    max_bytes : int
        Encoded size in bytes, above 0.
    max_pixels : int
        Width times height, above 0.

    Raises
    ------
    ConfigError
        If a limit is not above 0.
    """

    max_bytes: int = 100_000_000
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        above_zero("Raise max_bytes.").check("max_bytes", self.max_bytes)
        above_zero("Raise max_pixels.").check("max_pixels", self.max_pixels)


_DEFAULT_LIMITS = Limits()


class Decoded(NamedTuple):
    """An image as pixels.

    ``pixels`` is uint8 RGB of shape (h, w, 3), C-contiguous, and may be read-only; ``height`` and
    ``width`` are the image's own, also where it was decoded smaller.
    """

    pixels: Pixels
    height: int
    width: int


def decode(data: bytes, limits: Limits, target: tuple[int, int] | None = None) -> Decoded:
    """Decode one image, upright, whatever its format and colour mode.

    Alpha is dropped, gray of more than 8 bits is scaled by its range
    (:mod:`featuremill.images.pixel_ranges`), and of an animation or a multi-page file the first
    picture counts.

    Parameters
    ----------
    data : bytes
        The encoded image.
    limits : Limits
        The largest image to decode.
    target : tuple of (int, int), optional
        Height and width the pixels will be resized to. A JPEG that is at least eight times as
        large is then decoded at 1/2, 1/4 or 1/8, to no less than four times the target, unless
        its texture is too fine or it is too flat for that; without it every pixel is decoded.

    Returns
    -------
    Decoded
        The pixels, and the size of the image.

    Raises
    ------
    ImageRejected
        At stage ``decode``, if the bytes are no image, are damaged, cut short, or over a limit.
    """
    with _rejecting(data, limits):
        _check_bytes(data, limits)
        is_jpeg = data.startswith(b"\xff\xd8\xff")
        decoded = _decode_jpeg(data, limits, target) if is_jpeg else None
        return _decode_with_pillow(data, limits) if decoded is None else decoded


def stated_pixels(data: bytes, limits: Limits) -> int:
    """How many pixels the header states; 0 if they cannot be told or are over the limit."""
    try:
        check_costs(data)
        width, height = _open(data, limits).size
    except Exception:  # decode() says what is wrong
        return 0
    return width * height


def resize(
    rgb: Pixels, size: tuple[int, int], resample: str = "bicubic", part: Part | None = None
) -> Pixels:
    """Stretch to a size by one of Pillow's filters, by default that of ``Image.resize``.

    Without Numba, Pillow itself does it: the same pixels, several times later.

    Parameters
    ----------
    rgb : ndarray of shape (height, width, 3), uint8
        The pixels as :func:`decode` gives them.
    size : tuple of (int, int)
        Height and width wanted, in pixels; the aspect ratio is not kept.
    resample : str
        ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
    part : tuple, optional
        The rows that are wanted, from the first to before the last, and the columns.

    Returns
    -------
    ndarray of shape (*size, 3), uint8
        Or the part; of ``rgb`` itself, not a copy, where it has that size already; may be
        read-only.
    """
    return _cut(rgb, part) if rgb.shape[:2] == size else _resizer()(rgb, size, resample, part)


def thumbnail(data: bytes, edge: int = 96, limits: Limits = _DEFAULT_LIMITS) -> bytes:
    """Shrink an image to a small JPEG, upright and without metadata.

    Parameters
    ----------
    data : bytes
        The encoded image.
    edge : int
        The longer edge of the thumbnail, in pixels; smaller images keep their size.
    limits : Limits
        The largest image to decode.

    Raises
    ------
    ImageRejected
        As :func:`decode` does.
    """
    with _rejecting(data, limits):
        _check_bytes(data, limits)
        image = _open(data, limits)
        # Only JPEG has such a draft: it decodes at 1/2, 1/4 or 1/8, not below the size asked for.
        image.draft("RGB", (2 * edge, 2 * edge))
        small = Image.fromarray(_upright(_rgb(image), _orientation(image)))
    small.thumbnail((edge, edge))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


@cache
def _resizer() -> Resizer:
    # imported where it is first needed: commands that resize nothing need not wait for Numba
    if not is_installed("numba"):
        return _resize_with_pillow
    from featuremill.images import resize

    return resize.resize


def _resize_with_pillow(
    rgb: Pixels, size: tuple[int, int], resample: str, part: Part | None
) -> Pixels:
    by = Image.Resampling[resample.upper()]
    return _cut(np.asarray(Image.fromarray(rgb).resize(size[::-1], by)), part)


def _cut(rgb: Pixels, part: Part | None) -> Pixels:
    return rgb if part is None else rgb[slice(*part[0]), slice(*part[1])]


def _decode_jpeg(jpeg: bytes, limits: Limits, target: tuple[int, int] | None) -> Decoded | None:
    """Decode through libjpeg-turbo, or return None where Pillow has to judge."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(jpeg)
    except Exception:  # among them KeyError, for a rare subsampling
        return None
    if colorspace not in ("YCbCr", "RGB", "Gray"):
        return None
    _check_size(width, height, limits)
    try:
        rgb = decode_scaled(jpeg, height, width, max(target) if target else None)
    except ValueError:  # mere warnings too, of which Pillow forgives some
        return None
    orientation = _orientation(_open(jpeg, limits)) if _may_have_exif(jpeg) else 1
    rgb = _upright(rgb, orientation)
    if orientation in _ON_THEIR_SIDE:
        height, width = width, height
    return Decoded(rgb, height, width)


def _decode_with_pillow(data: bytes, limits: Limits) -> Decoded:
    image = _open(data, limits)
    rgb = _rgb(image)
    # Only now: PNG keeps EXIF behind its pixels, and TIFF turns itself while loading.
    rgb = _upright(rgb, _orientation(image))
    return Decoded(rgb, *rgb.shape[:2])


def _open(data: bytes, limits: Limits) -> Image.Image:
    """Read the header with Pillow, made strict and quiet first.

    These are globals of the process, set anew each time because other code may have changed them.
    ``warnings.catch_warnings`` would be no better: it is not safe among threads.
    """
    if not warnings.filters or warnings.filters[0] != _PILLOW_WARNINGS:
        warnings.filterwarnings("ignore", module=_PILLOW_WARNINGS[3].pattern)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    # Pillow raises above twice this, also for what is nested: the PNG in an ICO, a TIFF's tiles.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    # each of its threads would have a stack of 8 MiB, and Spark gives every core its own task
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    image = Image.open(io.BytesIO(data), formats=_formats())
    _check_size(*image.size, limits)
    return image


@cache
def _formats() -> list[str]:
    """Names of the formats that are decoded: also HEIC, where the extra ``heif`` is installed."""
    Image.init()
    heif = []
    if is_installed("pi_heif"):
        opener = importlib.import_module("pi_heif")
        opener.options.DECODE_THREADS = 1
        opener.register_heif_opener()
        heif = ["HEIF"]
    return [name for name in (*heif, *FORMATS) if name in Image.OPEN]


def _rgb(image: Image.Image) -> Pixels:
    """Load the pixels and bring any mode to RGB, shape (height, width, 3)."""
    if (pixels := read_pixels(image)) is not None:
        return pixels
    image.load()
    if isinstance(image, ImageFile.ImageFile) and image.format == "WEBP" and image.fp is not None:
        image.fp.close()  # all its pixels once more
    if has_range(image):
        return np.repeat(gray_levels(image)[:, :, np.newaxis], 3, axis=2)  # (h, w) -> (h, w, 3)
    if image.format == "TIFF":
        check_eight_bits(image)
    return _in_rgb(image)


def _in_rgb(image: Image.Image) -> Pixels:
    """Convert rows by rows: as a whole a picture would be in memory three times more."""
    width, height = image.size
    rows = max(1, _PIXELS_AT_ONCE // width)
    if rows >= height:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        part = image.crop((0, top, width, min(height, top + rows)))
        rgb[top : top + rows] = np.asarray(part if part.mode == "RGB" else part.convert("RGB"))
    return rgb


def _upright(rgb: Pixels, orientation: int) -> Pixels:
    if orientation not in _UPRIGHT:
        return rgb
    return np.ascontiguousarray(_UPRIGHT[orientation](rgb))


def _orientation(image: Image.Image) -> int:
    try:
        return cast("int", image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # broken EXIF fails in many ways, and the picture is none the worse
        return 1


def _may_have_exif(jpeg: bytes) -> bool:
    """Whether a segment that can hold EXIF or XMP (APP1) stands before the pixels.

    Walks the segments' headers, as Pillow would, in a tenth of its time; true when in doubt.
    """
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker in (0xDA, 0xE1):  # start of scan, APP1
            return marker == 0xE1
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return True


def _check_bytes(data: bytes, limits: Limits) -> None:
    if not data:
        raise ImageRejected("decode", "the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageRejected("limit", f"{len(data):,} bytes, limit {limits.max_bytes:,}")
    check_costs(data)


def _check_size(width: int, height: int, limits: Limits) -> None:
    pixels = width * height
    if pixels > limits.max_pixels:
        reason = f"{width} x {height} = {pixels:,} pixels, limit {limits.max_pixels:,}"
        raise ImageRejected("limit", reason)


@contextmanager
def _rejecting(data: bytes, limits: Limits) -> Iterator[None]:
    """Turn whatever a decoder raises on these bytes into one rejection with a reason."""
    if is_tiff(data):
        tiff_tags.forget_errors()
    try:
        yield
    except ImageRejected:
        raise
    except Exception as error:  # Pillow lets everything through, from OSError to AssertionError
        beyond = isinstance(error, Image.DecompressionBombError | MemoryError)
        stage = "limit" if beyond else "decode"
        raise ImageRejected(stage, _reason(error, data, limits)) from error


def _reason(error: Exception, data: bytes, limits: Limits) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * limits.max_pixels:,} pixels, limit {limits.max_pixels:,}"
    name, kind = _signature(data), unsupported(data)
    if kind.startswith("HEI") and "HEIF" in _formats():
        name = kind.split()[0]
    elif kind:
        return kind
    if isinstance(error, UnidentifiedImageError):
        return f"damaged {name} header" if name else f'not an image: starts with "{_start(data)}"'
    said = tiff_tags.first_error() if is_tiff(data) else ""
    return f"damaged {name or 'image'}: {said or error or type(error).__name__}"


def _signature(data: bytes) -> str:
    """Name the format whose signature the bytes bear, or return an empty string."""
    prefix = data[:16].ljust(16, b"\0")
    for name in FORMATS:
        _, accept = Image.OPEN.get(name, (None, None))
        if accept and accept(prefix) is True and (name != "XBM" or _LIKE_XBM.match(data)):
            return name
    return ""


def _start(data: bytes) -> str:
    return repr(data[:16])[2:-1]
