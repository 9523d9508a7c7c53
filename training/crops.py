"""Crops of photographs: how one is chosen, changed and handed to teacher and student."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageEnhance, ImageFilter

Pixels = npt.NDArray[np.uint8]

_DRAFT = 640
"""Longer photographs are decoded at half their size or less: no crop needs more."""


@dataclass(frozen=True)
class Recipe:
    """How crops differ from the photograph they are cut from.

    Parameters
    ----------
    least_area : float
        Smallest share of the photograph's area; the largest is all of it.
    flip, colour, grayscale, small, jpeg, lines : float
        Probabilities of a mirrored crop, of other brightness, contrast and saturation, of no colour
        at all, of one that is only 100 pixels wide before anybody sees it, of JPEG's losses, and of
        a drawing of its outlines in its place.
    """

    least_area: float
    flip: float = 0.5
    colour: float = 0.0
    grayscale: float = 0.0
    small: float = 0.0
    jpeg: float = 0.0
    lines: float = 0.0


TRAINING = Recipe(0.12, colour=0.5, grayscale=0.1, small=0.35, jpeg=0.3, lines=0.06)
EVALUATION = Recipe(0.2)
"""Plain crops: what is measured is recognition, not robustness."""

_SMALL = 100


def open_photograph(path: Path) -> Image.Image:
    """Read a photograph as RGB.

    Raises
    ------
    OSError
        If it cannot be decoded.
    """
    with Image.open(path) as image:
        image.draft("RGB", (_DRAFT, _DRAFT))
        return image.convert("RGB")


def random_for(seed: int, path: str, crop: int) -> np.random.Generator:
    """A generator of its own for every crop, so that any subset can be made again alone."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(path.encode()), crop]))


def cut(photograph: Image.Image, recipe: Recipe, random: np.random.Generator) -> Image.Image:
    """Cut one crop and change it as the recipe says.

    Parameters
    ----------
    photograph : Image
        RGB.
    recipe : Recipe
        What may happen.
    random : Generator
        Draws what does happen.

    Returns
    -------
    Image
        RGB, of any size and of a ratio between 3:4 and 4:3.
    """
    crop = photograph.crop(_box(photograph.size, recipe.least_area, random))
    if random.random() < recipe.flip:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < recipe.lines:
        return _outlines(crop, random)
    if random.random() < recipe.colour:
        crop = _recoloured(crop, random)
    if random.random() < recipe.grayscale:
        crop = crop.convert("L").convert("RGB")
    if random.random() < recipe.small:
        crop = crop.resize((_SMALL, _SMALL), Image.Resampling.BICUBIC)
    if random.random() < recipe.jpeg:
        crop = _recompressed(crop, int(random.integers(40, 96)))
    return crop


def seen_at(crop: Image.Image, side: int) -> Pixels:
    """Resize a crop to a network's input, as the pipeline resizes images.

    Returns
    -------
    ndarray of shape (side, side, 3)
        uint8.
    """
    return np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))


def _box(
    size: tuple[int, int], least_area: float, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """A random part of the photograph; the whole where ten draws do not fit into it.

    As in Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.
    """
    width, height = size
    for _ in range(10):
        area = width * height * random.uniform(least_area, 1.0)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        wide, high = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if wide <= width and high <= height:
            left = int(random.integers(0, width - wide + 1))
            top = int(random.integers(0, height - high + 1))
            return left, top, left + wide, top + high
    return 0, 0, width, height


def _recoloured(crop: Image.Image, random: np.random.Generator) -> Image.Image:
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        crop = enhancer(crop).enhance(float(random.uniform(0.6, 1.4)))
    return crop


def _recompressed(crop: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    crop.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _outlines(crop: Image.Image, random: np.random.Generator) -> Image.Image:
    """Black outlines, a pixel wide, of the crop's light or dark parts on white."""
    gray = crop.convert("L").resize((_SMALL, _SMALL), Image.Resampling.BICUBIC)
    gray = gray.filter(ImageFilter.GaussianBlur(float(random.uniform(1, 4))))
    level = float(np.quantile(np.asarray(gray), random.uniform(0.2, 0.8)))
    parts = gray.point([255 * (value > level) for value in range(256)])
    edge = ImageChops.difference(parts, parts.filter(ImageFilter.MinFilter(3)))
    return ImageChops.invert(edge).convert("RGB")
