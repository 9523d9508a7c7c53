"""Finds the pairs of rows with the highest cosines, and groups of them.

Which cosine makes two images duplicates depends on the images: a photograph cropped by 5 % may be
at 0.97, two drawings of one fruit at 0.99. So the pairs are ranked, and people see where chance
begins.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from featuremill.dataset.reader import Indices, Matrix

LEAF: Final = 256
"""Rows of a box: small enough to lie apart from others, large enough for a fast product."""

_COLUMNS: Final = 2048

_ONE_THREAD: Final = 1 << 18
"""Multiplications up to which OpenBLAS does not think of a second thread."""

_ROUNDING: Final = 2e-4
"""Added to every bound: more than twice what a float32 product of 1280 numbers is ever off by."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of rows, the most alike first.

    Attributes
    ----------
    i, j : ndarray of shape (p,), int64
    cosine : ndarray of shape (p,), float32
        Falling.
    floor : float
        Every pair with a higher cosine is here.
    """

    i: Indices
    j: Indices
    cosine: Matrix
    floor: float


@dataclass(frozen=True)
class RowGroup:
    """Rows that are alike, and the highest and the lowest cosine that links them."""

    rows: tuple[int, ...]
    highest: float
    lowest: float


def most_alike(unit: Matrix, floor: float, most: int) -> Pairs:
    """The pairs of highest cosine, exactly but for the rounding of float32 (about 1e-5).

    Parameters
    ----------
    unit : ndarray of shape (n, d), float32
        Rows of length 1.
    floor : float
        Lowest cosine of interest, above 0.
    most : int
        Pairs wanted; of equal ones at the end any may be left out.

    Notes
    -----
    Rows are parted into boxes at the median of their widest coordinate, again and again. Two rows
    of length 1 with cosine c are sqrt(2 - 2 c) apart, so boxes that lie farther apart than the
    floor allows need no look; and the floor rises to the worst pair kept as soon as there are
    `most`, for which each box is compared with itself first. What remains to be computed depends
    on the data. Memory: the pairs, and one product of 2 MiB.
    """
    best = _Best(floor, most)
    boxes = _boxes(unit)
    for box in boxes:
        best.add(box, box, _products(unit[box], unit[box]))
    low = np.array([unit[box].min(axis=0) for box in boxes])
    high = np.array([unit[box].max(axis=0) for box in boxes])
    for index, box in enumerate(boxes):
        gap = np.maximum(low[index + 1 :] - high[index], low[index] - high[index + 1 :])
        apart = (np.maximum(gap, 0) ** 2).sum(axis=1)
        near = index + 1 + np.flatnonzero(apart <= 2 - 2 * best.floor + _ROUNDING)
        others = np.concatenate([boxes[other] for other in near]) if len(near) else box[:0]
        for start in range(0, len(others), _COLUMNS):
            part = others[start : start + _COLUMNS]
            best.add(box, part, _products(unit[box], unit[part]))
    return best.pairs()


def groups(pairs: Pairs, most: int) -> list[RowGroup]:
    """Rows that the best pairs link, most alike first, until there are so many groups.

    Groups that a later pair would join stay two once there are enough of them.
    """
    of: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    lowest: dict[int, float] = {}
    ranked = zip(pairs.i.tolist(), pairs.j.tolist(), pairs.cosine.tolist(), strict=True)
    for number, (i, j, cosine) in enumerate(ranked):
        known = sorted({of[row] for row in (i, j) if row in of})
        if not known and len(members) == most:
            break
        # a group goes by its best pair, also when another joins it
        into, *others = known or [number]
        joined = [row for row in (i, j) if row not in of]
        joined += [row for other in others for row in members.pop(other)]
        members.setdefault(into, []).extend(joined)
        of.update(dict.fromkeys(joined, into))
        lowest[into] = cosine
    return [
        RowGroup(tuple(rows), float(pairs.cosine[number]), lowest[number])
        for number, rows in sorted(members.items())
    ]


class _Best:
    """The best pairs so far; its floor rises once there are enough."""

    def __init__(self, floor: float, most: int) -> None:
        self.floor, self._most = floor, most
        self._parts: list[tuple[Indices, Indices, Matrix]] = []
        self._count = 0

    def add(self, a: Indices, b: Indices, tiles: Matrix) -> None:
        """Keep what is above the floor of the products of rows `a` with rows `b`."""
        edge = tiles.shape[-1]
        down, across, i, j = np.nonzero(tiles >= self.floor)
        i, j = a[down * edge + i], b[across * edge + j]
        # within a box each pair is there twice, and each row with itself
        once = i < j if a is b else np.ones(len(i), bool)
        cosine = tiles[tiles >= self.floor][once]
        self._parts.append((i[once], j[once], cosine))
        self._count += len(cosine)
        # not at every pair beyond: sorting is dearer than waiting
        if self._count > 2 * self._most:
            self._trim()

    def pairs(self) -> Pairs:
        self._trim()
        ((i, j, cosine),) = self._parts
        return Pairs(np.minimum(i, j), np.maximum(i, j), cosine, self.floor)

    def _trim(self) -> None:
        none = np.empty(0, np.int64)
        parts = [(none, none, np.empty(0, np.float32)), *self._parts]
        i, j, cosine = (np.concatenate(part) for part in zip(*parts, strict=True))
        best = np.argsort(-cosine, kind="stable")[: self._most]
        if len(best) < len(i):
            self.floor = float(cosine[best[-1]])
        self._parts = [(i[best], j[best], cosine[best])]
        self._count = len(best)


def _boxes(unit: Matrix) -> list[Indices]:
    """Rows parted until no box holds more than :data:`LEAF`."""
    pending, boxes = [np.arange(len(unit))] if len(unit) else [], []
    while pending:
        rows = pending.pop()
        if len(rows) <= LEAF:
            boxes.append(rows)
            continue
        widest = int(unit[rows].var(axis=0).argmax())
        middle = len(rows) // 2
        order = np.argpartition(unit[rows, widest], middle)
        pending += [rows[order[:middle]], rows[order[middle:]]]
    return boxes


def _products(a: Matrix, b: Matrix) -> Matrix:
    """Cosines of rows `a` with rows `b`, as tiles: shape (down, across, edge, edge).

    Tiles are so small that BLAS computes each on one thread. Two threads for a product of these
    sizes mostly wait for each other: where other programs ran, ten times as long.
    """
    edge = 1 << int(math.log2(_ONE_THREAD / a.shape[1])) // 2
    left, right = _tiled(a, edge)[:, np.newaxis], _tiled(b, edge)[np.newaxis]
    return np.asarray(np.matmul(left, right.swapaxes(2, 3)), np.float32)


def _tiled(rows: Matrix, edge: int) -> Matrix:
    """Rows by so many, the last ones filled up with zeros: shape (tiles, edge, d)."""
    tiles = np.zeros((-(-len(rows) // edge), edge, rows.shape[1]), np.float32)
    tiles.reshape(-1, rows.shape[1])[: len(rows)] = rows
    return tiles
