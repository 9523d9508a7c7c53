"""Predicts labels from neighbours: how well the features keep the classes apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from featuremill.dataset.reader import Indices, Matrix
from featuremill.errors import InputError
from featuremill.search.neighbors.ranking import nearest
from featuremill.search.neighbors.rows import RowProgress

WILSON_Z: Final = 1.959964
"""Standard deviations on both sides of the mean that hold 95 % of a normal variable."""


@dataclass(frozen=True)
class LeaveOneOut:
    """The accuracy of labels predicted from the nearest neighbours.

    Attributes
    ----------
    accuracy : float
        Share of the images asked for whose neighbours' majority label is their own.
    low, high : float
        Wilson's 95 % interval of it, as if each image asked for were right or wrong by itself.
        They are not: neighbours are neighbours of each other, and right or wrong together. Where
        images were drawn anew, the interval held the true share in 88 to 93 % of the cases.
    asked : int
        Number of images asked for.
    k : int
        Neighbours that voted.
    confusion : mapping of (str, str) to int
        How many images of (label) got (predicted label); pairs that did not occur are not there.
    """

    accuracy: float
    low: float
    high: float
    asked: int
    k: int
    confusion: Mapping[tuple[str, str], int]


def leave_one_out(
    vectors: Matrix,
    labels: Sequence[str],
    *,
    k: int = 5,
    queries: Indices | None = None,
    progress: RowProgress | None = None,
) -> LeaveOneOut:
    """Guess every image's label from its k nearest others, and see how often that is right.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    labels : sequence of n str
    k : int
        Neighbours that vote; lowered to n - 1. Of labels with equally many votes the one that
        the nearest neighbour bears wins. An image has no more votes for its own label than there
        are others of it: of 5 votes, a class of two images has 1, and loses to any two others that
        agree, however far it is from them.
    queries : ndarray of shape (m,), int64, optional
        Rows to guess; all by default.
    progress : callable, optional
        Told how many queries of how many are answered.

    Raises
    ------
    InputError
        If there are fewer than two rows, or no queries.
    """
    asked = np.arange(len(vectors)) if queries is None else queries
    if len(vectors) < 2 or not len(asked):
        raise InputError(
            f"{len(vectors)} images and {len(asked)} queries are too few to find neighbours",
            "Embed at least two images, and ask for at least one.",
        )
    names, codes = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    rows, _ = nearest(vectors[asked], vectors, k, skip=asked, progress=progress)
    predicted = majority(codes[rows])
    pairs = Counter(zip(codes[asked].tolist(), predicted.tolist(), strict=True))
    right = int((predicted == codes[asked]).sum())
    low, high = wilson(right, len(asked))
    confusion = {(str(names[a]), str(names[b])): count for (a, b), count in pairs.items()}
    return LeaveOneOut(right / len(asked), low, high, len(asked), rows.shape[1], confusion)


def mistakes(confusion: Mapping[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    """Labels, what their images were taken for and how often: the most frequent first."""
    wrong = [(*pair, count) for pair, count in confusion.items() if pair[0] != pair[1]]
    return sorted(wrong, key=lambda mistake: (-mistake[2], mistake[:2]))


def majority(votes: NDArray[np.integer]) -> Indices:
    """The most frequent value of each row; of several the one that stands first.

    Parameters
    ----------
    votes : ndarray of shape (m, k), integer
        Best neighbour first.
    """
    counts = np.zeros(votes.shape, np.int64)
    for column in range(votes.shape[1]):
        counts += votes == votes[:, column : column + 1]
    # argmax takes the first of equals
    first = counts.argmax(axis=1)
    return np.asarray(votes[np.arange(len(votes)), first], np.int64)


def wilson(right: int, asked: int) -> tuple[float, float]:
    """95 % interval of a share.

    Notes
    -----
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22(158), 1927.
    """
    share, z2 = right / asked, WILSON_Z**2
    centre = (share + z2 / (2 * asked)) / (1 + z2 / asked)
    spread = (share * (1 - share) / asked + z2 / (4 * asked**2)) ** 0.5
    half = WILSON_Z * spread / (1 + z2 / asked)
    return max(0.0, centre - half), min(1.0, centre + half)
