"""The nearest neighbours of rows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from featuremill.neighbours.rows import (
    BLOCK,
    QUERIES,
    TOLERANCE,
    Indices,
    Progress,
    Rows,
    cosines_of_pairs,
)
from featuremill.neighbours.screen import Side, above, sides

SPARE: Final = 8
"""Candidates kept beyond those asked for, so that float64 has the last word on the order."""

_GRAIN: Final = np.float32(2**18)
"""Steps of a cosine that candidates are told apart by: each is 4e-6."""


def nearest(
    queries: Rows,
    vectors: Rows,
    k: int,
    *,
    skip: Indices | None = None,
    progress: Progress | None = None,
) -> tuple[Indices, NDArray[np.float32]]:
    """The k rows nearest to each query.

    Parameters
    ----------
    queries : ndarray of shape (m, d), float32
        Unit rows.
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    k : int
        At least 1.
    skip : ndarray of shape (m,), int64, optional
        The row of `vectors` that a query itself is, which is no neighbour of it.
    progress : callable, optional
        Told after each block how many queries of how many are answered.

    Returns
    -------
    rows : ndarray of shape (m, k'), int64
        Best first, ties by row number. k' is k, or what `vectors` holds where that is less.
    cosines : ndarray of shape (m, k'), float32

    Notes
    -----
    Cost O(m n d); memory beyond the result about 50 MiB, whatever m and n, and 129 float32 for
    each row and query where these are many. Candidates are found
    by float32 products, k + 8 for each query, and put in order by float64 ones: a neighbour can
    only be missed for another whose cosine differs by less than 1e-5, and only where more than 8
    rows are that close to the last one.
    """
    kept = min(k, len(vectors) - (skip is not None))
    rows = np.empty((len(queries), kept), np.int64)
    cosines = np.empty((len(queries), kept), np.float32)
    asking, answering = sides(queries, vectors)
    for start in range(0, len(queries) if kept else 0, QUERIES):
        part = slice(start, start + QUERIES)
        own = None if skip is None else skip[part]
        best = _candidates(asking.part(part), answering, min(kept + SPARE, len(vectors)), own)
        rows[part], cosines[part] = best.in_order(queries[part], vectors, kept)
        if progress is not None:
            progress(min(start + QUERIES, len(queries)), len(queries))
    return rows, cosines


def outlyingness(
    vectors: Rows, k: int = 10, *, progress: Progress | None = None
) -> NDArray[np.float32]:
    """How far each row lies from the others: 1 - the mean cosine to its k nearest.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    k : int
        Lowered to n - 1; a row that has no others is at 0.
    progress : callable, optional
        Told how many rows of how many are done.

    Returns
    -------
    ndarray of shape (n,), float32
        0 where the k nearest are equal, 1 where they have nothing in common.
    """
    _, cosines = nearest(vectors, vectors, k, skip=np.arange(len(vectors)), progress=progress)
    if not cosines.shape[1]:
        return np.zeros(len(vectors), np.float32)
    return np.asarray(1 - cosines.mean(axis=1, dtype=np.float64), np.float32)


class _Best:
    """The best `kept` candidates of each query so far."""

    def __init__(self, floor: NDArray[np.float32], kept: int) -> None:
        self.floor = floor
        """Cosine that a row has to exceed to be a candidate, for each query."""
        self._kept = kept
        self._owner = np.empty(0, np.int64)
        self._rows = np.empty(0, np.int64)
        self._cosines = np.empty(0, np.float32)
        self._sorted = 0

    def add(self, owner: Indices, rows: Indices, cosines: Rows) -> None:
        """Take more candidates in; of a row number above all that came before."""
        self._owner = np.concatenate([self._owner, owner])
        self._rows = np.concatenate([self._rows, rows])
        self._cosines = np.concatenate([self._cosines, cosines])
        # seldom, since sorting costs more than a few candidates that a higher floor would spare
        if len(self._owner) > 2 * self._sorted:
            self.settle()

    def settle(self) -> None:
        """Drop what is not among the best, and raise the floor to the last of them."""
        order = np.lexsort((self._rows, -self._cosines, self._owner))
        owner = self._owner[order]
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        order, last = order[rank < self._kept], order[rank == self._kept - 1]
        self.floor[self._owner[last]] = self._cosines[last]
        self._owner, self._rows = self._owner[order], self._rows[order]
        self._cosines = self._cosines[order]
        self._sorted = len(order)

    def in_order(self, queries: Rows, vectors: Rows, k: int) -> tuple[Indices, NDArray[np.float32]]:
        """Rows and cosines, (m, k), by float64 cosines rounded to float32, ties by row number."""
        self.settle()
        exact = cosines_of_pairs(queries, self._owner, vectors, self._rows).astype(np.float32)
        order = np.lexsort((self._rows, -exact, self._owner))
        rank = np.arange(len(order)) - np.searchsorted(self._owner, self._owner)
        order = order[rank < k]
        return self._rows[order].reshape(-1, k), exact[order].reshape(-1, k)


def _candidates(queries: Side, vectors: Side, kept: int, skip: Indices | None) -> _Best:
    """The best of each query by float32 products."""
    n = len(vectors.vectors)
    best = _Best(_floor(queries, vectors, kept, skip), kept)
    for start in range(0, n, BLOCK):
        part = vectors.part(slice(start, start + BLOCK))
        owner, rows, cosines = above(queries, part, best.floor[:, np.newaxis])
        rows += start
        # equal rows get the same cosine, though rounding may have made it two
        cosines = np.asarray(np.round(cosines * _GRAIN) / _GRAIN, np.float32)
        # strictly above: of equals the one with the lower row number is there already
        keep = cosines > best.floor[owner]
        if skip is not None:
            keep &= rows != skip[owner]
        best.add(owner[keep], rows[keep], cosines[keep])
    return best


def _floor(queries: Side, vectors: Side, kept: int, skip: Indices | None) -> NDArray[np.float32]:
    """For each query a cosine that at least `kept` rows exceed, found among some of the rows.

    Neighbours of a query that is a row itself tend to stand around it, since rows are sorted by
    path and folders are classes; so the floor is high from the start.
    """
    n = len(vectors.vectors)
    asking = queries.vectors[queries.rows]
    if min(n, BLOCK) <= kept + 1:
        return np.full(len(asking), -np.inf, np.float32)
    start = 0 if skip is None else max(0, min(int(skip[0]), n - BLOCK))
    product = asking @ vectors.vectors[start : start + BLOCK].T  # (m, BLOCK)
    if skip is not None:
        own = np.flatnonzero((skip >= start) & (skip < start + product.shape[1]))
        product[own, skip[own] - start] = -np.inf
    # lower than the last of the best by what rounding may make of it next time
    return np.asarray(np.partition(product, -kept, axis=1)[:, -kept] - np.float32(TOLERANCE))
