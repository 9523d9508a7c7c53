"""Reads the rows of the features table that a report shows: all of them, or a sample."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featuremill.dataset.reader import Dataset, placed, seeded_sample
from featuremill.images.thumbnails import Wanted

_KNOWN = ["label", "run", *Wanted._fields]


@dataclass(frozen=True, eq=False)
class ReportRows:
    """Images with features, by path.

    Attributes
    ----------
    images : list of Wanted
    labels : list of str
    features : ndarray of shape (n, d), float32
    runs : list of str
        The run that embedded each.
    classes : Counter
        Images of each label, of all in the table.
    total : int
        Images in the table, of which these are a sample where there are fewer.
    """

    images: list[Wanted]
    labels: list[str]
    features: NDArray[np.float32]
    runs: list[str]
    classes: Counter[str]
    total: int

    def __len__(self) -> int:
        return len(self.images)

    def by_size(self) -> list[tuple[str, int]]:
        """Labels with their counts, largest first, then by name."""
        return sorted(self.classes.items(), key=lambda item: (-item[1], item[0]))

    def in_turns(self) -> list[int]:
        """Rows in a seeded order in which classes take turns, so that its start has them all."""
        _, codes = np.unique(np.asarray(self.labels, dtype=object), return_inverse=True)
        shuffled = np.random.default_rng(0).permutation(len(codes))
        by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
        grouped = codes[by_class]
        turn = np.arange(len(codes)) - np.searchsorted(grouped, grouped)
        return cast("list[int]", by_class[np.argsort(turn, kind="stable")].tolist())


def read_rows(dataset: Dataset, most: int) -> ReportRows:
    """Read the images of a destination, a seeded sample where there are more than `most`.

    Notes
    -----
    The features are read into one array, 512 MB for 100,000 images of 1280; beside it there is
    never more than one row group of a file.
    """
    known = dataset.read(_KNOWN)
    classes = Counter(cast("list[str]", known["label"].to_pylist()))
    sample = seeded_sample(known.num_rows, most)
    order = sample[pc.sort_indices(known["path"].take(pa.array(sample))).to_numpy()]
    chosen = known.take(pa.array(order))
    columns = (chosen[name].to_pylist() for name in Wanted._fields)
    places = np.full(known.num_rows, -1, np.int64)
    places[order] = np.arange(len(order))
    features = np.empty((len(order), dataset.n_features), np.float32)
    for rows, values in placed(dataset.features(), places, dataset.n_features):
        features[rows] = values
    return ReportRows(
        images=[Wanted(*fields) for fields in zip(*columns, strict=True)],
        labels=cast("list[str]", chosen["label"].to_pylist()),
        features=features,
        runs=cast("list[str]", chosen["run"].to_pylist()),
        classes=classes,
        total=known.num_rows,
    )
