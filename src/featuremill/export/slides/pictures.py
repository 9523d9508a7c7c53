"""Reads the pictures that slides show: some of each class, nearest neighbours, rejected images.

An image that is gone, has changed or cannot be decoded is left out, and so is a slide without any.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featuremill._utils import paths
from featuremill.dataset.ledger import RunRecord, open_recorded
from featuremill.dataset.reader import rejected_rows
from featuremill.images.decode import Limits, decode
from featuremill.images.originals import read_again
from featuremill.images.thumbnails import Wanted
from featuremill.report.rows import ReportRows
from featuremill.search import analysis
from featuremill.search.neighbors import nearest, unit_rows
from featuremill.storage import Store

CLASSES: Final = 8
EACH: Final = 4
QUERIES: Final = 3
NEAREST: Final = 5
REJECTS: Final = 6

_EDGE: Final = 224
_LIMITS: Final = Limits(max_bytes=16_000_000, max_pixels=64_000_000)


class Near(NamedTuple):
    """A picture, and the cosine of its features to those of the one that was asked for."""

    label: str
    jpeg: bytes
    cosine: float


class RejectedImage(NamedTuple):
    """An image without features; ``jpeg`` is None where it cannot be shown either.

    Only what a limit kept out is decoded here: all else would fail again, or end this process.
    """

    name: str
    stage: str
    jpeg: bytes | None


@dataclass(frozen=True)
class Pictures:
    """What slides show, as JPEG files of at most 224 pixels on a side.

    Attributes
    ----------
    classes : mapping of label to sequence of bytes
        The largest classes first.
    neighbours : sequence of sequence of Near
        In each, an image and the nearest others in order.
    rejects : sequence of RejectedImage
    """

    classes: Mapping[str, Sequence[bytes]]
    neighbours: Sequence[Sequence[Near]]
    rejects: Sequence[RejectedImage]


def read_pictures(
    destination: Store,
    record: RunRecord,
    rows: ReportRows,
    compared: NDArray[np.float32],
    region: str | None = None,
) -> Pictures:
    """Read the pictures again from the source of a run.

    Parameters
    ----------
    rows : ReportRows
        Images with features.
    compared : ndarray of shape (n, d), float32
        By what they are neighbours: the scores of the components, or the features.
    region : str, optional
        Region of S3, where the images lie there.
    """
    source = open_recorded(paths.place(record.config["source"]), record.config, None, region)
    largest = [label for label, _ in rows.by_size()]
    examples = analysis.examples(rows.labels, EACH)
    of_class = {label: examples[label] for label in largest[:CLASSES] if label in examples}
    lines = _nearest(compared, [of_class[label][0] for label in list(of_class)[:QUERIES]])
    rejected = _rejected(destination, str(record.network["model_id"]))
    asked = [row for own in of_class.values() for row in own]
    asked += [row for line in lines for row, _ in line]
    seen = _read(source, {row: rows.images[row] for row in asked})
    harmless = {number: wanted for number, (wanted, _, may) in enumerate(rejected) if may}
    seen_rejects = _read(source, harmless)
    return Pictures(
        classes={
            label: found
            for label, own in of_class.items()
            if (found := [seen[row] for row in own if row in seen])
        },
        neighbours=[
            [Near(rows.labels[row], seen[row], cosine) for row, cosine in line if row in seen]
            for line in lines
            if line[0][0] in seen
        ],
        rejects=[
            RejectedImage(wanted.path.rpartition("/")[2], stage, seen_rejects.get(number))
            for number, (wanted, stage, _) in enumerate(rejected)
        ],
    )


def _nearest(
    compared: NDArray[np.float32], queries: Sequence[int]
) -> list[list[tuple[int, float]]]:
    """Each query itself and the rows with the highest cosines to it, the highest first."""
    unit, asked = unit_rows(compared), np.array(queries, np.int64)
    rows, cosines = nearest(unit[asked], unit, NEAREST, skip=asked)
    return [
        [(query, 1.0), *zip(own.tolist(), near.tolist(), strict=True)]
        for query, own, near in zip(queries, rows, cosines, strict=True)
    ]


def _rejected(destination: Store, model_id: str) -> list[tuple[Wanted, str, bool]]:
    """Images with the stage at which they were rejected, and whether they may be decoded here."""
    columns = (*Wanted._fields, "stage", "reason")
    found = []
    for path, version, size, stage, reason in islice(
        rejected_rows(destination, model_id, columns), REJECTS
    ):
        small = isinstance(size, int) and size <= _LIMITS.max_bytes
        wanted = Wanted(str(path), str(version), size if isinstance(size, int) else 0)
        found.append((wanted, str(stage), small and ", limit " in str(reason)))
    return found


def _read(source: Store, wanted: Mapping[int, Wanted]) -> dict[int, bytes]:
    places = {number: (image.path, image.version) for number, image in wanted.items()}
    used, _ = read_again(lambda _: source, places, partial(_jpeg, edge=_EDGE))
    return used


def _jpeg(data: bytes, edge: int) -> bytes:
    image = Image.fromarray(decode(data, _LIMITS, (edge, edge)).pixels)
    image.thumbnail((edge, edge))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=88)
    return encoded.getvalue()
