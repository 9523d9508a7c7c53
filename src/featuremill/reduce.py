"""From the features table to the reduced table: one pass for the moments, one to project."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from featuremill.errors import DestinationError, InputError, RunError
from featuremill.lease import confirm
from featuremill.pca import PCA, Moments
from featuremill.schemas import FEATURES_FOLDER, OK, REDUCED, REDUCED_FOLDER
from featuremill.session import Attempt, map_tasks, reduce_tasks, slots
from featuremill.storage import Store
from featuremill.tables import (
    DataFile,
    Removal,
    Table,
    features_table,
    read_parquet,
    reduced_table,
    reduced_writer,
)
from featuremill.words import plural

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import SparkSession

MODEL_ARRAYS = "model/pca.safetensors"
MODEL_DESCRIPTION = "model/pca.json"

_ESSENTIAL = {
    "network": dict,
    "run": str,
    "versions": dict,
    "n_features": int,
    "n_components": int,
    "n_samples": int,
}
_REMEDY = "Bring that file back, or run again with the same SRC and DEST to fit a PCA anew."
_OF_NETWORK = ("name", "model_id")
_ROWS_PER_TASK = 250_000
"""A task holds its reduced rows in memory before it writes them: 50 components, 50 MB."""


@dataclass(frozen=True)
class Rows:
    """Which rows of the features table are meant: all of a model, or those of some files.

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
    spark: "SparkSession", destination: Store, rows: Rows, n_features: int
) -> Moments:
    """Moments of feature rows, in one pass over their files."""
    payloads = _share_out(_files(destination, rows), slots(spark))
    if not payloads:
        return Moments.empty(n_features)
    function = SumFiles(destination, rows.model_id, n_features, rows.without_runs)
    return Moments.from_bytes(reduce_tasks(spark, payloads, function, merge, "moments"))


def project(
    spark: "SparkSession",
    destination: Store,
    rows: Rows,
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
    payloads = _share_out(_files(destination, rows), slots(spark))
    broadcast = spark.sparkContext.broadcast(pca.to_safetensors())
    function = ProjectFiles(destination, rows.model_id, run, broadcast, rows.without_runs)
    try:
        answers = map_tasks(spark, payloads, function, "project")
    finally:
        broadcast.destroy()
    written = [file for answer in answers if (file := DataFile(**json.loads(answer))).rows]
    table = reduced_table(destination)
    table.create()
    table.commit(run, 0, written, removed=replaced, overwrite=replaced is None)
    # people read the folder's Parquet files without the log; old ones would show images twice
    table.vacuum()
    return sum(file.rows for file in written)


def save_model(
    destination: Store, pca: PCA, network: Mapping[str, Any], run: str
) -> dict[str, Any]:
    """Write the PCA, its SHA-256 and of which tables it is; returns its description.

    Only for a run that holds the destination, so that the tables are those it was fitted to.
    """
    arrays = pca.to_safetensors()
    largest = (float(reach.max()) for reach in outermost(destination))
    description = pca.description() | {
        "network": dict(network),
        "run": run,
        "versions": table_versions(destination),
        "largest_score": max(largest, default=0.0),
        "sha256": hashlib.sha256(arrays).hexdigest(),
    }
    confirm(destination)
    destination.write(MODEL_ARRAYS, arrays)
    destination.write(MODEL_DESCRIPTION, json.dumps(description, indent=2).encode())
    return description


def discard(destination: Store, run: str) -> bool:
    """Leave no row and no PCA of an earlier run; tells whether there was anything.

    Only for a run that holds the destination and found no PCA for the features as they are now.
    One that dies in between has left what the next one discards.
    """
    table, log = reduced_table(destination), f"{REDUCED_FOLDER}/_delta_log/"
    found = [name for name in (MODEL_DESCRIPTION, MODEL_ARRAYS) if destination.size(name)]
    # people read the folder's Parquet files without the log
    rows = any(not name.startswith(log) for name in destination.names(REDUCED_FOLDER))
    if table.exists() and (rows or table.files()):
        table.commit(run, 0, [], overwrite=True)
        table.vacuum(everything=True)
    confirm(destination)
    for name in found:
        destination.remove(name)
    return rows or bool(found)


def still_fits(destination: Store, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Description of the PCA at a destination, if it is of the tables as they are now.

    Parameters
    ----------
    wanted : mapping
        Entries that the description must have besides.
    """
    try:
        description = read_description(destination)
    except (FileNotFoundError, DestinationError):
        return None
    fits = is_of(destination, description) and wanted.items() <= description.items()
    # one that was kept is not what would be fitted to these tables
    return description if fits and "kept" not in description else None


def is_of(destination: Store, description: Mapping[str, Any]) -> bool:
    """Whether a PCA is of the tables as they are now.

    A version that only says who may write now, as after a dead run, is of the same rows.
    """
    fitted = description.get("versions")
    tables = {table.folder: table for table in _tables(destination)}
    return (
        isinstance(fitted, dict)
        and fitted.keys() == tables.keys()
        and all(isinstance(fitted[folder], int) for folder in tables)
        and all(tables[folder].is_unchanged_since(fitted[folder]) for folder in tables)
    )


def table_versions(destination: Store) -> dict[str, int]:
    """Newest version of each of the two tables that there is."""
    return {table.folder: table.version() for table in _tables(destination)}


def _tables(destination: Store) -> list[Table]:
    tables = (features_table(destination), reduced_table(destination))
    return [table for table in tables if table.exists()]


def read_description(destination: Store) -> dict[str, Any]:
    """Description of the PCA at a destination.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DestinationError
        If it is damaged.
    """
    try:
        found = json.loads(destination.read(MODEL_DESCRIPTION))
    except ValueError as error:
        raise DestinationError(
            f"{destination.url}/{MODEL_DESCRIPTION} is damaged: {error}", _REMEDY
        ) from error
    known: dict[str, Any] = found if isinstance(found, dict) else {}
    missing = [name for name, kind in _ESSENTIAL.items() if not isinstance(known.get(name), kind)]
    if not missing:
        missing = [f"network.{name}" for name in _OF_NETWORK if name not in known["network"]]
    if missing:
        raise DestinationError(
            f"{destination.url}/{MODEL_DESCRIPTION} is damaged: it has no {', '.join(missing)}",
            _REMEDY,
        )
    return known


def load_fitted(destination: Store) -> tuple[PCA, dict[str, Any]] | None:
    """Read the fitted PCA and its description, or None if there is none.

    Raises
    ------
    DestinationError
        If one of the two files is damaged, or they are not of one PCA.
    """
    try:
        arrays = destination.read(MODEL_ARRAYS)
    except FileNotFoundError:
        return None
    both = f"{MODEL_ARRAYS} and {MODEL_DESCRIPTION} at {destination.url}"
    try:
        description = read_description(destination)
        pca = PCA.from_safetensors(arrays)
    except FileNotFoundError as error:
        raise DestinationError(
            f"{destination.url} holds {MODEL_ARRAYS}, but no {MODEL_DESCRIPTION}", _REMEDY
        ) from error
    except DestinationError:
        raise
    except InputError as error:
        raise DestinationError(
            f"{destination.url}/{MODEL_ARRAYS} is damaged: {error.problem}", _REMEDY
        ) from error
    fitted = pca.description()
    counts = {name: fitted[name] for name in ("n_features", "n_components", "n_samples")}
    if description.get("sha256") != hashlib.sha256(arrays).hexdigest() or (
        not counts.items() <= description.items()
    ):
        raise DestinationError(
            f"{both} do not belong together: one was changed, or a run ended between the two",
            _REMEDY,
        )
    return pca, description


def load_model(destination: Store) -> PCA | None:
    """Read the fitted PCA as :func:`load_fitted` does, without its description."""
    fitted = load_fitted(destination)
    return None if fitted is None else fitted[0]


def outermost(destination: Store) -> Iterator[npt.NDArray[np.float32]]:
    """The largest magnitude among the scores of each row of the reduced table, in parts."""
    table = reduced_table(destination)
    for file in table.files():
        for batch in table.read(file, ["features_pca"]):
            if batch.num_rows:
                scores = batch["features_pca"].flatten().to_numpy().reshape(batch.num_rows, -1)
                yield np.abs(scores).max(axis=1)


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
        rows = Rows(self.model_id, without_runs=self.without_runs)
        for _, features in _feature_rows(self.destination, json.loads(payload), rows):
            total = total.merge(Moments.of(features))
        return total.to_bytes()


@dataclass(frozen=True)
class ProjectFiles:
    """The function that runs on a worker: PCA scores of some files, written as one file."""

    destination: Store
    model_id: str
    run: str
    pca: "Broadcast[bytes]"
    without_runs: frozenset[str] = frozenset()

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        """Project and write; the answer describes the file."""
        pca = PCA.from_safetensors(self.pca.value)
        name = f"{self.run}-{attempt.task:04d}-{attempt.number}-{secrets.token_hex(4)}.parquet"
        sink = pa.BufferOutputStream()
        wanted = Rows(self.model_id, without_runs=self.without_runs)
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
    destination: Store, names: Sequence[str], rows: Rows
) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.float32]]]:
    left_out = pa.array(sorted(rows.without_runs), pa.string())
    for name in names:
        columns = ["path", "label", "model_id", "run", "features"]
        for read in read_parquet(destination, f"{FEATURES_FOLDER}/{name}", columns):
            wanted = pc.invert(pc.is_in(read["run"], value_set=left_out))
            batch = read.filter(pc.and_(pc.equal(read["model_id"], rows.model_id), wanted))
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


def _files(destination: Store, rows: Rows) -> Sequence[DataFile]:
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
