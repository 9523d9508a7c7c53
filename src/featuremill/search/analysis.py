"""Describes classes by their features: their centres, their neighbours, and outliers."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from featuremill.dataset.reader import Indices, Matrix, seeded_sample
from featuremill.search.neighbors import LeaveOneOut, nearest, outlyingness, unit_rows

MOST_QUERIES: Final = 2000
"""Images whose neighbours are asked for their class; more are a seeded sample."""

FAR_FROM: Final = 10
"""Nearest images whose mean cosine says how far an image lies from all others."""

MOST_CLASSES: Final = 2000
"""Classes that are told apart one by one."""

MOST_MEASURED: Final = 8192
"""Rows whose distance from all others is measured, to find the farthest."""

_NEAR: Final = 4
_REFERENCES: Final = 4096
_BLOCK: Final = 1024


class Centres(NamedTuple):
    """The centres of classes, and how close they are.

    Attributes
    ----------
    labels : list of str
        Sorted.
    compactness : ndarray of shape (c,), float32
        Mean cosine of a class's images to their centre.
    near : ndarray of shape (c, m), int64
        The classes whose centres are nearest, the nearest first; m is 4, or the number of other
        classes where that is less, or 0 where there are more than :data:`MOST_CLASSES`.
    cosines : ndarray of shape (c, m), float32
        Cosines to those centres.
    """

    labels: list[str]
    compactness: Matrix
    near: Indices
    cosines: Matrix


def to_unit_length(rows: Matrix) -> Matrix:
    """Divide rows by their length, in place; rows of zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float32))
    lengths[lengths == 0] = 1
    rows /= lengths[:, np.newaxis]
    return rows


def centres(unit: Matrix, labels: Sequence[str]) -> Centres:
    """Centres of the classes: the directions of their mean rows.

    Parameters
    ----------
    unit : ndarray of shape (n, d), float32
        Rows of length 1.
    labels : sequence of n str
    """
    names, codes = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(names)))
    counts = np.diff(np.append(starts, len(codes)))
    means = np.add.reduceat(unit[order], starts, axis=0) / counts[:, np.newaxis]
    middle = unit_rows(means.astype(np.float32))
    # the mean of products with the centre is the product of the mean with the centre
    compactness = np.einsum("ij,ij->i", means, middle).astype(np.float32)
    wanted = _NEAR if len(names) <= MOST_CLASSES else 0
    near, cosines = nearest(middle, middle, wanted, skip=np.arange(len(names)))
    return Centres([str(name) for name in names], compactness, near, cosines)


def queries(n: int) -> Indices:
    """Rows to ask: all, or a seeded sample in ascending order."""
    return seeded_sample(n, MOST_QUERIES)


def told_by_class(told: LeaveOneOut) -> dict[str, tuple[int, int, str | None]]:
    """For each label: how many were asked, how many were right, and what others were taken for."""
    asked: Counter[str] = Counter()
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for (label, predicted), count in sorted(told.confusion.items()):
        asked[label] += count
        if label != predicted:
            wrong[label][predicted] += count
    return {
        label: (
            count,
            count - wrong[label].total(),
            wrong[label].most_common(1)[0][0] if wrong[label] else None,
        )
        for label, count in asked.items()
    }


class Farthest(NamedTuple):
    """The rows that lie farthest from all others.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        Farthest first.
    distances : ndarray of shape (m,), float32
        1 - the mean cosine to the nearest :data:`FAR_FROM`.
    among : int
        Rows that were measured, if some others may lie as far away; else 0.
    """

    rows: Indices
    distances: Matrix
    among: int = 0


def farthest(unit: Matrix, most: int) -> Farthest:
    """Find the rows that lie farthest from all others.

    Parameters
    ----------
    unit : ndarray of shape (n, d), float32
        Rows of length 1.
    most : int

    Notes
    -----
    Among a sample of the rows no row has nearer neighbours than among all, so its distance there
    is an upper bound. Rows are measured against all others in the order of that bound, until
    enough of them lie farther away than the next bound allows: most rows are never measured. Where
    all rows lie equally far from each other the bounds tell nothing, and :data:`MOST_MEASURED`
    are measured.
    """
    n = len(unit)
    if n < 2:
        return Farthest(np.empty(0, np.int64), np.empty(0, np.float32))
    bound = _bounds(unit) if n > _REFERENCES else np.full(n, np.inf, np.float32)
    order = np.argsort(-bound, kind="stable")
    rows, distances = order[:0], np.empty(0, np.float32)
    for start in range(0, n, _BLOCK):
        part = order[start : start + _BLOCK]
        # a block is measured at once, so it may reach further down than needed
        if len(rows) == most and distances[-1] >= bound[part[0]]:
            break
        if start >= MOST_MEASURED:
            return Farthest(rows, distances, start)
        _, cosines = nearest(unit[part], unit, FAR_FROM, skip=part)
        rows = np.concatenate([rows, part])
        distances = np.concatenate([distances, outlyingness(cosines)])
        best = np.argsort(-distances, kind="stable")[:most]
        rows, distances = rows[best], distances[best]
    return Farthest(rows, distances)


def _bounds(unit: Matrix) -> Matrix:
    """Distances to the nearest of a sample; never too small, but for rounding."""
    sample = seeded_sample(len(unit), _REFERENCES, np.random.default_rng(1))
    # one more, since a row of the sample finds itself
    _, cosines = nearest(unit, unit[sample], FAR_FROM + 1)
    itself = np.isin(np.arange(len(unit)), sample)
    mean = np.where(itself, cosines[:, 1:].mean(axis=1), cosines[:, :-1].mean(axis=1))
    return np.asarray(1 - mean + 1e-5, np.float32)


def ends(scores: Matrix, component: int, each: int) -> tuple[list[int], list[int]]:
    """Rows at the low and at the high end of a component, the farthest first."""
    column = scores[:, component]
    each = min(each, len(column) // 2)
    order = np.argsort(column, kind="stable")
    return order[:each].tolist(), order[::-1][:each].tolist()


def examples(labels: Sequence[str], each: int) -> Mapping[str, list[int]]:
    """Some rows of each label, as far apart in the order of the paths as they can be."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label].append(row)
    return {
        label: [found[index * len(found) // each] for index in range(each)]
        if len(found) > each
        else found
        for label, found in rows.items()
    }
