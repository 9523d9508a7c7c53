"""Pillow's antialiased resize, pixel for pixel, several times sooner.

The weights, their fixed point, the order of the two passes and the rounding to 8 bits between them
are those of Pillow 13's ``Resample.c``; before 13, the width came first, but for images more than
100 times as tall as wide in 12.2 and 12.3. What differs is the order of the work: a weight meets
many pixels at once, so that it can be done in the processor's vector unit. The first call compiles,
or reads Numba's cache on disk, and takes a tenth of a second to a second.
"""

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from featuremill.images.raw_pixels import Pixels

Integers = npt.NDArray[np.int32]
Weights = tuple[Integers, Integers, Integers]

_PRECISION_BITS = 22
"""Pillow's: 8 bits of a pixel, 2 of headroom, and 22 of a weight make 32."""
_HALF = 1 << (_PRECISION_BITS - 1)
"""Added before the bits go, so that they are rounded."""
_ROWS = 32
"""Rows that the horizontal pass turns on their side at a time; they stay in the nearest cache."""
_KEPT_SIZES = 256


Window = tuple[int, int]
"""The outputs along an axis that are wanted: the first, and the one after the last."""


def resize(
    rgb: Pixels,
    size: tuple[int, int],
    resample: str = "bicubic",
    part: tuple[Window, Window] | None = None,
) -> Pixels:
    """Stretch to a size as Pillow's ``Image.resize`` does.

    Parameters
    ----------
    rgb : ndarray of shape (height, width, 3), uint8
        Any strides; every side at least 1.
    size : tuple of (int, int)
        Height and width wanted, in pixels, at least 1.
    resample : str
        One of :data:`KERNELS`, or ``nearest``.
    part : tuple, optional
        The rows that are wanted, from the first to before the last, and the columns.

    Returns
    -------
    ndarray of shape (*size, 3), uint8
        Or the part; C-contiguous.
    """
    height, width = size
    rows, columns = part or ((0, height), (0, width))
    rgb = np.ascontiguousarray(rgb)
    if resample == "nearest":
        taken = rgb[
            _nearest(len(rgb), height, rows)[:, None], _nearest(rgb.shape[1], width, columns)
        ]
        return np.ascontiguousarray(taken)
    shrinks_by = rgb.shape[0] - height
    if shrinks_by > max(0, 2 * (rgb.shape[1] - width)):
        return _to_width(_to_height(rgb, height, resample, rows), width, resample, columns)
    return _to_height(_to_width(rgb, width, resample, columns), height, resample, rows)


def _to_width(rgb: Pixels, width: int, resample: str, window: Window) -> Pixels:
    if rgb.shape[1] == width:
        return np.ascontiguousarray(rgb[:, slice(*window)])
    resized = np.empty((rgb.shape[0], window[1] - window[0], 3), np.uint8)
    _horizontal(rgb, *weights(rgb.shape[1], width, resample, window), resized)
    return resized


def _to_height(rgb: Pixels, height: int, resample: str, window: Window) -> Pixels:
    if rgb.shape[0] == height:
        return rgb[slice(*window)]
    resized = np.empty((window[1] - window[0], *rgb.shape[1:]), np.uint8)
    shares = weights(len(rgb), height, resample, window)
    _vertical(rgb.reshape(len(rgb), -1), *shares, resized.reshape(len(resized), -1))
    return resized


def _nearest(n_in: int, n_out: int, window: Window) -> npt.NDArray[np.intp]:
    """Which input each output of a window is; summed up one after another, as Pillow does it."""
    scale = n_in / n_out
    steps = np.full(window[1], scale)
    steps[0] *= 0.5
    inputs: npt.NDArray[np.intp] = np.cumsum(steps).astype(np.intp)
    return np.minimum(inputs[slice(*window)], n_in - 1)


@lru_cache(_KEPT_SIZES)
def weights(
    n_in: int, n_out: int, resample: str = "bicubic", window: Window | None = None
) -> Weights:
    """Which inputs make up each output of one axis, and by how much.

    Parameters
    ----------
    n_in, n_out : int
        Pixels along the axis before and after.
    resample : str
        One of :data:`KERNELS`.
    window : tuple of (int, int), optional
        The outputs that are wanted; all of them if left out.

    Returns
    -------
    first : ndarray of shape (n_out,), int32
        Index of the first input.
    count : ndarray of shape (n_out,), int32
        How many inputs.
    fixed : ndarray of shape (n_out, largest count), int32
        Their weights times 2 to the power of 22; 0 beyond ``count``.
    """
    kernel, reach = KERNELS[resample]
    scale = n_in / n_out
    stretch = max(scale, 1.0)
    support = reach * stretch
    centre = (np.arange(*(window or (0, n_out))) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int32), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int32), n_in) - first
    taps = np.arange(count.max())
    distance = (taps + first[:, None] - centre[:, None] + 0.5) * (1.0 / stretch)
    share = np.where(taps < count[:, None], kernel(distance), 0.0)  # (n_out, taps)
    # summed one after another as Pillow does; sum() would round differently
    share *= 1.0 / np.cumsum(share, axis=1)[:, -1:]
    scaled = share * (1 << _PRECISION_BITS)
    return first, count, np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)


Distances = npt.NDArray[np.float64]


def _linear(distance: Distances) -> Distances:
    return np.maximum(1.0 - np.abs(distance), 0.0)


def _lanczos(distance: Distances) -> Distances:
    """Three lobes of a sinc under a sinc; numpy's ``sinc`` rounds otherwise than C does."""
    whole = distance == 0.0
    x = np.where(whole, 1.0, distance * np.pi)
    third = np.where(whole, 1.0, distance / 3 * np.pi)
    lobes = np.sin(x) / x * (np.sin(third) / third)
    return np.where(whole, 1.0, np.where((distance >= -3.0) & (distance < 3.0), lobes, 0.0))


def _cubic(distance: Distances) -> Distances:
    """Keys' kernel with a = -0.5: "Cubic convolution interpolation", IEEE ASSP 29(6), 1981."""
    a = -0.5
    x = np.abs(distance)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


KERNELS: Mapping[str, tuple[Callable[[Distances], Distances], float]] = MappingProxyType(
    {"bilinear": (_linear, 1.0), "bicubic": (_cubic, 2.0), "lanczos": (_lanczos, 3.0)}
)
"""Share of a pixel by its distance, and how far it reaches, in pixels of the smaller side."""


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile at the first call, and keep the result on disk where there is a place for it.

    Numba unpickles what it finds there, so whoever can write there runs code in this process.
    """
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        with suppress(OSError):
            Path(named).mkdir(0o700)
    try:
        kept: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's own can be written to
        kept = None
    if kept is None or not _only_ours(kept.stats.cache_path):
        kept = numba.njit(nogil=True)(function)
    compiled: Callable[..., None] = kept
    return compiled


def _only_ours(folder: str) -> bool:
    """Whether nobody else can write to a folder, or put another one in its place."""
    whole = Path(folder).resolve()
    if whole.parent == Path(__file__).resolve().parent:
        # beside the code itself
        return True
    ours, others = os.geteuid(), stat.S_IWGRP | stat.S_IWOTH
    found = [path.stat() for path in (whole, *whole.parents)]
    closed = (at for at, each in enumerate(found) if not each.st_mode & (stat.S_IRWXG | others))
    # behind a door that only we open it does not matter how the rooms are left
    first, *above = found[next(closed, 0) :]
    return (
        first.st_uid == ours
        and not first.st_mode & others
        and all(
            each.st_uid in (ours, 0) and (not each.st_mode & others or each.st_mode & stat.S_ISVTX)
            for each in above
        )
    )


@compiled
def _horizontal(
    source: Pixels, first: Integers, count: Integers, fixed: Integers, out: Pixels
) -> None:
    """Change the width: (H, W, 3) to (H, n_out, 3).

    Rows lie on their side meanwhile, some at a time, since a processor adds up neighbours best.
    """
    height, width, _ = source.shape
    sideways = np.zeros((width, 3 * _ROWS), np.uint8)
    total = np.empty(3 * _ROWS, np.int32)
    pixels = np.empty(3 * _ROWS, np.uint8)
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        for y in range(rows):
            row = source[top + y]
            for x in range(width):
                sideways[x, 3 * y] = row[x, 0]
                sideways[x, 3 * y + 1] = row[x, 1]
                sideways[x, 3 * y + 2] = row[x, 2]
        for x in range(len(first)):
            total[:] = _HALF
            for tap in range(count[x]):
                weight = fixed[x, tap]
                column = sideways[first[x] + tap]
                for i in range(len(total)):
                    total[i] += np.int32(column[i]) * weight
            for i in range(len(total)):
                pixels[i] = min(max(total[i] >> _PRECISION_BITS, 0), 255)
            for y in range(rows):
                out[top + y, x, 0] = pixels[3 * y]
                out[top + y, x, 1] = pixels[3 * y + 1]
                out[top + y, x, 2] = pixels[3 * y + 2]


@compiled
def _vertical(
    source: Pixels, first: Integers, count: Integers, fixed: Integers, out: Pixels
) -> None:
    """Change the height: (H, m) to (n_out, m), whatever the m numbers of a row are."""
    # the loops stand here again because a function for both makes each a tenth slower
    total = np.empty(source.shape[1], np.int32)
    for y in range(len(first)):
        total[:] = _HALF
        for tap in range(count[y]):
            weight = fixed[y, tap]
            row = source[first[y] + tap]
            for i in range(len(total)):
                total[i] += np.int32(row[i]) * weight
        for i in range(len(total)):
            out[y, i] = min(max(total[i] >> _PRECISION_BITS, 0), 255)
