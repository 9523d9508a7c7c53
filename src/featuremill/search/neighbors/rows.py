"""Computes cosines of unit rows, and bounds what rounding changes of them."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from featuremill.dataset.reader import Indices, Matrix

RowProgress = Callable[[int, int], None]
"""Is told how many rows of how many are done."""

QUERIES: Final = 1024
BLOCK: Final = 4096
"""Rows on either side of one product: 16 MiB of cosines."""

DENSE: Final = 32
"""A product of whole blocks takes as long as so many times fewer single pairs."""

PIECE: Final = 2**18
"""Pairs of rows that are handled at a time: some 5 MiB."""

_GATHERED: Final = 256
"""Pairs of rows copied at a time: 2.5 MiB of 1280 features."""


def tolerance(width: int) -> float:
    """More than a float32 product of unit rows of so many numbers is ever off by.

    Notes
    -----
    A sum of n products is off by at most ``n u / (1 - n u)`` times the sum of their magnitudes,
    with ``u = 2**-24``, in whatever order they are added, with fused multiply-add or without:
    N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., SIAM 2002, section 3.1.
    So it holds for every kernel of BLAS, on every processor. For 1280 features it is 7.7e-5; what
    was measured is 1e-5 with AVX2 and 1.5e-5 without. The 8 make up for lengths that are not quite
    1 and for what is rounded on the way.
    """
    return 1.01 * (width + 8) * 2.0**-24


def unit_rows(vectors: Matrix) -> Matrix:
    """Rows divided by their length.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32

    Returns
    -------
    ndarray of shape (n, d), float32
        A copy. Rows of zeros stay zero: their cosine to everything is 0.
    """
    lengths = np.sqrt(squares(vectors))[:, np.newaxis]
    lengths[lengths == 0] = 1
    unit = np.empty(vectors.shape, np.float32)
    for part in gathered(len(vectors)):
        # in float64, since a length may be too large or too small for float32
        unit[part] = vectors[part] / lengths[part]
    return unit


def squares(vectors: Matrix) -> NDArray[np.float64]:
    """Squared lengths of rows, of shape (n,), summed in float64."""
    every = np.arange(len(vectors))
    return cosines_of_pairs(vectors, every, vectors, every)


def cosines_of_pairs(left: Matrix, i: Indices, right: Matrix, j: Indices) -> NDArray[np.float64]:
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


def rounded_cosines(left: Matrix, i: Indices, right: Matrix, j: Indices) -> Matrix:
    """The same as :func:`cosines_of_pairs`, rounded to float32, and faster for many pairs.

    Parameters
    ----------
    left, right : ndarray of shape (n, d) and (m, d), float32
    i, j : ndarray of shape (p,), int64
        In ascending order of `i`, for speed.

    Returns
    -------
    ndarray of shape (p,), float32
        Of equal rows the same number, whatever else is asked for.
    """
    cosines = np.empty(len(i), np.float32)
    for start in range(0, len(i), PIECE):
        part = slice(start, start + PIECE)
        cosines[part] = _rounded(left, i[part], right, j[part])
    return cosines


def _rounded(left: Matrix, i: Indices, right: Matrix, j: Indices) -> Matrix:
    some, i_of_some = np.unique(i, return_inverse=True)
    others, j_of_others = np.unique(j, return_inverse=True)
    if len(some) * len(others) > DENSE / 4 * len(i):
        return cosines_of_pairs(left, i, right, j).astype(np.float32)
    product = np.empty((len(some), len(others)))
    rows = left[some].astype(np.float64)
    for part in gathered(len(others)):
        product[:, part] = rows @ right[others[part]].astype(np.float64).T
    cosines = product[i_of_some, j_of_others]
    # a product of blocks rounds by place; where that decides, a pair's own sum has the last word
    off = tolerance(left.shape[1]) * 2.0**-29
    unsure = np.flatnonzero(
        (cosines - off).astype(np.float32) != (cosines + off).astype(np.float32)
    )
    cosines[unsure] = cosines_of_pairs(left, i[unsure], right, j[unsure])
    return cosines.astype(np.float32)


def gathered(pairs: int) -> Iterator[slice]:
    """Runs of pairs of rows that are few enough to be copied into the cache."""
    for start in range(0, pairs, _GATHERED):
        yield slice(start, start + _GATHERED)
