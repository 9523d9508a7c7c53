"""Finds the nearest neighbours of rows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from featuremill.dataset.reader import Indices, Matrix
from featuremill.search.neighbors.rows import (
    BLOCK,
    QUERIES,
    RowProgress,
    rounded_cosines,
    tolerance,
)
from featuremill.search.neighbors.screen import Side, pieces, sides

_CROWD: Final = 4
"""Most candidates that wait for float64 to tell them apart, as a multiple of those wanted."""

_ULP: Final = 1e-7
"""More than the spacing of float32 below 1."""


def nearest(
    queries: Matrix,
    vectors: Matrix,
    k: int,
    *,
    skip: Indices | None = None,
    progress: RowProgress | None = None,
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
        Summed in float64; what is equal as float32 is a tie.

    Notes
    -----
    Cost O(m n d); memory beyond the result about 50 MiB, whatever m and n, and 129 float32 for
    each row and query where these are many. Candidates are found by float32 products: all that
    rounding may have put behind the k best. Float64 products choose among them, so that the
    result depends neither on the blocks nor on the processor.
    """
    kept = min(k, len(vectors) - (skip is not None))
    rows = np.empty((len(queries), kept), np.int64)
    cosines = np.empty((len(queries), kept), np.float32)
    asking, answering = sides(queries, vectors)
    for start in range(0, len(queries) if kept else 0, QUERIES):
        part = slice(start, start + QUERIES)
        own = None if skip is None else skip[part]
        best = _candidates(asking.part(part), answering, kept, own)
        rows[part], cosines[part] = best.in_order()
        if progress is not None:
            progress(min(start + QUERIES, len(queries)), len(queries))
    return rows, cosines


def outlyingness(cosines: Matrix) -> Matrix:
    """Compute how far rows are from others: 1 - the mean cosine to their nearest.

    Parameters
    ----------
    cosines : ndarray of shape (n, k), float32
        As :func:`nearest` gives them.

    Returns
    -------
    ndarray of shape (n,), float32
        0 where the k nearest are equal, but for rounding, or there are none; 1 where they have
        nothing in common.
    """
    if not cosines.shape[1]:
        return np.zeros(len(cosines), np.float32)
    return np.asarray(1 - cosines.mean(axis=1, dtype=np.float32))


class _Best:
    """Candidates for the best `kept` of each query so far."""

    def __init__(self, queries: Side, vectors: Matrix, floor: Matrix, kept: int) -> None:
        self.floor = floor
        """For each query a cosine that the last of its best has at least, (m,)."""
        self._queries, self._vectors, self._kept = queries, vectors, kept
        self.off = np.float32(tolerance(vectors.shape[1]))
        self._owner = np.empty(0, np.int64)
        self._rows = np.empty(0, np.int64)
        self._cosines = np.empty(0, np.float32)
        self._sorted = 0

    def add(self, owner: Indices, rows: Indices, cosines: Matrix) -> None:
        """Take more candidates in."""
        self._owner = np.concatenate([self._owner, owner])
        self._rows = np.concatenate([self._rows, rows])
        self._cosines = np.concatenate([self._cosines, cosines])
        # seldom, since sorting costs more than a few candidates that a higher floor would spare
        if len(self._owner) > 2 * self._sorted:
            self._settle()

    def in_order(self) -> tuple[Indices, NDArray[np.float32]]:
        """Rows and cosines, (m, kept), by float64 cosines rounded to float32, ties by row."""
        self._settle()
        self._decide()
        return self._rows.reshape(-1, self._kept), self._cosines.reshape(-1, self._kept)

    def _settle(self) -> None:
        """Raise the floor to what the best have at least, and drop what cannot be among them."""
        rank = self._sort()
        last = np.flatnonzero(rank == self._kept - 1)
        owner = self._owner[last]
        self.floor[owner] = np.maximum(self.floor[owner], self._cosines[last] - self.off)
        least = self.floor[self._owner] - (self.off + np.float32(_ULP))
        self._keep(np.flatnonzero((rank < self._kept) | (self._cosines >= least)))
        if len(self._owner) > _CROWD * self._kept * len(self.floor):
            self._decide()
        self._sorted = len(self._owner)

    def _decide(self) -> None:
        """Keep the best alone, by exact cosines, which take the place of the others."""
        numbers = self._queries.numbers(self._owner)
        of = (self._queries.vectors, numbers, self._vectors, self._rows)
        self._cosines = rounded_cosines(*of)
        rank = self._sort()
        last = np.flatnonzero(rank == self._kept - 1)
        self.floor[self._owner[last]] = self._cosines[last]
        self._keep(np.flatnonzero(rank < self._kept))

    def _sort(self) -> Indices:
        """Put the candidates of each query together, best first; returns their ranks."""
        self._keep(np.lexsort((self._rows, -self._cosines, self._owner)))
        return np.arange(len(self._owner)) - np.searchsorted(self._owner, self._owner)

    def _keep(self, order: Indices) -> None:
        self._owner, self._rows = self._owner[order], self._rows[order]
        self._cosines = self._cosines[order]


def _candidates(queries: Side, vectors: Side, kept: int, skip: Indices | None) -> _Best:
    """All that may be among the best of each query, by float32 products."""
    n = len(vectors.vectors)
    best = _Best(queries, vectors.vectors, _floor(queries, vectors, kept, skip), kept)
    for start in range(0, n, BLOCK):
        part = vectors.part(slice(start, start + BLOCK))
        for owner, places, cosines in pieces(queries, part, best.floor[:, np.newaxis].copy()):
            rows = places + start
            # the floor may have risen since, and bounds let more pass than products do
            keep = cosines >= best.floor[owner] - np.float32(best.off)
            if skip is not None:
                keep &= rows != skip[owner]
            best.add(owner[keep], rows[keep], cosines[keep])
    return best


def _floor(queries: Side, vectors: Side, kept: int, skip: Indices | None) -> NDArray[np.float32]:
    """For each query a cosine that `kept` rows have at least, found among some of the rows.

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
    off = np.float32(tolerance(vectors.vectors.shape[1]))
    return np.asarray(np.partition(product, -kept, axis=1)[:, -kept] - off)
