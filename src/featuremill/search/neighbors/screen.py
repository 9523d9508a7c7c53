"""Multiplies many rows, without most of the work where only high cosines matter.

Most pairs are ruled out by a cheap upper bound. With an orthonormal projection P and
e = x - P'Px, the part of x that it leaves out,

    cos(x, y) = <Px, Py> + <e_x, e_y> <= <Px, Py> + |e_x| |e_y|        (Cauchy-Schwarz)

which is one product of the short rows (Px, |e_x|). P are the leading principal directions, so that
little is left out. The bound never rules out a pair that is above the threshold: results are the
same as without it. Where it rules out too little, as for rows without structure, all products are
computed, which then costs a tenth more than without a bound.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from featuremill.dataset.reader import Indices, Matrix
from featuremill.search.neighbors.rows import DENSE, PIECE, gathered, squares, tolerance

DIRECTIONS: Final = 128
"""Width of the projection: a tenth of the work of 1280 features, and few pairs pass in vain."""

_WORTH_IT: Final = 2**27
"""Products below which finding the directions takes longer than it spares."""

_SAMPLE: Final = 8192
"""Rows that the directions are found from; any directions are right, good ones spare work."""

_SHORTENED: Final = 1024
"""Rows that are projected at a time, in float64: 10 MiB of 1280 features."""

_SQUARE: Final = 2.5e-7
"""More than the square of what is left out is off by, since float32 holds the projection."""


@dataclass(frozen=True, eq=False)
class Side:
    """Some rows on one side of a product.

    Attributes
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    short : ndarray of shape (n, DIRECTIONS + 1), float32
        Rows whose products are bounds; `vectors` itself where there is nothing to gain.
    rows : slice or ndarray of shape (r,), int64
        Which of them.
    """

    vectors: Matrix
    short: Matrix
    rows: slice | Indices = field(default_factory=lambda: slice(None))

    def part(self, rows: slice | Indices) -> Self:
        """The same side with other rows."""
        return type(self)(self.vectors, self.short, rows)

    def numbers(self, places: Indices) -> Indices:
        """Row numbers of places among the rows."""
        if isinstance(self.rows, slice):
            return places + (self.rows.start or 0)
        return self.rows[places]


def sides(queries: Matrix, vectors: Matrix) -> tuple[Side, Side]:
    """Rows to be multiplied, all with all, with their short rows if that is worth it."""
    small = len(queries) * len(vectors) < _WORTH_IT or vectors.shape[1] < 2 * DIRECTIONS
    if small:
        return Side(queries, queries), Side(vectors, vectors)
    shorten = _projection(vectors)
    right = Side(vectors, shorten(vectors))
    return right if queries is vectors else Side(queries, shorten(queries)), right


def above(
    left: Side, right: Side, floor: float | NDArray[np.float32]
) -> tuple[Indices, Indices, NDArray[np.float32]]:
    """Pairs with a cosine of at least `floor`, and a few just below it.

    Parameters
    ----------
    left, right : Side
        With a and b rows, which decide how much memory is taken.
    floor : float or ndarray of shape (a, 1)

    Returns
    -------
    i, j : ndarray of shape (p,), int64
        Places among the rows of `left` and `right`, in ascending order of (i, j). No pair with a
        cosine of at least `floor` is missing.
    cosine : ndarray of shape (p,), float32
        Off by less than :func:`~featuremill.search.neighbors.rows.tolerance`.
    """
    found = list(pieces(left, right, floor))
    i, j, cosine = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, cosine


def pieces(
    left: Side, right: Side, floor: float | NDArray[np.float32]
) -> Iterator[tuple[Indices, Indices, NDArray[np.float32]]]:
    """Yield the pairs of :func:`above` in order, some :data:`PIECE` at a time, at least once."""
    product = left.short[left.rows] @ right.short[right.rows].T  # (a, b)
    passing = _passing(product, floor, right.short.shape[1])
    bounds = right.short is not right.vectors
    if bounds and np.count_nonzero(passing) * DENSE > passing.size:
        product = left.vectors[left.rows] @ right.vectors[right.rows].T
        passing = _passing(product, floor, right.vectors.shape[1])
        bounds = False
    few = np.count_nonzero(passing) <= PIECE
    strip = len(passing) if few else max(1, PIECE // passing.shape[1])
    for start in range(0, max(1, len(passing)), max(1, strip)):
        i, j = np.nonzero(passing[start : start + strip])
        i += start
        yield i, j, _products(left, i, right, j) if bounds else product[i, j]


def _passing(
    product: NDArray[np.float32], floor: float | NDArray[np.float32], width: int
) -> NDArray[np.bool_]:
    """Find the pairs whose products may be at least `floor`."""
    return np.asarray(product >= np.subtract(floor, tolerance(width), dtype=np.float32))


def _products(left: Side, i: Indices, right: Side, j: Indices) -> NDArray[np.float32]:
    """Cosines of pairs, through whole blocks where that is cheaper."""
    some, i_of_some = np.unique(i, return_inverse=True)
    others, j_of_others = np.unique(j, return_inverse=True)
    a, b = left.numbers(i), right.numbers(j)
    if len(some) * len(others) > DENSE * len(i):
        cosines = np.empty(len(i), np.float32)
        for part in gathered(len(i)):
            cosines[part] = np.vecdot(left.vectors[a[part]], right.vectors[b[part]])
        return cosines
    product = left.vectors[left.numbers(some)] @ right.vectors[right.numbers(others)].T
    return np.asarray(product[i_of_some, j_of_others])


def _projection(vectors: Matrix) -> Callable[[Matrix], Matrix]:
    """Function that makes rows (n, d) short, (n, DIRECTIONS + 1)."""
    sample = vectors[:: -(-len(vectors) // _SAMPLE)]
    _, directions = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    projection = directions[:, -DIRECTIONS:]  # (d, DIRECTIONS), orthonormal as float64 only

    def shorten(vectors: Matrix) -> Matrix:
        short = np.empty((len(vectors), DIRECTIONS + 1), np.float32)
        for start in range(0, len(vectors), _SHORTENED):
            rows, into = vectors[start : start + _SHORTENED], short[start : start + _SHORTENED]
            into[:, :-1] = rows.astype(np.float64) @ projection
            left_out = squares(rows) - squares(into[:, :-1])
            # never below the truth, though float32 holds the projection
            into[:, -1] = np.sqrt(np.maximum(left_out, 0) + _SQUARE)
        return short

    return shorten
