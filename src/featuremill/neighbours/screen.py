"""Products of many rows, without most of the work where only high cosines matter.

Most pairs are ruled out by a cheap upper bound. With an orthonormal projection P and
e = x - P'Px, the part of x that it leaves out,

    cos(x, y) = <Px, Py> + <e_x, e_y> <= <Px, Py> + |e_x| |e_y|        (Cauchy-Schwarz)

which is one product of the short rows (Px, |e_x|). P are the leading principal directions, so that
little is left out. The bound never rules out a pair that is above the threshold: results are the
same as without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from featuremill.neighbours.rows import (
    BLOCK,
    TOLERANCE,
    Indices,
    Rows,
    gathered,
    squares,
)

DIRECTIONS: Final = 128
"""Of the projection: a tenth of the work of 1280 features, and few pairs pass in vain."""

_WORTH_IT: Final = 2**27
"""Products below which finding the directions takes longer than it spares."""

_SAMPLE: Final = 8192
"""Rows that the directions are found from; any directions are right, good ones spare work."""

_DENSE: Final = 32
"""A product of whole blocks takes as long as so many times fewer single pairs."""


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

    vectors: Rows
    short: Rows
    rows: slice | Indices = field(default_factory=lambda: slice(None))

    def part(self, rows: slice | Indices) -> Self:
        """The same side with other rows."""
        return type(self)(self.vectors, self.short, rows)

    def numbers(self, places: Indices) -> Indices:
        """Row numbers of places among the rows."""
        if isinstance(self.rows, slice):
            return places + (self.rows.start or 0)
        return self.rows[places]


def sides(queries: Rows, vectors: Rows) -> tuple[Side, Side]:
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
        Off by less than TOLERANCE.
    """
    # a floor of -inf means all, of which a tolerance would make nan where the product is -inf too
    bound = left.short[left.rows] @ right.short[right.rows].T  # (a, b)
    hits = np.flatnonzero(bound >= np.subtract(floor, TOLERANCE, dtype=np.float32))
    i, j = np.divmod(hits, max(1, bound.shape[1]))
    if right.short is right.vectors:
        return i, j, bound.ravel()[hits]
    return i, j, _products(left, i, right, j)


def _products(left: Side, i: Indices, right: Side, j: Indices) -> NDArray[np.float32]:
    """Cosines of pairs, through whole blocks where that is cheaper."""
    some, i_of_some = np.unique(i, return_inverse=True)
    others, j_of_others = np.unique(j, return_inverse=True)
    a, b = left.numbers(i), right.numbers(j)
    if len(some) * len(others) > _DENSE * len(i):
        cosines = np.empty(len(i), np.float32)
        for part in gathered(len(i)):
            cosines[part] = np.vecdot(left.vectors[a[part]], right.vectors[b[part]])
        return cosines
    product = left.vectors[left.numbers(some)] @ right.vectors[right.numbers(others)].T
    return np.asarray(product[i_of_some, j_of_others])


def _projection(vectors: Rows) -> Callable[[Rows], Rows]:
    """Function that makes rows (n, d) short, (n, DIRECTIONS + 1)."""
    sample = vectors[:: -(-len(vectors) // _SAMPLE)]
    _, directions = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    projection = directions[:, -DIRECTIONS:].astype(np.float32)  # (d, DIRECTIONS)

    def shorten(vectors: Rows) -> Rows:
        short = np.empty((len(vectors), DIRECTIONS + 1), np.float32)
        for start in range(0, len(vectors), BLOCK):
            rows, into = vectors[start : start + BLOCK], short[start : start + BLOCK]
            np.matmul(rows, projection, out=into[:, :-1])
            left_out = squares(rows) - squares(into[:, :-1])
            # never below the truth, though both squares are rounded
            into[:, -1] = np.sqrt(np.maximum(left_out, 0) + TOLERANCE / 2)
        return short

    return shorten
