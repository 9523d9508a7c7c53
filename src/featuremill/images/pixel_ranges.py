"""Scales gray images of more than eight bits to levels from 0 to 255.

The range is the one that the file states: by its bits a sample, or by the largest sample where
that needs fewer bits. Signed, 32-bit and floating samples have none: then it is the smallest of
the customary ones that holds all values, and what fits into none is rejected rather than guessed.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image

from featuremill.errors import ImageRejected
from featuremill.images.tiff_tags import BITS, PHOTOMETRIC, SAMPLE_FORMAT

Levels = npt.NDArray[np.uint8]

_SMALLEST, _LARGEST = (340, 280), (341, 281)
"""Tags of a TIFF for the range of its samples: of any kind, and of unsigned ones."""
_WHITE_IS_ZERO = 0
_UNSIGNED, _SIGNED = 1, 2
_USUAL_BITS = (8, 10, 12, 14, 16)
_USUAL_TOPS = (1.0, 255.0, 65_535.0)
_TOLERANCE = 0.1
"""Share of the range by which floats may overshoot, as they do where a picture was resampled."""
_LEAST_SHARE = 16
"""Floats that use less than this part of their range would be nearly black: they are no guess."""


def has_range(image: Image.Image) -> bool:
    """Whether the samples of a picture are other than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def gray_levels(image: Image.Image) -> Levels:
    """Levels of a loaded picture in one of the modes of :func:`has_range`.

    Parameters
    ----------
    image : PIL.Image.Image
        Integers or floats of one channel.

    Returns
    -------
    ndarray of shape (height, width), uint8
        0 is black.

    Raises
    ------
    ImageRejected
        If the values fit into no customary range.
    """
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    samples = np.asarray(image)
    stated = _stated(tags, _LARGEST)
    if image.mode == "F":
        levels = _of_floats(samples, _stated(tags, _SMALLEST), stated)
    elif image.mode == "I" and tags:
        levels = _of_any_integers(samples, tags, stated)
    else:  # unsigned, of 16 bits at most; a PPM is brought to them by Pillow
        bits = int(_first(tags.get(BITS), 16))
        if stated is not None and stated > 0:
            bits = max(8, min(bits, int(stated).bit_length()))
        levels = _upper_bits(samples, bits)
    return 255 - levels if tags.get(PHOTOMETRIC) == _WHITE_IS_ZERO else levels


def check_eight_bits(image: Image.Image) -> None:
    """Reject samples that Pillow took for unsigned ones of eight bits, or of all sixteen."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    bits = _first(tags.get(BITS), 8)
    largest = _stated(tags, _LARGEST)
    if bits == 16 and largest is not None and 0 < largest < 1 << 13:
        _reject(f"colours of 16 bits of which {int(largest).bit_length()} are used")
    if bits == 8 and _first(tags.get(SAMPLE_FORMAT), _UNSIGNED) == _SIGNED:
        signed = np.asarray(image).view(np.int8)
        if signed.min() < 0:
            _reject(f"signed samples from {signed.min()} to {signed.max()}")


def _of_any_integers(
    samples: npt.NDArray[np.int32], tags: Mapping[int, Any], stated: float | None
) -> Levels:
    own_bits = int(_first(tags.get(BITS), 32))
    integers: npt.NDArray[np.integer[Any]] = samples
    if _first(tags.get(SAMPLE_FORMAT), _UNSIGNED) == _UNSIGNED:
        integers = samples.view(np.uint32)
    else:
        own_bits -= 1
    low, high = int(integers.min()), int(integers.max())
    largest = high if stated is None else int(stated)
    usual = [bits for bits in _USUAL_BITS if bits < own_bits and largest < 1 << bits]
    bits = usual[0] if usual else own_bits
    if low < 0 or (not usual and high < 1 << own_bits - 4):
        most = (1 << own_bits) - 1
        _reject(f"integers from {low:,} to {high:,}, neither 0 to 65,535 nor 0 to {most:,}")
    return _upper_bits(integers, bits)


def _of_floats(
    samples: npt.NDArray[np.float32], smallest: float | None, largest: float | None
) -> Levels:
    finite = samples[np.isfinite(samples)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    floats = np.nan_to_num(samples, nan=0.0, posinf=high, neginf=low)
    if largest is not None and largest > (bottom := smallest or 0.0):
        return _rounded((floats - bottom) * (255 / (largest - bottom)))
    for top in _USUAL_TOPS:
        if low >= -_TOLERANCE * top and high <= (1 + _TOLERANCE) * top:
            break
    else:
        top = 0.0
    if top == 1:
        return _rounded(floats * 255)
    if high < top / _LEAST_SHARE or not top:
        _reject(f"floats from {low:g} to {high:g}, neither 0 to 1 nor 0 to 255 nor 0 to 65,535")
    # without rounding, as Pillow does
    return np.clip(floats if top == 255 else floats / 256, 0, 255).astype(np.uint8)


def _upper_bits(samples: npt.NDArray[Any], bits: int) -> Levels:
    levels: Levels = np.minimum(samples >> (bits - 8), 255).astype(np.uint8)
    return levels


def _rounded(floats: npt.NDArray[np.float32]) -> Levels:
    levels: Levels = np.clip(floats + np.float32(0.5), 0, 255).astype(np.uint8)
    return levels


def _stated(tags: Mapping[int, Any], which: tuple[int, ...]) -> float | None:
    """A bound of the samples as the first of these tags states it."""
    for tag in which:
        if tag in tags:
            return float(_first(tags[tag], 0))
    return None


def _first(value: Any, otherwise: float) -> float:
    """The first of a tag's values, which Pillow gives as one, as several, as bytes or as text."""
    try:
        return float(value[0] if isinstance(value, tuple | bytes) else value)
    except (IndexError, TypeError, ValueError):
        return otherwise


def _reject(what: str) -> NoReturn:
    raise ImageRejected("decode", f"{what}: bring it to 8 or 16 bits, or to floats from 0 to 1")
