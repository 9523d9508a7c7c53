"""Reads each table once, and collects what the checks of its rows need.

A row is remembered by a 64-bit digest of its path: a million take 8 MB, and that two of them
share one has a chance of 1 in 37 million. Its scores are remembered by one number, their product
with a fixed random vector ``r`` (k,). As scores are ``P (x - mean)`` with ``P`` of shape (k, d),
that of a feature row is its product with ``v = P^T r`` (d,), which costs O(d) instead of O(d k);
scores that are wrong give another number. After Freivalds, "Probabilistic machines can use less
running time", IFIP Congress 1977.

The tables are read here and not by ``dataset/reader``, which all others use: a file that is damaged
is named, and the others are judged, where the reader stops. And what is checked by other code than
that which made it can be wrong in one place alone.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featuremill.dataset.schemas import OK, STAGES
from featuremill.dataset.tables import DataFile, Table
from featuremill.errors import FeaturemillError
from featuremill.pca.components import PCA
from featuremill.workflows.check.tables import same_columns

Digests = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.float64]

_REJECTED = ("path", "model_id", "stage", "reason")
_EMBEDDED = ("path", "model_id", "features")
_ROWS = 4096
"""Rows held at a time: 1,280 float64 features of so many take 42 MB."""


class Columns:
    """Digests, and numbers beside them, as they come in."""

    def __init__(self) -> None:
        self._digests: list[Digests] = []
        self._numbers: list[Numbers] = []

    def add(self, digests: Digests, numbers: Numbers | None = None) -> None:
        """Add some rows."""
        self._digests.append(digests)
        self._numbers.append(np.empty(0) if numbers is None else numbers)

    def digests(self) -> Digests:
        """All digests, as they came."""
        return np.concatenate([np.empty(0, np.uint64), *self._digests])

    def numbers(self) -> Numbers:
        """All numbers, as they came."""
        return np.concatenate([np.empty(0), *self._numbers])


@dataclass
class FeatureRows:
    """The rows of one model, as one pass over the features table found them.

    Attributes
    ----------
    damaged : list of str
        Files that cannot be read or are not what the log says, and why.
    others : int
        Rows of another model.
    wrong_length, not_finite : int
        Embedded rows with another number of features, or with one that is no finite number.
    unexplained : int
        Rejected rows without a known stage or a reason.
    below : int
        Rows whose path lies below the source asked about.
    embedded : Columns
        Paths, with the number that stands for their scores (NaN where the row is faulty).
    rejected : Columns
        Paths.
    """

    damaged: list[str] = field(default_factory=list)
    others: int = 0
    wrong_length: int = 0
    not_finite: int = 0
    unexplained: int = 0
    below: int = 0
    embedded: Columns = field(default_factory=Columns)
    rejected: Columns = field(default_factory=Columns)


@dataclass
class ReducedRows:
    """The rows of the reduced table, as one pass found them.

    Attributes
    ----------
    paths : Columns
        Paths, with the number that stands for their scores.
    bounds : Columns
        Beside each path how large that number's terms are, for its tolerance.
    rows : Columns
        Whole rows.
    """

    damaged: list[str] = field(default_factory=list)
    wrong_length: int = 0
    not_finite: int = 0
    paths: Columns = field(default_factory=Columns)
    bounds: Columns = field(default_factory=Columns)
    rows: Columns = field(default_factory=Columns)


Advance = Callable[[int], None]
"""Told how many more rows were read."""


def scan_features(
    table: Table,
    files: Sequence[DataFile],
    *,
    model_id: str,
    n_features: int,
    pca: PCA | None,
    below: str,
    advance: Advance,
) -> FeatureRows:
    """Read all rows of the features table once."""
    found = FeatureRows()
    stand_ins = _stand_ins(pca)
    for file in files:
        embedded = file.partition.get("status") == OK
        columns = _EMBEDDED if embedded else _REJECTED
        for batch in _batches(table, file, columns, found.damaged):
            advance(batch.num_rows)
            mine = batch.filter(
                pc.equal(batch["model_id"], model_id), null_selection_behavior="drop"
            )
            found.others += batch.num_rows - mine.num_rows
            found.below += pc.sum(pc.starts_with(mine["path"], pattern=below)).as_py() or 0
            paths = digests(mine["path"])
            if not embedded:
                found.rejected.add(paths)
                found.unexplained += _unexplained(mine)
                continue
            values, sound = _matrix(mine["features"], n_features)
            found.wrong_length += mine.num_rows - len(values)
            finite = np.isfinite(values).all(axis=1)
            found.not_finite += int((~finite).sum())
            numbers = np.full(mine.num_rows, np.nan)
            numbers[np.flatnonzero(sound)[finite]] = stand_ins(values[finite])
            found.embedded.add(paths, numbers)
    return found


def scan_reduced(table: Table, files: Sequence[DataFile], k: int) -> ReducedRows:
    """Read all rows of the reduced table once."""
    found = ReducedRows()
    weights = _weights(k)
    for file in files:
        for batch in _batches(table, file, table.schema.names, found.damaged):
            values, sound = _matrix(batch["features_pca"], k)
            found.wrong_length += batch.num_rows - len(values)
            found.not_finite += int((~np.isfinite(values).all(axis=1)).sum())
            terms = np.full((batch.num_rows, k), np.nan)
            terms[sound] = values * weights
            paths = digests(batch["path"])
            with np.errstate(invalid="ignore"):
                found.paths.add(paths, terms.sum(axis=1))
            found.bounds.add(paths, np.abs(terms).sum(axis=1))
            found.rows.add(row_digests(batch.filter(pa.array(sound)), values))
    return found


def digests(texts: pa.Array) -> Digests:
    """64-bit digests of texts."""
    return _packed([(text or "").encode() for text in texts.to_pylist()])


def row_digests(batch: pa.RecordBatch, scores: npt.NDArray[np.float32]) -> Digests:
    """64-bit digests of whole rows: path, label and scores, to the last bit."""
    texts = zip(batch["path"].to_pylist(), batch["label"].to_pylist(), strict=True)
    rows = np.ascontiguousarray(scores, np.float32)
    return _packed(
        [
            f"{path}\0{label}\0".encode() + row.tobytes()
            for (path, label), row in zip(texts, rows, strict=True)
        ]
    )


def _batches(
    table: Table, file: DataFile, columns: Sequence[str], damaged: list[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of a file; what is wrong with it is noted, and ends it."""
    name = f"{table.folder}/{file.name}"
    expected = pa.schema(
        [column for column in table.schema if column.name not in table.partition_by]
    )
    try:
        with table.store.open(name) as source:
            parquet = pq.ParquetFile(source, pre_buffer=False)
            if not same_columns(parquet.schema_arrow, expected):
                damaged.append(f"{name}, with other columns")
                return
            if parquet.metadata.num_rows != file.rows:
                damaged.append(f"{name} of {parquet.metadata.num_rows:,} rows, not {file.rows:,}")
                return
            # decoding in threads out of a foreign buffer has brought interpreters down at exit
            yield from parquet.iter_batches(_ROWS, columns=list(columns), use_threads=False)
    except FeaturemillError:
        raise
    except (pa.ArrowException, OSError) as error:
        damaged.append(f"{name}: {str(error).splitlines()[0]}")


def _matrix(lists: pa.Array, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Rows of the right length as a matrix (m, width), and which they are (n,)."""
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy(zero_copy_only=False)
    sound = lengths == width
    kept = lists if sound.all() else lists.filter(pa.array(sound))
    values = kept.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(kept), width), sound


def _unexplained(batch: pa.RecordBatch) -> int:
    known = pc.is_in(batch["stage"], value_set=pa.array(STAGES))
    reason = pc.fill_null(pc.greater(pc.utf8_length(batch["reason"]), 0), False)
    return int(pc.sum(pc.invert(pc.and_(known, reason))).as_py() or 0)


def _weights(k: int) -> Numbers:
    return np.random.default_rng(0).standard_normal(k)


def _stand_ins(pca: PCA | None) -> Callable[[npt.NDArray[np.float32]], Numbers]:
    """Function that gives rows (m, d) the numbers (m,) that stand for their scores."""
    if pca is None:
        return lambda rows: np.full(len(rows), np.nan)
    mean = pca.mean_
    vector = (pca.components_ / pca.scale_).T @ _weights(pca.n_components_)  # (d,)
    return lambda rows: np.asarray((rows.astype(np.float64) - mean) @ vector)


def _packed(texts: list[bytes]) -> Digests:
    joined = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, np.uint64)
