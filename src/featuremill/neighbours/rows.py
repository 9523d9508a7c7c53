"""Unit rows, and what all who multiply them share."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Indices = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Told so many rows of so many."""

QUERIES: Final = 1024
BLOCK: Final = 4096
"""Rows on either side of one product: 16 MiB of cosines."""

TOLERANCE: Final = 1e-5
"""More than a float32 product of unit rows is ever off by; nearer decisions need float64."""

_GATHERED: Final = 256
"""Pairs of rows copied at a time: 2.5 MiB of 1280 features."""


def unit_rows(vectors: Rows) -> Rows:
    """Rows divided by their length.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32

    Returns
    -------
    ndarray of shape (n, d), float32
        A copy. Rows of zeros stay zero: their cosine to everything is 0.
    """
    lengths = np.sqrt(squares(vectors))
    lengths[lengths == 0] = 1
    return np.asarray(vectors / lengths[:, np.newaxis].astype(np.float32))


def squares(vectors: Rows) -> NDArray[np.float64]:
    """Squared lengths of rows, of shape (n,), summed in float64."""
    every = np.arange(len(vectors))
    return cosines_of_pairs(vectors, every, vectors, every)


def cosines_of_pairs(left: Rows, i: Indices, right: Rows, j: Indices) -> NDArray[np.float64]:
    """Products of single pairs of rows, ``left[i]`` and ``right[j]``, summed in float64.

    Parameters
    ----------
    left, right : ndarray of shape (n, d) and (m, d), float32
    i, j : ndarray of shape (p,), int64

    Returns
    -------
    ndarray of shape (p,), float64
    """
    cosines = np.empty(len(i))
    for part in gathered(len(i)):
        a, b = left[i[part]].astype(np.float64), right[j[part]].astype(np.float64)
        cosines[part] = np.vecdot(a, b)
    return cosines


def gathered(pairs: int) -> Iterator[slice]:
    """Runs of pairs of rows that are few enough to be copied into the cache."""
    for start in range(0, pairs, _GATHERED):
        yield slice(start, start + _GATHERED)
