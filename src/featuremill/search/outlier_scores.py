"""Finds images unlike all others, and images whose neighbours all bear another label."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from featuremill._utils.progress import Progress
from featuremill.dataset.reader import Indices, Matrix
from featuremill.errors import ConfigError
from featuremill.search.embedded import COUNT, DIGITS, Embedded, load
from featuremill.search.most_similar import rows_of_label
from featuremill.search.neighbors import majority, nearest, outlyingness, wilson

NEIGHBOURS: Final = 10
"""Nearest images that an image is compared with."""

VOTES: Final = 5
"""Nearest images that vote on its label."""


@dataclass(frozen=True)
class Outlier:
    """An image and what lies around it.

    ``distance`` is 1 - the mean cosine to its nearest images, ``nearest`` the path of the first of
    them, and ``labels`` how many of them bear which label.
    """

    distance: float
    path: str
    label: str
    width: int
    height: int
    nearest: str
    labels: Mapping[str, int]


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of labels predicted by the nearest other images: k-NN, leave one out.

    ``low`` and ``high`` bound Wilson's 95 % interval, which is somewhat too narrow, and images of
    labels with two or three images can be outvoted: see
    :class:`~featuremill.search.neighbors.LeaveOneOut`.
    """

    share: float
    low: float
    high: float
    k: int


@dataclass(frozen=True)
class Outliers:
    """Images that stand out.

    Attributes
    ----------
    on : str
        What was compared.
    k : int
        Nearest images that each was compared with.
    searched : int
        Images that were compared, all with all.
    farthest : tuple of Outlier
        The farthest from their neighbours first.
    mislabelled : tuple of Outlier
        None of their neighbours bears their label, though other images do. Those whose neighbours
        agree most, and are nearest, first.
    mislabelled_in_all : int
        How many there are, of which these are the first.
    accuracy : Accuracy or None
        None where all images bear one label.
    """

    on: str
    k: int
    searched: int
    farthest: tuple[Outlier, ...]
    mislabelled: tuple[Outlier, ...]
    mislabelled_in_all: int
    accuracy: Accuracy | None


def outliers(
    destination: str | os.PathLike[str] | Embedded,
    *,
    count: int = 20,
    label: str | None = None,
    on: str | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Outliers:
    """Find the images farthest from their neighbours, and those that seem mislabelled.

    Parameters
    ----------
    destination : str, path or Embedded
        Destination of an earlier run, or what :func:`~featuremill.search.embedded.load` gave.
    count : int
        At least 1; so many of either kind.
    label : str, optional
        Only images of this label; their neighbours may bear any.
    on : str, optional
        ``features`` or ``reduced``; by default what is loaded already, or features.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Raises
    ------
    ConfigError
        If an option is out of its bounds, or there is only one image.
    DestinationError
        If there are no features to compare.
    """
    COUNT.check("count", count)
    progress = progress or Progress()
    embedded = load(destination, on=on, endpoint_url=endpoint_url, region=region, progress=progress)
    if len(embedded) < 2:
        raise ConfigError("there is only one image, which has no neighbours", "Embed more.")
    wanted = rows_of_label(embedded, label)
    around = _Around(embedded, wanted, progress)
    farthest = np.argsort(-around.distance, kind="stable")
    suspects = around.suspects()
    return Outliers(
        on=embedded.on,
        k=around.rows.shape[1],
        searched=len(embedded),
        farthest=around.described(farthest[:count]),
        mislabelled=around.described(suspects[:count]),
        mislabelled_in_all=len(suspects),
        accuracy=around.accuracy(),
    )


class _Around:
    """The neighbours of some images."""

    def __init__(self, embedded: Embedded, wanted: Indices, progress: Progress) -> None:
        self._embedded, self._wanted = embedded, wanted
        vectors = embedded.vectors
        queries = vectors if len(wanted) == len(embedded) else vectors[wanted]
        self.rows, cosines = nearest(
            queries, vectors, NEIGHBOURS, skip=wanted, progress=progress.advance
        )
        # float32 products of equal rows may be just above 1
        self.distance: Matrix = np.maximum(0, outlyingness(cosines))
        labels = np.asarray(embedded.labels(), dtype=object)
        self._names, self._codes = np.unique(labels, return_inverse=True)

    def suspects(self) -> Indices:
        """Places of images that none of their neighbours is labelled as, best evidence first."""
        own, theirs = self._codes[self._wanted], self._codes[self.rows]
        alone = np.bincount(self._codes)[own] < 2
        foreign = np.flatnonzero((theirs != own[:, np.newaxis]).all(axis=1) & ~alone)
        agreeing = (theirs == majority(theirs)[:, np.newaxis]).sum(axis=1)
        order = np.lexsort((self.distance[foreign], -agreeing[foreign]))
        return np.asarray(foreign[order])

    def accuracy(self) -> Accuracy | None:
        """Compute how often the votes of the nearest are right."""
        if len(self._names) < 2:
            return None
        votes = self._codes[self.rows[:, :VOTES]]
        right = int((majority(votes) == self._codes[self._wanted]).sum())
        low, high = wilson(right, len(votes))
        return Accuracy(right / len(votes), low, high, votes.shape[1])

    def described(self, places: Indices) -> tuple[Outlier, ...]:
        """Describe some of the images."""
        return tuple(map(self._one, places.tolist()))

    def _one(self, place: int) -> Outlier:
        image = self._embedded.image(int(self._wanted[place]))
        around = [str(self._names[code]) for code in self._codes[self.rows[place]]]
        return Outlier(
            distance=round(float(self.distance[place]), DIGITS),
            path=image.path,
            label=image.label,
            width=image.width,
            height=image.height,
            nearest=self._embedded.image(int(self.rows[place, 0])).path,
            labels=dict(Counter(around).most_common()),
        )
