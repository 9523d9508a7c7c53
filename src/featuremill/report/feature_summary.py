"""Computes everything that a report says of the features."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from featuremill._utils.formatting import plural
from featuremill.pca.components import PCA
from featuremill.report.data import (
    AxisEnds,
    ClassFacts,
    FeatureFindings,
    LabelAccuracy,
    OutlierRow,
)
from featuremill.report.explorer import Explorer, colourings, looks, pack
from featuremill.report.rows import ReportRows
from featuremill.search import analysis, similar_pairs
from featuremill.search.analysis import Centres
from featuremill.search.neighbors import LeaveOneOut, leave_one_out, unit_rows

FEWEST_COMPONENTS: Final = 3
"""With fewer, too many images point the same way for a cosine to say that they are alike."""

LOWEST_COSINE: Final = 0.95
"""Where images begin to be nearly the same. Of 36 copies of photographs, resized, recompressed or
cropped by 5 %, 35 were above it, and no two different photographs were."""

COUNTED: Final = (0.99, 0.999)
"""Cosines at which pairs are counted."""

NO_COMPONENTS: Final = "the run computed no components"
FEW_COMPONENTS: Final = f"they need {FEWEST_COMPONENTS} components"

_NEIGHBOURS: Final = 5
_AXES, _EACH_END = 8, 5
_MOST_PAIRS, _MOST_GROUPS = 20_000, 24
_MOST_OUTLIERS = 24
_EXAMPLES, _MOST_EXAMPLES = 4, 600


def find(rows: ReportRows, pca: PCA | None) -> tuple[FeatureFindings, Explorer | None]:
    """Compute what the report says, and the explorer's images where there are components.

    The features of `rows` are made directions, in place: they are most of the memory.
    """
    if not len(rows):
        return FeatureFindings(), None
    asked = analysis.queries(len(rows))
    scores = None if pca is None else pca.transform(rows.features).astype(np.float32)
    full = analysis.to_unit_length(rows.features)
    told = _told({}, f"{full.shape[1]:,} features", full, rows, asked)
    if pca is None or scores is None:
        centres = analysis.centres(full, rows.labels)
        apart = FeatureFindings(left_out={"alike": NO_COMPONENTS, "outliers": NO_COMPONENTS})
        return _findings(apart, rows, centres, told), None
    unit = unit_rows(scores)
    told = _told(told, plural(scores.shape[1], "component"), unit, rows, asked)
    centres = analysis.centres(unit, rows.labels)
    shares = pca.explained_variance_ratio_
    place = {label: index for index, label in enumerate(centres.labels)}
    order = [place[label] for label, _ in rows.by_size() if label in place]
    explorer = pack(
        [image.path for image in rows.images],
        rows.labels,
        scores,
        shares,
        centres.labels,
        looks(order, centres.near),
    )
    explorer = replace(explorer, colourings=colourings({"run": rows.runs}))
    axes = [
        AxisEnds(axis + 1, float(shares[axis]), *analysis.ends(scores, axis, _EACH_END))
        for axis in range(min(_AXES, scores.shape[1]))
    ]
    return replace(_findings(_apart(unit), rows, centres, told), axes=axes), explorer


def _told(
    before: Mapping[str, LeaveOneOut],
    of: str,
    unit: NDArray[np.float32],
    rows: ReportRows,
    asked: NDArray[np.int64],
) -> dict[str, LeaveOneOut]:
    """Add the accuracy by these features; empty where there is only one class."""
    if len(set(rows.labels)) < 2:
        return {}
    return {**before, of: leave_one_out(unit, rows.labels, k=_NEIGHBOURS, queries=asked)}


def _apart(unit: NDArray[np.float32]) -> FeatureFindings:
    """Find images that are close together, and images far from all others."""
    if unit.shape[1] < FEWEST_COMPONENTS:
        return FeatureFindings(left_out={"alike": FEW_COMPONENTS, "outliers": FEW_COMPONENTS})
    pairs = similar_pairs.most_alike(unit, LOWEST_COSINE, _MOST_PAIRS)
    counts = {
        cosine: int((pairs.cosine >= cosine).sum()) if pairs.floor <= cosine else None
        for cosine in COUNTED
    }
    far = analysis.farthest(unit, _MOST_OUTLIERS)
    return FeatureFindings(
        alike=similar_pairs.groups(pairs, _MOST_GROUPS),
        pairs=counts,
        outliers=[
            OutlierRow(float(distance), int(row))
            for distance, row in zip(far.distances, far.rows, strict=True)
        ],
        outliers_among=far.among,
    )


def _findings(
    apart: FeatureFindings, rows: ReportRows, centres: Centres, told: Mapping[str, LeaveOneOut]
) -> FeatureFindings:
    last = list(told.values())[-1] if told else None
    alone = {} if last else {"neighbours": "all images are of one class"}
    return replace(
        apart,
        classes=_classes(rows, centres, last),
        labels=len(rows.classes),
        shown=len(rows),
        total=rows.total,
        accuracy=[LabelAccuracy(of, t.accuracy, t.low, t.high) for of, t in told.items()],
        asked=last.asked if last else 0,
        neighbours=last.k if last else 0,
        confusion=last.confusion if last else {},
        left_out={**apart.left_out, **alone},
    )


def _classes(rows: ReportRows, centres: Centres, told: LeaveOneOut | None) -> list[ClassFacts]:
    """The largest classes; of one that the sample lacks no more than its name and its size."""
    place = {label: index for index, label in enumerate(centres.labels)}
    by_class = analysis.told_by_class(told) if told else {}
    largest = rows.by_size()[: analysis.MOST_CLASSES]
    each = max(1, min(_EXAMPLES, _MOST_EXAMPLES // len(largest)))
    examples = analysis.examples(rows.labels, each)
    facts = []
    for number, (label, images) in enumerate(largest):
        if label not in place:
            facts.append(ClassFacts(label, images))
            continue
        index = place[label]
        near = centres.near[index].tolist()
        asked, right, mistaken = by_class.get(label, (0, 0, None))
        facts.append(
            ClassFacts(
                label,
                images,
                examples[label] if number < _MOST_EXAMPLES else (),
                float(centres.compactness[index]),
                centres.labels[near[0]] if near else None,
                float(centres.cosines[index, 0]) if near else None,
                asked,
                right,
                mistaken,
            )
        )
    return facts
