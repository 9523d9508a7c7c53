"""Decodes large JPEGs at 1/2, 1/4 or 1/8 of their size where the features stay the same."""

from functools import cache

import numpy as np
import numpy.typing as npt
import simplejpeg

from featuremill._utils.extras import is_installed
from featuremill.images.raw_pixels import Pixels

_SPARE = 4
"""How many times the target's size a JPEG must have left when it is decoded smaller: features of
125 camera photographs then keep a cosine of 0.9996 to those of all pixels, at 3 times 0.9990."""
_LOST = {2: 6.0, 4: 20.0, 8: 20.0}
_REGULAR = 4.0
"""Contrasts, as of :class:`featuremill.images.jpeg_detail.Detail`, from which a JPEG is not decoded
smaller. Of 132 camera photographs none has more than 5.3 to lose at 1/2, or more than 3 that is
regular."""
_FLAT = 8.0
"""Contrast in levels below which a smaller JPEG is decoded again, at every pixel: features of flat
pictures change with single levels of rounding."""


@cache
def compile_now() -> None:
    """Compile what reads a JPEG's detail, or load it: seconds at first, a moment from then on."""
    if is_installed("numba"):
        from featuremill.images.jpeg_detail import fine_detail

        fine_detail(simplejpeg.encode_jpeg(np.zeros((64, 64, 3), np.uint8)))


def decode_scaled(jpeg: bytes, height: int, width: int, target: int | None) -> Pixels:
    """Decode a JPEG by libjpeg-turbo, as small as its features allow.

    Parameters
    ----------
    jpeg : bytes
        A whole JPEG file.
    height, width : int
        As its header says.
    target : int, optional
        The longer side that the pixels will be resized to; without it every pixel is decoded.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB, not turned.

    Raises
    ------
    ValueError
        If libjpeg-turbo has anything to say against the file, mere warnings included.
    """
    part = 1 if target is None else _part(jpeg, min(height, width), target)
    rgb = _decode_part(jpeg, height, width, part)
    if target is not None and part > 1 and _is_flat(rgb, target):
        return _decode_part(jpeg, height, width, 1)
    return rgb


def _part(jpeg: bytes, shorter: int, target: int) -> int:
    """Of 1, 2, 4 and 8 the largest by which the sides may be divided.

    libjpeg can divide by 8/7, 8/6 … too, but not as faithfully.
    """
    large_enough = [part for part in (8, 4, 2) if shorter >= part * _SPARE * target]
    if not large_enough or not is_installed("numba"):
        return 1
    from featuremill.images.jpeg_detail import fine_detail

    detail = fine_detail(jpeg)
    if detail is None or detail.regular > _REGULAR:
        return 1
    return next((part for part in large_enough if detail.lost[part] <= _LOST[part]), 1)


def _decode_part(jpeg: bytes, height: int, width: int, part: int) -> Pixels:
    least = (0, 0) if part == 1 else (-(-height // part), -(-width // part))
    rgb: Pixels = simplejpeg.decode_jpeg(jpeg, "RGB", min_height=least[0], min_width=least[1])
    return rgb


def _is_flat(rgb: Pixels, target: int) -> bool:
    """Whether little is left to see at the target's size, along the rows or along the columns."""
    segment = max(1, min(rgb.shape[:2]) * 2 // target)
    means = _segment_means(rgb[:, :, 1], segment)
    return bool(min(means.var(axis=1).mean(), means.var(axis=0).mean()) < _FLAT**2)


def _segment_means(levels: Pixels, segment: int) -> npt.NDArray[np.float64]:
    """Means of squares in every eighth row of squares, from three rows of pixels in each.

    From one row, oblique stripes would seem to be there that a smaller picture does not show.
    """
    height, width = (side // segment * segment for side in levels.shape)
    every, first = 8 * segment, min(4 * segment, height - segment)
    rows = [levels[first + segment * third // 3 : height : every, :width] for third in range(3)]
    count = len(rows[-1])
    summed = sum(row[:count].astype(np.uint16) for row in rows)
    squares = np.reshape(summed, (count, width // segment, segment))
    return np.asarray(squares.sum(axis=2, dtype=np.uint32) / (3 * segment))
