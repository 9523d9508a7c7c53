"""What other programs do otherwise before a network, each deviation by itself.

A table and no search: whoever has features that differ tries one after the other
(:mod:`featuremill.workflows.certify.culprit`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from featuremill.images.decode import Decoded, Limits
from featuremill.images.preprocessing import RESAMPLES, Preprocessing, Size
from featuremill.images.raw_pixels import Pixels
from featuremill.models import reference
from featuremill.models.reference import DECODER, Resize, by_pillow

Numbers = npt.NDArray[np.float64]

_EDGE = 0.875
"""Share of the shorter edge that most networks of ImageNet are shown."""
_STATISTICS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = MappingProxyType(
    {
        "ImageNet's mean and standard deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "levels from -1 to 1": ((0.5,) * 3, (0.5,) * 3),
        "CLIP's mean and standard deviation": (
            (0.48145466, 0.4578275, 0.40821073),
            (0.26862954, 0.26130258, 0.27577711),
        ),
    }
)
_BACKGROUNDS = ("black", "white")


@dataclass(frozen=True)
class Deviation:
    """One thing done otherwise.

    Parameters
    ----------
    name : str
        What is done, in place of what.
    preprocessing : Preprocessing
        The one that results; the right one where something else deviates.
    decoder : str
        ``module:function``, as for :class:`featuremill.images.sandbox.InChild`.
    resize : callable
        What resizes.
    """

    name: str
    preprocessing: Preprocessing
    decoder: str = DECODER
    resize: Resize = by_pillow

    def pixels(self, rgb: Pixels) -> Pixels:
        """Resize a decoded image; the result has the shape (*size, 3)."""
        return reference.resized(rgb, self.preprocessing, self.resize)


def deviations(right: Preprocessing) -> Iterator[Deviation]:
    """Everything that may have been done otherwise, each by itself.

    Parameters
    ----------
    right : Preprocessing
        What the network's publisher describes.
    """
    seen = {str(right)}
    for name, changes in (*_orders(right), *_numbers(right), *_geometries(right)):
        wrong = replace(right, **changes)
        if str(wrong) not in seen:
            seen.add(str(wrong))
            yield Deviation(name, wrong)
    for resample in RESAMPLES:
        if resample != right.resample:
            name = f"{resample} in place of {right.resample}"
            yield Deviation(name, replace(right, resample=resample))
    for kernel in _KERNELS:
        name = f"{kernel} without antialiasing in place of {right.resample} with it"
        yield Deviation(name, right, resize=partial(_unsmoothed, kernel=kernel))
    yield Deviation("EXIF's orientation ignored", right, f"{__name__}:sideways")
    for colour in _BACKGROUNDS:
        name = f"transparent pixels on {colour} in place of alpha dropped"
        yield Deviation(name, right, f"{__name__}:on_{colour}")


Change = tuple[str, dict[str, Any]]


def _orders(right: Preprocessing) -> Iterator[Change]:
    other = "RGB" if right.channels == "BGR" else "BGR"
    yield f"{other} in place of {right.channels}", {"channels": other}
    turned = {"mean": right.mean[::-1], "std": right.std[::-1]}
    yield "the mean and standard deviation of red and blue exchanged", turned
    yield f"{other} in place of {right.channels}, their mean too", {"channels": other, **turned}


def _numbers(right: Preprocessing) -> Iterator[Change]:
    yield "levels from 0 to 255 that are not scaled", {"scale": 1.0}
    yield "levels scaled to 0 to 1", {"scale": 1 / 255}
    for factor, how in ((255, "multiplied"), (1 / 255, "divided")):
        mean, std = (tuple(v * factor for v in values) for values in (right.mean, right.std))
        yield f"a mean {how} by 255", {"mean": mean}
        yield f"a mean and standard deviation {how} by 255", {"mean": mean, "std": std}
    none: dict[str, Any] = {"mean": (0.0,) * 3}
    one: dict[str, Any] = {"std": (1.0,) * 3}
    yield "no mean subtracted", none
    yield "no division by the standard deviation", one
    yield "neither mean nor standard deviation", {**none, **one}
    yield "levels from 0 to 255 as they are", {**none, **one, "scale": 1.0}
    for name, (mean, std) in _STATISTICS.items():
        order = -1 if right.channels == "BGR" else 1
        yield name, {"scale": 1 / 255, "mean": mean[::order], "std": std[::order]}


def _geometries(right: Preprocessing) -> Iterator[Change]:
    size, most = right.size, max(right.size)
    instead, larger = f" in place of {right.geometry}", round(most / _EDGE)
    edges = {larger} | ({right.resize} if isinstance(right.resize, int) else set())
    plain: dict[str, Any] = {"pad": None}
    squeezed = {**plain, "resize": None}
    yield f"the whole image squeezed to {size[0]}x{size[1]}{instead}", squeezed
    for edge in sorted(edges):
        whole = f"the whole image squeezed to {edge}x{edge} before the crop{instead}"
        yield whole, {**plain, "resize": (edge, edge)}
    for edge in sorted({most} | edges):
        yield f"the shorter edge made {edge} before the crop{instead}", {**plain, "resize": edge}
    for level in (0, 128, 255):
        padded = f"the whole image within {size[0]}x{size[1]} on gray level {level}{instead}"
        yield padded, {"resize": None, "pad": (level,) * 3}
    other = "round" if right.crop == "floor" else "floor"
    yield "the middle cut one pixel beside", {"crop": other}


def sideways(data: bytes, limits: Limits, _: Size | None = None) -> Decoded:
    """Decode without a look at EXIF."""
    return reference.decode(data, limits, upright=False)


def on_black(data: bytes, limits: Limits, _: Size | None = None) -> Decoded:
    """Decode with black behind what is transparent."""
    return reference.decode(data, limits, behind="black")


def on_white(data: bytes, limits: Limits, _: Size | None = None) -> Decoded:
    """Decode with white behind what is transparent."""
    return reference.decode(data, limits, behind="white")


def _unsmoothed(image: Image.Image, size: Size, _: str, *, kernel: str) -> Image.Image:
    """Interpolate between the nearest pixels, however many lie between two of the result's.

    OpenCV, PyTorch's ``interpolate`` and TensorFlow's ``image.resize`` do so unless told otherwise.
    """
    levels: Numbers = np.asarray(image, np.float64)
    for axis, side in enumerate(size):
        levels = _along(levels, axis, side, *_KERNELS[kernel])
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _along(
    levels: Numbers, axis: int, side: int, reach: int, weigh: Callable[[Numbers], Numbers]
) -> Numbers:
    """Interpolate along one axis from ``2 * reach`` pixels each; beyond the edge it is repeated."""
    length = levels.shape[axis]
    centres = (np.arange(side) + 0.5) * length / side - 0.5
    first = np.floor(centres).astype(np.int64) - reach + 1
    taps = first[:, np.newaxis] + np.arange(2 * reach)  # (side, 2 * reach)
    weights = weigh(np.abs(centres[:, np.newaxis] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    shape = [1, 1, 1]
    shape[axis] = side
    summed = np.zeros((*levels.shape[:axis], side, *levels.shape[axis + 1 :]))
    for tap, weight in zip(np.clip(taps, 0, length - 1).T, weights.T, strict=True):
        summed += np.take(levels, tap, axis) * weight.reshape(shape)
    return summed


def _cubic(x: Numbers, a: float) -> Numbers:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_KERNELS: Mapping[str, tuple[int, Callable[[Numbers], Numbers]]] = MappingProxyType(
    {
        "bilinear": (1, lambda x: np.maximum(0, 1 - x)),
        "bicubic (a = -0.75, as in OpenCV and PyTorch)": (2, partial(_cubic, a=-0.75)),
        "bicubic (a = -0.5, as in TensorFlow)": (2, partial(_cubic, a=-0.5)),
        "Lanczos (of eight pixels, as in OpenCV)": (4, lambda x: np.sinc(x) * np.sinc(x / 4)),
    }
)
"""How far each reaches, and the weight of a pixel by its distance."""
