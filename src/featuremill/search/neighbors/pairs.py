"""Groups rows around leaders, each row nearer to its leader than a threshold."""

from collections.abc import Iterator

import numpy as np

from featuremill.dataset.reader import Indices, Matrix
from featuremill.search.neighbors.rows import (
    BLOCK,
    QUERIES,
    RowProgress,
    cosines_of_pairs,
    tolerance,
)
from featuremill.search.neighbors.screen import Side, pieces, sides


def leaders(
    vectors: Matrix, threshold: float, order: Indices, *, progress: RowProgress | None = None
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
