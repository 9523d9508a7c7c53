"""The values that a report is made from, gathered by the caller."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featuremill.images.thumbnails import Sheets
from featuremill.pca.components import COMPONENT_MARKS, VARIANCE_MARKS, components_needed
from featuremill.report.explorer import Explorer
from featuremill.search.neighbors import mistakes
from featuremill.search.similar_pairs import RowGroup

LEDGER_PARTS: Final = ("already_done", "already_rejected", "embedded", "rejected", "skipped")
"""The entries of a ledger that sum to ``listed``."""


class Rejected(NamedTuple):
    """An image that could not become features."""

    path: str
    stage: str
    reason: str


class PrecisionParity(NamedTuple):
    """The smallest cosine of the fast path to float32, over the images compared."""

    smallest_cosine: float
    compared: int


class Measured(NamedTuple):
    """The last run that embedded something, and how many images."""

    run: str
    embedded: int


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


class ShownImage(NamedTuple):
    """An image that is shown: where it lies, and a small WebP if there is one."""

    path: str
    label: str
    image: bytes | None = None


class ClassFacts(NamedTuple):
    """A class among the others; what could not be told is None.

    ``compactness`` is the mean cosine of its images to their centre, ``nearest`` the class whose
    centre is nearest, at ``nearest_cosine``. Of the ``asked`` images, ``right`` were told by their
    neighbours, and most of the others were taken for ``mistaken``.
    """

    label: str
    images: int
    examples: Sequence[int] = ()
    compactness: float | None = None
    nearest: str | None = None
    nearest_cosine: float | None = None
    asked: int = 0
    right: int = 0
    mistaken: str | None = None


class LabelAccuracy(NamedTuple):
    """The share of images whose class their neighbours predict, with its 95 % interval."""

    of: str
    share: float
    low: float
    high: float


class Mistake(NamedTuple):
    """Images of one class that their neighbours took for another."""

    label: str
    taken_for: str
    images: int
    asked: int


class AxisEnds(NamedTuple):
    """Rows of the images that lie farthest along a component, either way, the farthest first."""

    component: int
    share: float
    low: Sequence[int]
    high: Sequence[int]


class OutlierRow(NamedTuple):
    """Row of an image far from all others: 1 - the mean cosine to its nearest ones."""

    distance: float
    row: int


@dataclass(frozen=True, kw_only=True)
class FeatureFindings:
    """Everything that the report says about the features; a row is an image of the explorer.

    Attributes
    ----------
    classes : sequence of ClassFacts
        The largest first, then by name.
    labels : int
        How many classes there are.
    shown, total : int
        Images that were looked at, a sample of all that have features.
    accuracy : sequence of LabelAccuracy
        Accuracy by all features first, then by the components.
    asked, neighbours : int
        Images whose neighbours were asked, and how many neighbours each.
    confusion : mapping of (label, predicted label) to count
        By the components, or by the features without them.
    axes : sequence of AxisEnds
    alike : sequence of RowGroup
        Most alike first.
    pairs : mapping of cosine to count
        Pairs at least as near as that; None where there were more than were counted.
    outliers : sequence of OutlierRow
        Farthest first.
    outliers_among : int
        Images that were measured, if some others may lie as far away; else 0.
    left_out : mapping of section to reason
        Which of ``neighbours``, ``alike`` and ``outliers`` could not be told, and why.
    """

    classes: Sequence[ClassFacts] = ()
    labels: int = 0
    shown: int = 0
    total: int = 0
    accuracy: Sequence[LabelAccuracy] = ()
    asked: int = 0
    neighbours: int = 0
    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)
    axes: Sequence[AxisEnds] = ()
    alike: Sequence[RowGroup] = ()
    pairs: Mapping[float, int | None] = field(default_factory=dict)
    outliers: Sequence[OutlierRow] = ()
    outliers_among: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> list[int]:
        """Images to be shown, those that are fewest first."""
        single = [outlier.row for outlier in self.outliers]
        groups = [row for group in self.alike for row in group.rows]
        ends = [row for axis in self.axes for row in (*axis.low, *axis.high)]
        # the first of every class comes before the second of any
        turns = zip_longest(*(facts.examples for facts in self.classes))
        examples = [row for turn in turns for row in turn if row is not None]
        return list(dict.fromkeys([*single, *groups, *ends, *examples]))

    def mistakes(self) -> list[Mistake]:
        """The classes that were taken for others, the most frequent first."""
        asked: Counter[str] = Counter()
        for (label, _), images in self.confusion.items():
            asked[label] += images
        return [Mistake(*mistake, asked[mistake[0]]) for mistake in mistakes(self.confusion)]


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
        None where no run is known that embedded something.
    worker_hours : float
        Hours that tasks took, all added up.
    measured : Measured or None
        The earlier run whose speed, times, precision and hardware are shown; None where they are
        this run's own.
    hardware, versions : mapping of name to value
    warnings : sequence of str
    model : ModelFacts
    features : int
        Length of a feature vector.
    parity : PrecisionParity or None
    spectrum : ndarray of shape (rank,), float64, or None
        Share of the variance of every component, kept or not; None without a PCA.
    k : int
        Components kept; 0 without a PCA.
    found : FeatureFindings
        What the features tell.
    pictures : mapping of row to ShownImage
        Every image that `found` names.
    explorer : Explorer or None
    sheets : Sheets or None
        Thumbnails of the explorer's images.
    unreachable : str
        Why no image could be read, if so.
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
    worker_hours: float = 0.0
    measured: Measured | None = None
    warnings: Sequence[str] = ()
    skipped_by_reason: Mapping[str, int] = field(default_factory=dict)
    rejects_by_reason: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rejected: Sequence[Rejected] = ()
    parity: PrecisionParity | None = None
    spectrum: NDArray[np.float64] | None = None
    k: int = 0
    found: FeatureFindings = FeatureFindings()
    pictures: Mapping[int, ShownImage] = field(default_factory=dict)
    explorer: Explorer | None = None
    sheets: Sheets | None = None
    unreachable: str = ""

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

    def marks(self) -> list[Mark]:
        """Points worth naming on the curve, by number of components, then of variance."""
        if self.spectrum is None:
            return []
        cumulative = np.minimum(np.cumsum(self.spectrum), 1.0)
        named = [(k, f"first {k}") for k in COMPONENT_MARKS if k <= len(cumulative)]
        for share in VARIANCE_MARKS:
            named.append((components_needed(self.spectrum, share), f"at least {100 * share:.0f} %"))
        return [Mark(k, float(cumulative[k - 1]), why) for k, why in named]
