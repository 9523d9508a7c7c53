"""What a network wants done to an image: first to its geometry, then to its numbers.

The geometry is done here, in pixels, by Pillow's own rules; the arithmetic becomes the first nodes
of the network's graph, so that every engine reads uint8.
"""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from featuremill.errors import ModelError
from featuremill.images import decode
from featuremill.images.raw_pixels import Pixels

RESAMPLES = ("nearest", "bilinear", "bicubic", "lanczos")
"""Pillow's filters that an image can be resized by."""

Size = tuple[int, int]
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """From an upright RGB image to a network's input.

    Parameters
    ----------
    size : tuple of (int, int)
        Height and width of the input, in pixels.
    resize : int or tuple of (int, int), optional
        What the image is resized to before ``size`` is cut from its middle: its shorter edge, or
        height and width. ``size`` if left out.
    resample : str
        One of :data:`RESAMPLES`.
    crop : str
        Which way an odd margin goes: ``floor`` (Transformers), or ``round``, half to even
        (torchvision, timm).
    pad : tuple of (int, int, int), optional
        Instead of all that: the image is resized to lie within ``size``, and this colour fills the
        rest.
    scale : float
        Levels from 0 to 255 are multiplied by this.
    mean, std : tuple of three float
        Subtracted then, and divided by; in the order of ``channels``.
    channels, layout : str
        Order of the channels, and of the axes.

    Raises
    ------
    ModelError
        If a value is out of its bounds, or two contradict each other.
    """

    size: Size
    resize: int | Size | None = None
    resample: str = "bicubic"
    crop: Literal["floor", "round"] = "floor"
    pad: tuple[int, int, int] | None = None
    scale: float = 1 / 255
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    def __post_init__(self) -> None:
        edges = self.size if self.resize is None else _both(self.resize)
        checks = {
            "size": (min(self.size) >= 1, "sides of at least 1 pixel"),
            "resize": (
                all(edge >= side for edge, side in zip(edges, self.size, strict=True)),
                f"at least the size of the input, {self.size[0]} x {self.size[1]}",
            ),
            "resample": (self.resample in RESAMPLES, f"one of {', '.join(RESAMPLES)}"),
            "crop": (self.crop in ("floor", "round"), "floor or round"),
            "pad": (
                self.pad is None or (self.resize is None and _three(self.pad, 0, 255)),
                "a colour of three levels from 0 to 255, and without resize",
            ),
            "scale": (0 < self.scale < np.inf, "above 0"),
            "mean": (_three(self.mean, -1e6, 1e6), "three finite numbers"),
            "std": (_three(self.std, 1e-9, 1e6), "three numbers above 0"),
            "channels": (self.channels in ("RGB", "BGR"), "RGB or BGR"),
            "layout": (self.layout in ("NCHW", "NHWC"), "NCHW or NHWC"),
        }
        for name, (holds, bound) in checks.items():
            if not holds:
                raise ModelError(
                    f"The preprocessing's {name} is {getattr(self, name)}, it must be {bound}.",
                    f"Correct {name} in the file that describes the preprocessing.",
                )

    @property
    def target(self) -> Size:
        """What a decoder may decode for: height and width that the image is resized to."""
        return self.size if self.resize is None else _both(self.resize)

    @property
    def divisor(self) -> Channels:
        """What levels are divided by, once and for all, before :attr:`offset` is subtracted."""
        red, green, blue = (std / self.scale for std in self.std)
        return red, green, blue

    @property
    def offset(self) -> Channels:
        """What is subtracted last."""
        red, green, blue = (mean / std for mean, std in zip(self.mean, self.std, strict=True))
        return red, green, blue

    def apply(self, rgb: Pixels) -> Pixels:
        """Resize, and crop or pad: the pixels are Pillow's.

        Parameters
        ----------
        rgb : ndarray of shape (height, width, 3), uint8
            As :func:`featuremill.images.decode.decode` gives them.

        Returns
        -------
        ndarray of shape (*size, 3), uint8
            ``rgb`` itself where nothing is to be done; may be read-only.
        """
        height, width = rgb.shape[:2]
        if self.pad is not None:
            return self._padded(rgb, self.pad)
        if isinstance(self.resize, int):
            whole = shorter_edge_to(self.resize, height, width)
        else:
            whole = self.resize or self.size
        if whole == self.size:
            return decode.resize(rgb, whole, self.resample)
        rows, columns = map(self._middle, whole, self.size)
        return decode.resize(rgb, whole, self.resample, (rows, columns))

    def _middle(self, edge: int, side: int) -> tuple[int, int]:
        margin = edge - side
        first = margin // 2 if self.crop == "floor" else round(margin / 2)
        return first, first + side

    def _padded(self, rgb: Pixels, colour: tuple[int, int, int]) -> Pixels:
        ratio = min(side / edge for side, edge in zip(self.size, rgb.shape, strict=False))
        height, width = (max(1, round(edge * ratio)) for edge in rgb.shape[:2])
        padded = np.empty((*self.size, 3), np.uint8)
        padded[:] = colour
        top, left = (self.size[0] - height) // 2, (self.size[1] - width) // 2
        padded[top : top + height, left : left + width] = decode.resize(
            rgb, (height, width), self.resample
        )
        return padded

    def __str__(self) -> str:
        """All that a feature depends on, in one line; part of a model's identity."""
        scaled = "" if self.pad else " (JPEGs from 1/n, >= 4x, unless fp32)"
        order = f", {self.channels}" if self.channels != "RGB" else ""
        layout = f", {self.layout}" if self.layout != "NCHW" else ""
        numbers = f"x/{_text(self.divisor)}-{_text(self.offset)}"
        return f"pillow-{self.resample} {self.geometry}{scaled}, {numbers}{order}{layout}"

    @property
    def geometry(self) -> str:
        """What becomes of the image's shape, in a few words."""
        size = "{}x{}".format(*self.size)
        if self.pad is not None:
            return f"within {size} on {_text(self.pad)}"
        if self.resize is None or self.resize == self.size:
            return size
        edge = self.resize if isinstance(self.resize, int) else "{}x{}".format(*self.resize)
        return f"{edge}, middle {size} ({self.crop})"


FIELDS = tuple(each.name for each in fields(Preprocessing))
"""What a preprocessing is made of, by name."""


def shorter_edge_to(edge: int, height: int, width: int) -> Size:
    """Height and width of an image whose shorter edge becomes so long; the other one is cut off."""
    if height <= width:
        return edge, int(edge * width / height)
    return int(edge * height / width), edge


def _both(resize: int | Size) -> Size:
    return (resize, resize) if isinstance(resize, int) else resize


def _three(numbers: tuple[float, ...], least: float, most: float) -> bool:
    return len(numbers) == 3 and all(least <= number <= most for number in numbers)


def _text(numbers: tuple[float, ...]) -> str:
    """One number where all are the same; nine digits tell every float32 from the next."""
    each = [f"{number:.9g}" for number in numbers]
    return each[0] if len(set(each)) == 1 else f"[{', '.join(each)}]"
