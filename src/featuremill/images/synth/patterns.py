"""Makes tileable patterns for skins and backdrops, once in each process.

A pattern holds shares of 0 to 1 and is looked up by wrapped coordinates.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Plane = npt.NDArray[np.floating]

SIDE = 1024  # a power of two, so that a mask wraps the coordinates


def sample(name: str, along: Plane, around: Plane) -> Plane:
    """Pattern ``name`` at wrapped coordinates in turns, as shares of 0 to 1."""
    row = (along * SIDE).astype(np.int32) & (SIDE - 1)
    column = (around * SIDE).astype(np.int32) & (SIDE - 1)
    return _pattern(name).take(row * SIDE + column).astype(np.float32) / 255


def wave(turns: Plane) -> Plane:
    """A cosine from 0 to 1 that repeats at every whole number of ``turns``."""
    cosine: Plane = np.cos(math.tau * turns)
    return 0.5 + 0.5 * cosine


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Plane:
    """Smooth tileable noise of shape (SIDE, SIDE): a small random grid, enlarged."""
    grid = np.pad(rng.random((rows, columns), dtype=np.float32), 2, mode="wrap")
    box = (2, 2, 2 + columns, 2 + rows)
    enlarged = Image.fromarray(grid).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return np.asarray(enlarged, dtype=np.float32)


def _step(value: Plane, low: float, high: float) -> Plane:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    share: Plane = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _dots(rng: np.random.Generator, count: int, radius: float) -> Plane:
    """Soft round dots at random places of shape (SIDE, SIDE)."""
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for x, y, share in rng.random((count, 3)):
        reach = radius * (0.6 + 0.6 * share)
        left, top = x * (SIDE - 2 * reach), y * (SIDE - 2 * reach)
        pen.ellipse((left, top, left + 2 * reach, top + 2 * reach), fill=255)
    soft = image.filter(ImageFilter.GaussianBlur(radius / 4))
    return np.asarray(soft, dtype=np.float32) / 255


@cache
def _pattern(name: str) -> npt.NDArray[np.uint8]:
    """Pattern ``name``, flattened from (SIDE, SIDE): rows run along the axis, columns around."""
    rng = np.random.default_rng(list(name.encode()))
    soft, fine = _noise(rng, 5, 5), _noise(rng, 24, 24)
    along, around = _tile()
    patterns: dict[str, Callable[[], Plane]] = {
        "plain": lambda: 0.35 * soft + 0.1 * fine,
        "striped": lambda: _step(wave(11 * around + 0.5 * soft + 0.25 * fine), 0.35, 0.85),
        "speckled": lambda: np.maximum(_dots(rng, 420, 9), 0.25 * soft),
        "blotched": lambda: _step(0.6 * soft + 0.4 * fine, 0.5, 0.62),
        "blushed": lambda: _step(wave(around) + 0.7 * soft - 0.35, 0.2, 0.9),
        "netted": lambda: _step(np.abs(fine - _noise(rng, 24, 24)), 0.14, 0.02),
        "ringed": lambda: _step(wave(18 * along + 0.4 * soft + 0.2 * fine), 0.4, 0.9),
        "scaled": lambda: wave(10 * around + 8 * along) * wave(10 * around - 8 * along),
        "seeded": lambda: _step(wave(14 * around) * wave(14 * along), 0.6, 0.85),
        "pored": lambda: 0.5 * _dots(rng, 1500, 6) + 0.25 * soft,
        "wood": lambda: wave(3 * _noise(rng, 3, 40) + 0.3 * fine),
        "cloth": lambda: 0.5 * soft + 0.25 * wave(64 * along) + 0.25 * wave(64 * around),
        "leaves": lambda: 0.6 * _step(_noise(rng, 9, 9), 0.3, 0.8) + 0.4 * soft,
        "segmented": _segmented,
        "rayed": _rayed,
        "pipped": _pipped,
    }
    return (255 * np.clip(patterns[name](), 0, 1)).astype(np.uint8).ravel()


def _tile() -> tuple[Plane, Plane]:
    """Coordinates of a pattern from 0 to 1, down and across, (SIDE, SIDE) each."""
    turns = np.arange(SIDE, dtype=np.float32) / SIDE
    down, across = np.broadcast_arrays(turns[:, None], turns[None, :])
    return down, across


def _disc() -> tuple[Plane, Plane]:
    """Polar coordinates (SIDE, SIDE) of a fruit cut across: radius, 1 at its rim, and turns."""
    down, across = _tile()
    y, x = down - 0.5, across - 0.5
    return 4 * np.hypot(y, x), np.arctan2(y, x) / math.tau


def _segmented() -> Plane:
    """Rind and membranes, as of an orange."""
    radius, turn = _disc()
    membranes = _step(radius * radius * (1 - wave(10 * turn)), 0.03, 0.005)
    return np.maximum(_step(radius, 0.82, 0.9), membranes)


def _rayed() -> Plane:
    """A pale core and rays around it, as of a kiwi."""
    radius, turn = _disc()
    rays = wave(26 * turn) * _step(radius, 0.8, 0.3)
    return np.maximum(_step(radius, 0.3, 0.2), 0.7 * rays)


def _pipped() -> Plane:
    """Rind and a ring of pips, as of a melon."""
    radius, turn = _disc()
    pips = _step(wave(11 * turn), 0.8, 0.95) * _step(np.abs(radius - 0.55), 0.14, 0.08)
    return np.maximum(_step(radius, 0.88, 0.92), pips)
