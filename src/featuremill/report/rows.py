"""The rows of the features table that a report shows: all of them, or a sample."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featuremill.dataset.schemas import OK
from featuremill.dataset.tables import DataFile, Table, features_table
from featuremill.images.thumbnails import Wanted
from featuremill.storage import Store

_KNOWN = ["path", "label", "version", "bytes", "model_id"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Images with features, by path.

    Attributes
    ----------
    images : list of Wanted
    labels : list of str
    features : ndarray of shape (n, d), float32
    classes : Counter
        Images of each label, of all in the table.
    total : int
        Images in the table, of which these are a sample where there are fewer.
    """

    images: list[Wanted]
    labels: list[str]
    features: NDArray[np.float32]
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


def read_rows(destination: Store, model_id: str, n_features: int, most: int) -> Rows:
    """Read the rows of one model, a seeded sample where there are more than `most`.

    Notes
    -----
    The features are read into one array, 512 MB for 100,000 images of 1280; beside it there is
    never more than one row group of a file.
    """
    table = features_table(destination)
    # once, so that what a run commits meanwhile is not among them
    files = table.files(status=OK)
    known = _known(table, files, model_id)
    classes = Counter(cast("list[str]", known["label"].to_pylist()))
    total = known.num_rows
    place = _places(known, most)
    taken = np.flatnonzero(place >= 0)
    order = taken[np.argsort(place[taken])]
    chosen = known.take(pa.array(order))
    columns = (chosen[name].to_pylist() for name in ("path", "version", "bytes"))
    features = np.empty((len(order), n_features), np.float32)
    _read_features(table, files, model_id, place, features)
    return Rows(
        images=[Wanted(*fields) for fields in zip(*columns, strict=True)],
        labels=cast("list[str]", chosen["label"].to_pylist()),
        features=features,
        classes=classes,
        total=total,
    )


def _known(table: Table, files: Sequence[DataFile], model_id: str) -> pa.Table:
    """All but the features, in the order of the files."""
    schema = pa.schema([table.schema.field(name) for name in _KNOWN])
    batches = [batch for file in files for batch in table.read(file, _KNOWN)]
    known = pa.Table.from_batches(batches, schema)
    return known.filter(pc.equal(known["model_id"], model_id))


def _places(known: pa.Table, most: int) -> NDArray[np.int64]:
    """Where each row goes among those taken, by path; -1 where it is not taken."""
    rows = np.arange(known.num_rows)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    by_path = pc.sort_indices(known["path"].take(pa.array(rows))).to_numpy()
    place = np.full(known.num_rows, -1, np.int64)
    place[rows[by_path]] = np.arange(len(rows))
    return place


def _read_features(
    table: Table,
    files: Sequence[DataFile],
    model_id: str,
    place: NDArray[np.int64],
    into: NDArray[np.float32],
) -> None:
    start = 0
    for file in files:
        for batch in table.read(file, ["model_id", "features"]):
            mine = pc.equal(batch["model_id"], model_id)
            if pc.all(mine).as_py() is False:
                batch = batch.filter(mine)
            values = batch["features"].flatten().to_numpy().reshape(-1, into.shape[1])
            places = place[start : start + batch.num_rows]
            start += batch.num_rows
            # copied only where something is left out: it is most of the time that reading takes
            taken = places >= 0
            into[places[taken]] = values if taken.all() else values[taken]
