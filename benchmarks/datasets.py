"""The pictures that everything is measured on, drawn once and reused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import BenchmarkError
from benchmarks.options import Options
from featuremill.images.synth import SynthConfig, draw, encode, write

CLASSES = 131  # as in Fruits-360

LARGE_WIDTHS = {1: 1155, 3: 2000, 6: 2828, 12: 4000}
"""Width in pixels of a 4:3 photo, by its megapixels."""

_LARGE_OF_EACH = 8
_GRAIN = 4.0  # of 255: brings drawn pictures to the bytes per pixel of a telephone's photos


def fruits(options: Options) -> Path:
    """The whole set: ``options.images`` JPEGs of 100x100 pixels in 131 folders.

    Returns
    -------
    Path
        The folder, with one folder for each class.
    """

    def fill(folder: Path) -> None:
        per_class = -(-options.images // CLASSES)
        write(folder, SynthConfig(CLASSES, per_class))
        surplus = per_class * CLASSES - options.images
        for class_folder in sorted(folder.iterdir())[CLASSES - surplus :]:
            max(class_folder.iterdir()).unlink()

    return _made_once(options.data / f"fruits-{options.images}", fill)


def subset(options: Options, images: int) -> Path:
    """Hard links to so many pictures of the whole set, evenly spread, of every class.

    Raises
    ------
    BenchmarkError
        If that is less than one of each class, or more than there are.
    """
    if not CLASSES <= images <= options.images:
        raise BenchmarkError(
            f"a subset of {images} images was asked for; it needs from {CLASSES} (one of each"
            f" class) to {options.images}: change --subset or --images"
        )
    whole = fruits(options)
    if images == options.images:
        return whole

    def fill(folder: Path) -> None:
        for number, class_folder in enumerate(sorted(whole.iterdir())):
            pictures = sorted(class_folder.iterdir())
            # one more of the first classes, which are the larger ones, too
            share = images // CLASSES + (number < images % CLASSES)
            (folder / class_folder.name).mkdir(parents=True)
            for n in range(share):
                picture = pictures[n * len(pictures) // share]
                os.link(picture, folder / class_folder.name / picture.name)

    return _made_once(options.data / f"fruits-{images}-of-{options.images}", fill)


def large_photos(options: Options) -> Path:
    """JPEGs of 1, 3, 6 and 12 megapixels, with a camera's proportions and grain.

    Returns
    -------
    Path
        The folder, with one folder for each size, named by its megapixels: ``03-megapixels``.
    """
    of_each = 2 if options.quick else _LARGE_OF_EACH

    def fill(folder: Path) -> None:
        for megapixels, width in LARGE_WIDTHS.items():
            size_folder = folder / f"{megapixels:02}-megapixels"
            size_folder.mkdir(parents=True)
            for number in range(of_each):
                photo = size_folder / f"photo_{number}.jpg"
                photo.write_bytes(_large_photo(number, width))

    return _made_once(options.data / f"large-{of_each}", fill)


def _large_photo(number: int, width: int) -> bytes:
    square = draw(number, 0, SynthConfig(number + 1, 1, size=width))
    rgb = square[: width * 3 // 4]
    grain = np.random.default_rng(number).normal(0, _GRAIN, (*rgb.shape[:2], 1))
    grainy = np.clip(rgb + grain.astype(np.float32), 0, 255).astype(np.uint8)
    return encode(grainy, "jpeg")


def _made_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """The folder, filled first if it is not there; whole or not at all."""
    if not folder.exists():
        print(f"  making {folder.name}", flush=True)
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        fill(unfinished)
        unfinished.rename(folder)
    # read it all, so that no contender is the one that waits for a cold disk
    for path in folder.rglob("*.jpg"):
        path.read_bytes()
    return folder
