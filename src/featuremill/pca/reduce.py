"""Computes the reduced table: one pass over the features for the moments, one to project."""

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from featuremill._utils.formatting import plural
from featuremill.dataset.reader import rows_of
from featuremill.dataset.schemas import OK, REDUCED, REDUCED_FOLDER, reduced_writer
from featuremill.dataset.tables import DataFile, Removal, features_table, reduced_table
from featuremill.errors import RunError
from featuremill.pca.components import PCA, Moments
from featuremill.storage import Store
from featuremill.workers.protocol import Attempt, Shared, Workers

_ROWS_PER_TASK = 250_000
"""A task holds its reduced rows in memory before it writes them: 50 components, 50 MB."""


@dataclass(frozen=True)
class RowSelection:
    """A selection of feature rows: all of a model, or those of some files.

    Parameters
    ----------
    files : sequence of DataFile, optional
        All of the newest version if left out.
    without_runs : frozenset of str
        Rows that these runs embedded are left out.
    """

    model_id: str
    files: Sequence[DataFile] | None = None
    without_runs: frozenset[str] = frozenset()


def compute_moments(
    workers: Workers, destination: Store, rows: RowSelection, n_features: int
) -> Moments:
    """Moments of feature rows, in one pass over their files."""
    payloads = _share_out(_files(destination, rows), workers.slots)
    if not payloads:
        return Moments.empty(n_features)
    function = SumFiles(destination, rows.model_id, n_features, rows.without_runs)
    return Moments.from_bytes(workers.reduce(payloads, function, merge, "moments"))


def project(
    workers: Workers,
    destination: Store,
    rows: RowSelection,
    pca: PCA,
    run: str,
    replaced: Removal | None = None,
) -> int:
    """Write the reduced table anew, in one commit; returns the number of rows written.

    Parameters
    ----------
    replaced : callable, optional
        Instead, add to the table and take from it only what this gives.
    """
    payloads = _share_out(_files(destination, rows), workers.slots)
    shared = workers.broadcast(pca.to_safetensors())
    function = ProjectFiles(destination, rows.model_id, run, shared, rows.without_runs)
    try:
        answers = workers.map(payloads, function, "project")
    finally:
        shared.destroy()
    written = [file for answer in answers if (file := DataFile(**json.loads(answer))).rows]
    table = reduced_table(destination)
    table.create()
    table.commit(run, 0, written, removed=replaced, overwrite=replaced is None)
    # people read the folder's Parquet files without the log; old ones would show images twice
    table.vacuum()
    return sum(file.rows for file in written)


def merge(sums: Iterable[bytes]) -> bytes:
    """Moments of several parts, as one."""
    total: Moments | None = None
    for data in sums:
        part = Moments.from_bytes(data)
        total = part if total is None else total.merge(part)
    return total.to_bytes() if total is not None else b""


@dataclass(frozen=True)
class SumFiles:
    """The function that runs on a worker: moments of the feature rows of some files."""

    destination: Store
    model_id: str
    n_features: int
    without_runs: frozenset[str] = frozenset()

    def __call__(self, payload: bytes, _: Attempt) -> bytes:
        """Read the files one row group at a time."""
        total = Moments.empty(self.n_features)
        rows = RowSelection(self.model_id, without_runs=self.without_runs)
        for _, features in _feature_rows(self.destination, json.loads(payload), rows):
            total = total.merge(Moments.of(features))
        return total.to_bytes()


@dataclass(frozen=True)
class ProjectFiles:
    """The function that runs on a worker: PCA scores of some files, written as one file."""

    destination: Store
    model_id: str
    run: str
    pca: Shared[bytes]
    without_runs: frozenset[str] = frozenset()

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        """Project and write; the answer describes the file."""
        pca = PCA.from_safetensors(self.pca.value)
        name = f"{self.run}-{attempt.task:04d}-{attempt.number}-{secrets.token_hex(4)}.parquet"
        sink = pa.BufferOutputStream()
        wanted = RowSelection(self.model_id, without_runs=self.without_runs)
        rows = 0
        with reduced_writer(sink) as writer:
            names = json.loads(payload)
            for batch, features in _feature_rows(self.destination, names, wanted):
                scores = _scores(pca, batch["path"], features)  # (n, k)
                writer.write_batch(_reduced_batch(batch, scores))
                rows += len(scores)
        data = sink.getvalue().to_pybytes()
        if rows:
            self.destination.write(f"{REDUCED_FOLDER}/{name}", data)
        return json.dumps({"name": name, "rows": rows, "size": len(data)}).encode()


def _feature_rows(
    destination: Store, names: Sequence[str], rows: RowSelection
) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.float32]]]:
    left_out = pa.array(sorted(rows.without_runs), pa.string())
    columns = ["path", "label", "run", "features"]
    for batch in rows_of(features_table(destination), names, rows.model_id, columns):
        if rows.without_runs:
            batch = batch.filter(pc.invert(pc.is_in(batch["run"], value_set=left_out)))
        if batch.num_rows:
            values: npt.NDArray[np.float32] = batch["features"].flatten().to_numpy()
            yield batch, values.reshape(batch.num_rows, -1)  # (n, n_features)


def _scores(
    pca: PCA, paths: pa.Array, features: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Scores as they are written; raises RunError for the first row that float32 cannot hold."""
    with np.errstate(over="ignore"):
        scores = pca.transform(features).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise RunError(
            f"Scores of {plural(len(bad), 'image')}, such as {paths[int(bad[0])].as_py()}, are too"
            f" large for float32, whose largest number is {np.finfo(np.float32).max:.3g}.",
            "Fit a PCA anew to all images: run without --keep-pca.",
        )
    return scores


def _reduced_batch(batch: pa.RecordBatch, scores: npt.NDArray[np.float32]) -> pa.RecordBatch:
    offsets = np.arange(0, scores.size + 1, scores.shape[1], dtype=np.int32)
    lists = pa.ListArray.from_arrays(offsets, scores.ravel())
    return pa.RecordBatch.from_arrays([batch["path"], batch["label"], lists], schema=REDUCED)


def _files(destination: Store, rows: RowSelection) -> Sequence[DataFile]:
    return features_table(destination).files(status=OK) if rows.files is None else rows.files


def _share_out(files: Sequence[DataFile], slots: int) -> list[bytes]:
    """Names of files for each task, with about the same number of rows."""
    wanted = max(slots, -(-sum(file.rows for file in files) // _ROWS_PER_TASK))
    shares: list[tuple[int, list[str]]] = [(0, []) for _ in range(min(wanted, len(files)))]
    for file in sorted(files, key=lambda file: -file.rows):
        lightest = min(range(len(shares)), key=lambda share: shares[share][0])
        rows, names = shares[lightest]
        shares[lightest] = (rows + file.rows, [*names, file.name])
    return [json.dumps(names).encode() for _, names in shares]
