"""What a report is made from: plain values, gathered by the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featuremill.pca import COMPONENT_MARKS, VARIANCE_MARKS, components_needed

LEDGER_PARTS: Final = ("already_done", "already_rejected", "embedded", "rejected", "skipped")
"""The entries of a ledger that sum to ``listed``."""


class Rejected(NamedTuple):
    """An image that could not become features."""

    path: str
    stage: str
    reason: str


class Point(NamedTuple):
    """An image in the plane of the first two components."""

    path: str
    label: str
    pc1: float
    pc2: float


class Parity(NamedTuple):
    """How close the fast path came to float32: the smallest cosine over so many images."""

    smallest_cosine: float
    compared: int


class ModelFacts(NamedTuple):
    """The network that made the features."""

    name: str
    model_id: str
    precision: str
    trained: bool
    licence: str
    weights_sha256: str


class Mark(NamedTuple):
    """A point worth naming on the curve of cumulative variance."""

    components: int
    variance: float
    why: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ReportData:
    """Everything the report shows.

    Attributes
    ----------
    title, source, dest, run, started : str
        Shown as given; `started` is a date and time for people.
    ledger : mapping
        Counts of images: ``listed`` and each of :data:`LEDGER_PARTS`.
    skipped_by_reason : mapping of reason to count
    rejects_by_reason : mapping of (stage, reason) to count
    rejected : sequence of Rejected
        Examples, a few hundred at most.
    timings : mapping of stage to seconds
    images_per_second : float or None
        None where this run embedded nothing.
    hardware, versions : mapping of name to value
    model : ModelFacts
    features : int
        Length of a feature vector.
    classes : mapping of label to count
        Over every image that has features.
    thumbnails : mapping of label to a sequence of (path, JPEG bytes)
    parity : Parity or None
    spectrum : ndarray of shape (rank,), float64, or None
        Share of the variance of every component, kept or not; None without a PCA.
    k : int
        Components kept; 0 without a PCA.
    points : sequence of Point
        A sample of `points_total` images.
    points_total : int
    """

    title: str
    source: str
    dest: str
    run: str
    started: str
    ledger: Mapping[str, int]
    timings: Mapping[str, float]
    images_per_second: float | None
    hardware: Mapping[str, str]
    versions: Mapping[str, str]
    model: ModelFacts
    features: int
    classes: Mapping[str, int]
    skipped_by_reason: Mapping[str, int] = field(default_factory=dict)
    rejects_by_reason: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rejected: Sequence[Rejected] = ()
    thumbnails: Mapping[str, Sequence[tuple[str, bytes]]] = field(default_factory=dict)
    parity: Parity | None = None
    spectrum: NDArray[np.float64] | None = None
    k: int = 0
    points: Sequence[Point] = ()
    points_total: int = 0

    @property
    def images(self) -> int:
        """Images that have features, from this run or an earlier one."""
        return self.ledger["already_done"] + self.ledger["embedded"]

    @property
    def rejects(self) -> int:
        """Images that have none, from this run or an earlier one."""
        return self.ledger["already_rejected"] + self.ledger["rejected"]

    @property
    def balances(self) -> bool:
        """Whether every image listed is accounted for exactly once."""
        return self.ledger["listed"] == sum(self.ledger[part] for part in LEDGER_PARTS)

    @property
    def variance_held(self) -> float | None:
        """Share of the variance that the kept components hold."""
        if self.spectrum is None:
            return None
        return float(min(1.0, self.spectrum[: self.k].sum()))

    @property
    def classes_by_size(self) -> list[tuple[str, int]]:
        """Labels with their counts, largest first, then by name."""
        return sorted(self.classes.items(), key=lambda item: (-item[1], item[0]))

    def marks(self) -> list[Mark]:
        """Points worth naming on the curve, by number of components, then of variance."""
        if self.spectrum is None:
            return []
        cumulative = np.minimum(np.cumsum(self.spectrum), 1.0)
        named = [(k, f"first {k}") for k in COMPONENT_MARKS if k <= len(cumulative)]
        for share in VARIANCE_MARKS:
            named.append((components_needed(self.spectrum, share), f"at least {100 * share:.0f} %"))
        return [Mark(k, float(cumulative[k - 1]), why) for k, why in named]
