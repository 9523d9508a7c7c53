"""What the slides tell of a destination: counts of all rows, numbers of a sample."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from featuremill.dataset.ledger import RunRecord, kind_of, last_that_embedded
from featuremill.dataset.reader import matrix, rejected_rows, seeded_sample
from featuremill.errors import DestinationError
from featuremill.export.results import Results, open_results
from featuremill.export.slides.cost import Cost, cost_of
from featuremill.pca.model import PCA
from featuremill.search.neighbors import LeaveOneOut, leave_one_out, unit_rows
from featuremill.storage import Store

MOST_ROWS: Final = 8_000
"""Images whose features are looked at; of more, a seeded sample."""
MOST_ASKED: Final = 1_000
"""Of these, whose class is asked of their neighbours."""


class Told(NamedTuple):
    """How often neighbours tell an image's class; by the components where there are any."""

    among: int
    features: LeaveOneOut
    reduced: LeaveOneOut | None


class Points(NamedTuple):
    """Images of the sample: labels, and scores of shape (n, 2), float32."""

    labels: list[str]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """What is known of a destination.

    Attributes
    ----------
    dest : str
    record : RunRecord
        Of the newest run.
    measured : RunRecord
        Of the last run that embedded: speed, times, precision and machine are its own.
    classes : list of (label, images)
        Largest first, then by name.
    images, image_bytes, n_features : int
        Images with features, their size, and the length of their features.
    pca : PCA or None
    points : Points or None
        None without a second component.
    told : Told or None
        None where there are too few images or classes.
    reasons : list of ((stage, reason), images)
        Most frequent first.
    cost : Cost
    """

    dest: str
    record: RunRecord
    measured: RunRecord
    classes: list[tuple[str, int]]
    images: int
    image_bytes: int
    n_features: int
    pca: PCA | None
    points: Points | None
    told: Told | None
    reasons: list[tuple[tuple[str, str], int]]
    cost: Cost

    @property
    def source(self) -> str:
        """Where the images came from."""
        return str(self.record.config["source"])

    @property
    def name(self) -> str:
        """Last part of the source."""
        return self.source.rstrip("/").rpartition("/")[2] or self.source

    @property
    def rejects(self) -> int:
        """Images without features, from this run or an earlier one."""
        return sum(count for _, count in self.reasons)

    @property
    def variance_held(self) -> float:
        """Share of the variance that the kept components hold; 0 without a PCA."""
        if self.pca is None:
            return 0.0
        return min(1.0, float(self.pca.explained_variance_ratio_.sum()))


def gather(store: Store, region: str | None = None) -> Facts:
    """Read what a run left.

    Parameters
    ----------
    store : Store
        The destination.
    region : str, optional
        Whose prices count.

    Raises
    ------
    DestinationError
        If there was no run, or it left no image with features.
    """
    results = open_results(store)
    if results.record is None:
        raise DestinationError(
            f"{store.url} holds no run", "Name the destination of `featuremill run`."
        )
    classes, image_bytes = _counted(results)
    images = sum(classes.values())
    if not images:
        raise DestinationError(
            f"{store.url} holds no image with features",
            "Look for the reasons in its rejects.csv.",
        )
    model_id = str(results.network["model_id"])
    reasons = Counter(
        (str(stage), kind_of(str(reason)))
        for stage, reason in rejected_rows(store, model_id, ("stage", "reason"))
    )
    points, told = _looked_at(results, images)
    measured = last_that_embedded(store, results.record)
    return Facts(
        dest=store.url,
        record=results.record,
        measured=measured,
        classes=sorted(classes.items(), key=lambda item: (-item[1], item[0])),
        images=images,
        image_bytes=image_bytes,
        n_features=results.n_features,
        pca=results.pca,
        points=points,
        told=told,
        reasons=reasons.most_common(),
        cost=cost_of(measured, images, image_bytes, region),
    )


def _counted(results: Results) -> tuple[Counter[str], int]:
    """Images of each class, and the bytes of all."""
    classes, size = Counter[str](), 0
    for batch in results.batches(["label", "bytes"]):
        for entry in pc.value_counts(batch["label"]).to_pylist():
            classes[entry["values"]] += entry["counts"]
        size += pc.sum(batch["bytes"]).as_py() or 0
    return classes, size


def _looked_at(results: Results, images: int) -> tuple[Points | None, Told | None]:
    random = np.random.default_rng(0)
    taken = seeded_sample(images, MOST_ROWS, random)
    labels: list[str] = []
    features: list[NDArray[np.float32]] = []
    first = 0
    for batch in results.batches(["label", "features"]):
        inside = taken[(taken >= first) & (taken < first + batch.num_rows)] - first
        first += batch.num_rows
        if len(inside):
            features.append(matrix(batch["features"], results.n_features)[inside])
            labels += batch["label"].take(inside).to_pylist()
    sample = np.concatenate(features)
    scores = None if results.pca is None else results.pca.transform(sample).astype(np.float32)
    has_plane = scores is not None and scores.shape[1] > 1
    points = Points(labels, scores[:, :2]) if scores is not None and has_plane else None
    if len(set(labels)) < 2 or len(set(labels)) == len(labels):
        return points, None
    asked = seeded_sample(len(labels), MOST_ASKED, random)
    whole = leave_one_out(unit_rows(sample), labels, queries=asked)
    part = None if scores is None else leave_one_out(unit_rows(scores), labels, queries=asked)
    return points, Told(len(labels), whole, part)
