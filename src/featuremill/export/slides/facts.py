"""Collects what the slides tell of a destination: counts of all rows, numbers of a sample."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from featuremill.dataset.ledger import RunRecord, last_that_embedded
from featuremill.dataset.reader import count_rejections, seeded_sample
from featuremill.errors import DestinationError
from featuremill.export.results import open_results
from featuremill.export.slides.cost import Cost, cost_of
from featuremill.export.slides.pictures import Pictures, read_pictures
from featuremill.pca.components import PCA
from featuremill.report.rows import ReportRows, read_rows
from featuremill.search.neighbors import LeaveOneOut, leave_one_out, unit_rows
from featuremill.storage import Store

MOST_ROWS: Final = 8_000
"""Images whose features are looked at; of more, a seeded sample."""
MOST_ASKED: Final = 1_000
"""Images of these whose neighbours are asked for their class."""


class Told(NamedTuple):
    """How often neighbours predict an image's class, by all features and by the components."""

    among: int
    features: LeaveOneOut
    reduced: LeaveOneOut | None


class Points(NamedTuple):
    """Images of the sample: labels, and scores of shape (n, 2), float32."""

    labels: list[str]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """Everything that the slides show of a destination.

    Attributes
    ----------
    dest : str
    record : RunRecord
        Record of the newest run that changed something: slides of a run that found everything
        done are those of the run before.
    measured : RunRecord
        Record of the last run that embedded: speed, times, precision and machine are its own.
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
    pictures : Pictures
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
    pictures: Pictures
    cost: Cost

    @property
    def source(self) -> str:
        """The source of the images, as the record names it."""
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
    rows = read_rows(results, MOST_ROWS)
    if not rows.total:
        raise DestinationError(
            f"{store.url} holds no image with features",
            "Look for the reasons in its rejects.csv.",
        )
    image_bytes = int(pc.sum(results.read(["bytes"])["bytes"]).as_py())
    scores = None if results.pca is None else results.pca.transform(rows.features)
    compared = rows.features if scores is None else scores.astype(np.float32)
    points, told = _looked_at(rows, None if scores is None else compared)
    measured = last_that_embedded(store, results.record)
    record = measured if _changed_nothing(results.record) else results.record
    return Facts(
        dest=store.url,
        record=record,
        measured=measured,
        classes=rows.by_size(),
        images=rows.total,
        image_bytes=image_bytes,
        n_features=results.n_features,
        pca=results.pca,
        points=points,
        told=told,
        reasons=count_rejections(store, str(results.network["model_id"])).most_common(),
        pictures=read_pictures(store, results.record, rows, compared, region),
        cost=cost_of(measured, rows.total, image_bytes, region),
    )


def _changed_nothing(record: RunRecord) -> bool:
    """Whether a run found every image done, and dropped none."""
    counted = record.ledger
    return not (counted.embedded or counted.rejected or record.pruned)


def _looked_at(
    rows: ReportRows, scores: NDArray[np.float32] | None
) -> tuple[Points | None, Told | None]:
    labels = rows.labels
    has_plane = scores is not None and scores.shape[1] > 1
    points = Points(labels, scores[:, :2]) if scores is not None and has_plane else None
    if len(set(labels)) < 2 or len(set(labels)) == len(labels):
        return points, None
    asked = seeded_sample(len(labels), MOST_ASKED)
    whole = leave_one_out(unit_rows(rows.features), labels, queries=asked)
    part = None if scores is None else leave_one_out(unit_rows(scores), labels, queries=asked)
    return points, Told(len(labels), whole, part)
