"""Rows nearer to each other than a threshold: all pairs of them, or groups around leaders."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from featuremill.search.neighbors.rows import (
    BLOCK,
    QUERIES,
    Indices,
    RowProgress,
    Rows,
    cosines_of_pairs,
    rounded_cosines,
    tolerance,
)
from featuremill.search.neighbors.screen import Side, pieces, sides


def pairs_above(
    vectors: Rows, threshold: float, *, progress: RowProgress | None = None
) -> tuple[Indices, Indices, NDArray[np.float32]]:
    """All pairs of rows with a cosine of at least `threshold`.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    threshold : float
        Memory grows with the number of pairs, so it should be near 1.
    progress : callable, optional
        Told how many rows of how many are compared with all others.

    Returns
    -------
    i, j : ndarray of shape (p,), int64
        Rows, i < j, in ascending order of (i, j).
    cosine : ndarray of shape (p,), float32
        Summed in float64, as the threshold is decided.
    """
    found = list(_pair_blocks(vectors, threshold, progress))
    i, j = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    return i, j, rounded_cosines(vectors, i, vectors, j)


def leaders(
    vectors: Rows, threshold: float, order: Indices, *, progress: RowProgress | None = None
) -> Indices:
    """Groups of rows, each around a leader that is near to all others of it.

    Rows are taken in the order given. One that no leader has taken yet becomes a leader, and
    takes all rows behind it with a cosine to it of at least `threshold`. So every member is near
    to its leader, however long a chain of look-alikes may be, and no two leaders are near to each
    other: whoever keeps the leaders alone keeps no pair above the threshold.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    threshold : float
    order : ndarray of shape (n,), int64
        All rows, preferred leaders first.
    progress : callable, optional
        Told how many rows of how many are in a group.

    Returns
    -------
    ndarray of shape (n,), int64
        Leader of each row; a leader's is itself.

    Notes
    -----
    Cost O(l n d) with l leaders, at worst O(n^2 d), most of it with 129 in place of d. Memory
    beyond `vectors`: 129 float32 a row, and about 60 MiB.
    """
    everything, _ = sides(vectors, vectors)
    leader = np.full(len(vectors), -1, np.int64)
    waiting = order
    while len(waiting):
        block, rest = waiting[:QUERIES], waiting[QUERIES:]
        _lead(everything.part(block), threshold, leader)
        leading = block[leader[block] == block]
        for start in range(0, len(rest), BLOCK):
            part = rest[start : start + BLOCK]
            for i, j in _exactly_above(everything.part(leading), everything.part(part), threshold):
                free = leader[part[j]] < 0
                # backwards: of several assignments the last one stays, that of the first leader
                leader[part[j[free][::-1]]] = leading[i[free][::-1]]
        waiting = rest[leader[rest] < 0]
        if progress is not None:
            progress(len(order) - len(waiting), len(order))
    return leader


def _lead(block: Side, threshold: float, leader: Indices) -> None:
    """Find the leaders among some rows, and give them those of the rows that they take."""
    behind = [(i[i < j], j[i < j]) for i, j in _exactly_above(block, block, threshold)]
    i, j = (np.concatenate(part) for part in zip(*behind, strict=True))
    rows = np.asarray(block.rows)
    ends = np.searchsorted(i, np.arange(len(rows) + 1))
    for place, row in enumerate(rows):
        if leader[row] < 0:
            leader[row] = row
            near = rows[j[ends[place] : ends[place + 1]]]
            leader[near[leader[near] < 0]] = row


def _pair_blocks(
    vectors: Rows, threshold: float, progress: RowProgress | None
) -> Iterator[tuple[Indices, Indices]]:
    """The pairs, a block at a time; an empty block first, so that there is always one."""
    none = np.empty(0, np.int64)
    yield none, none
    everything, _ = sides(vectors, vectors)
    for start in range(0, len(vectors), QUERIES):
        block = everything.part(slice(start, start + QUERIES))
        for other in range(start, len(vectors), BLOCK):
            part = everything.part(slice(other, other + BLOCK))
            for i, j in _exactly_above(block, part, threshold):
                behind = i + start < j + other
                yield i[behind] + start, j[behind] + other
        if progress is not None:
            progress(min(start + QUERIES, len(vectors)), len(vectors))


def _exactly_above(left: Side, right: Side, threshold: float) -> Iterator[tuple[Indices, Indices]]:
    """Pairs whose float64 cosine is at least `threshold`, in pieces as of :func:`pieces`."""
    off = tolerance(left.vectors.shape[1])
    for i, j, cosine in pieces(left, right, threshold):
        keep = cosine >= threshold
        close = np.flatnonzero(np.abs(cosine - threshold) < off)
        exact = cosines_of_pairs(
            left.vectors, left.numbers(i[close]), right.vectors, right.numbers(j[close])
        )
        keep[close] = exact >= threshold
        yield i[keep], j[keep]
