"""The Delta tables; every rule about what may be committed lives here.

Workers write Parquet files straight to the destination and nobody sees them; a chunk becomes
visible when one transaction names its files. Each attempt to commit reads the table afresh,
stops if an earlier attempt did arrive after all (the run's transaction version says so), and
checks that every file is there in full.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featuremill import schemas
from featuremill.errors import CommitError, DestinationError
from featuremill.storage import Store

_COMMIT_ATTEMPTS = 5
_RETRIED_STAGES = ("list", "fetch", "limit")
"""Rejects that say nothing about the image itself: the next run tries them again."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table; ``name`` is relative to the table's folder."""

    name: str
    rows: int
    size: int
    partition: dict[str, str | None] = field(default_factory=dict)


Removal = Callable[[], tuple[Sequence[DataFile], Sequence[DataFile]]]
"""Gives files to remove and files to add in their place, found in the newest version."""


class Table:
    """A Delta table in a folder of a store."""

    def __init__(
        self, store: Store, folder: str, schema: pa.Schema, partition_by: Sequence[str] = ()
    ) -> None:
        self.store = store
        self.folder = folder
        self.schema = schema
        self.partition_by = list(partition_by)

    def exists(self) -> bool:
        """Whether there is a Delta table."""
        # Delta's own check waits for minutes, and keeps all threads waiting, if S3 is not there
        log = self.store.names(f"{self.folder}/_delta_log")
        return any(name.endswith((".json", ".parquet")) for name in log)

    def create(self) -> None:
        """Create the table if it is not there."""
        from deltalake import DeltaTable

        uri, options = self.store.table(self.folder)
        DeltaTable.create(
            uri,
            self.schema,
            mode="ignore",
            partition_by=self.partition_by,
            # smallest and largest path would stay in the log when an image is to be forgotten
            configuration={"delta.dataSkippingNumIndexedCols": "0"},
            storage_options=options,
        )

    def check(self) -> None:
        """Refuse what this code cannot keep right.

        Raises
        ------
        DestinationError
            If the folder holds other columns or a table with deletion vectors.
        """
        table = self._open()
        found = pa.schema(table.schema().to_arrow())
        if found.names != self.schema.names:
            raise DestinationError(
                f"{self.store.url}/{self.folder} is a table with the columns"
                f" {', '.join(found.names)}, not {', '.join(self.schema.names)}",
                "Choose another destination.",
            )
        if "deletionVectors" in (table.protocol().reader_features or ()):
            raise DestinationError(
                f"{self.store.url}/{self.folder} uses deletion vectors",
                "Choose another destination, or rewrite the table without them.",
            )

    def version(self) -> int:
        """Number of the newest version."""
        version: int = self._open().version()
        return version

    def files(self, **partition: str) -> list[DataFile]:
        """Files of the newest version, of one partition if given."""
        return [
            file
            for file in _data_files(self._open())
            if partition.items() <= file.partition.items()
        ]

    def read(
        self, file: DataFile, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of one file, a row group at a time."""
        return read_parquet(self.store, f"{self.folder}/{file.name}", columns)

    def commit(
        self,
        run: str,
        number: int,
        added: Sequence[DataFile],
        *,
        removed: "Removal | None" = None,
        overwrite: bool = False,
    ) -> None:
        """Make files visible, exactly once per (run, number).

        Parameters
        ----------
        removed : callable, optional
            Asked anew for each attempt, so that it always sees the version built upon.
        overwrite : bool
            Replace everything the table holds.

        Raises
        ------
        CommitError
            If a file is missing or has another size, or the commit is refused again and again.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import DeltaError

        failure: Exception | None = None
        for attempt in range(_COMMIT_ATTEMPTS):
            table = self._open()
            done = table.transaction_version(run)
            if done is not None and done >= number:
                return
            old, rewritten = removed() if removed else ((), ())
            new = [*added, *rewritten]
            self._verify(new)
            try:
                table.create_write_transaction(
                    [*map(_remove_action, old), *map(_add_action, new)],
                    "overwrite" if overwrite else "append",
                    self.schema,
                    self.partition_by,
                    commit_properties=CommitProperties(
                        app_transactions=[Transaction(run, number)],
                        custom_metadata={"featuremill.run": run, "featuremill.chunk": number},
                    ),
                )
                return
            except (DeltaError, OSError) as error:
                failure = error
                time.sleep(0.1 * 2**attempt)
        raise CommitError(
            f"chunk {number} could not be committed to {self.store.url}/{self.folder}"
            f" in {_COMMIT_ATTEMPTS} attempts: {failure}",
            "Run the same command again: it goes on after the last committed chunk.",
        ) from failure

    def remove_uncommitted(self, run: str) -> int:
        """Remove what a run, ended or dead, wrote and never committed; tells how many files."""
        committed = {f"{self.folder}/{file.name}" for file in self.files()}
        count = 0
        for name in list(self.store.names(self.folder)):
            # a hidden one is what a worker that was killed had begun to write
            file = name.rpartition("/")[2].removeprefix(".")
            if file.startswith(f"{run}-") and name not in committed:
                self.store.remove(name)
                count += 1
        return count

    def vacuum(self) -> None:
        """Remove every file that the newest version does not name.

        Only for a table that one run alone writes, while that run holds the destination.
        """
        self._open().vacuum(0, dry_run=False, enforce_retention_duration=False)

    def _open(self) -> Any:
        from deltalake import DeltaTable

        uri, options = self.store.table(self.folder)
        return DeltaTable(uri, storage_options=options)

    def _verify(self, files: Iterable[DataFile]) -> None:
        for file in files:
            found = self.store.size(f"{self.folder}/{file.name}")
            if found != file.size:
                state = "is missing" if found is None else f"has {found} bytes"
                raise CommitError(
                    f"{self.folder}/{file.name} {state}, {file.size} bytes were written",
                    "Run the same command again: the chunk is computed anew.",
                )


def features_table(store: Store) -> Table:
    """The table of features and of rejected images."""
    schema = schemas.FEATURES.append(pa.field("status", pa.string()))
    return Table(store, schemas.FEATURES_FOLDER, schema, ["status"])


def reduced_table(store: Store) -> Table:
    """The table of PCA scores."""
    return Table(store, schemas.REDUCED_FOLDER, schemas.REDUCED)


def read_parquet(
    store: Store, name: str, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file of a store, a row group at a time."""
    with store.open(name) as source:
        file = pq.ParquetFile(source, pre_buffer=False)
        # decoding in threads out of a foreign buffer has brought interpreters down at exit
        yield from file.iter_batches(8192, columns=columns, use_threads=False)


class Known:
    """What the features table holds of one model, as 25 bytes an image.

    Paths are kept as 128-bit digests in a sorted array, so that a million of them take 25 MB
    and a look-up costs microseconds.
    """

    DONE, REJECTED, RETRY = 0, 1, 2

    def __init__(self, rows: Iterable[tuple[str, str, int]]) -> None:
        dtype = np.dtype([("path", "S16"), ("version", "S8"), ("state", "u1")])
        digests = ((_digest(path, 16), _digest(version, 8), state) for path, version, state in rows)
        known = np.fromiter(digests, dtype)
        known.sort(order="path")
        # apart, since only an array without gaps is searched without being copied
        self._paths: npt.NDArray[np.bytes_] = np.ascontiguousarray(known["path"])
        self._versions: npt.NDArray[np.bytes_] = np.ascontiguousarray(known["version"])
        self._states: npt.NDArray[np.uint8] = np.ascontiguousarray(known["state"])

    def __len__(self) -> int:
        return len(self._paths)

    def look_up(self, path: str, version: str) -> tuple[int, bool] | None:
        """State of an image and whether that version is the one known; None if unknown."""
        digest = np.bytes_(_digest(path, 16))
        index = int(self._paths.searchsorted(digest))
        if index == len(self._paths) or self._paths[index] != digest:
            return None
        same = self._versions[index] == np.bytes_(_digest(version, 8))
        return int(self._states[index]), bool(same)


def known_images(table: Table, model_id: str) -> Known:
    """Read what a features table holds of a model."""

    def rows() -> Iterator[tuple[str, str, int]]:
        for file in table.files():
            for batch in table.read(file, ["path", "version", "model_id", "stage"]):
                for path, version, model, stage in zip(
                    *(column.to_pylist() for column in batch.columns), strict=True
                ):
                    if model == model_id:
                        yield path, version, _state(stage)

    return Known(rows())


def without_rows(
    table: Table, prefix: str, drop: Callable[[pa.RecordBatch], pa.Array]
) -> tuple[list[DataFile], list[DataFile]]:
    """Files that hold rows to be dropped, and files with what remains of them.

    Parameters
    ----------
    prefix : str
        Start of the names of the files written; it begins with the run's id, so that they can
        be cleaned up if they are never committed.
    drop : callable
        Function of a batch that gives True for every row to be dropped; it sees all columns
        but the features.
    """
    from featuremill.extract import feature_writer

    columns = [name for name in schemas.FEATURES.names if name != "features"]
    removed: list[DataFile] = []
    added: list[DataFile] = []
    for file in table.files():
        marks = [drop(batch) for batch in table.read(file, columns)]
        dropped = sum(pc.sum(mark).as_py() or 0 for mark in marks)
        if not dropped:
            continue
        removed.append(file)
        if dropped == file.rows:
            continue
        sink = pa.BufferOutputStream()
        with feature_writer(sink) as writer:
            for batch, mark in zip(table.read(file), marks, strict=True):
                writer.write_batch(batch.filter(pc.invert(mark)))
        data = sink.getvalue().to_pybytes()
        folder = "".join(f"{key}={value}/" for key, value in file.partition.items())
        name = f"{folder}{prefix}-{len(added)}.parquet"
        table.store.write(f"{table.folder}/{name}", data)
        added.append(DataFile(name, file.rows - dropped, len(data), file.partition))
    return removed, added


def drop_paths(paths: Collection[str], model_id: str) -> Callable[[pa.RecordBatch], pa.Array]:
    """Function for :func:`without_rows` that drops some images' rows of a model."""
    wanted = pa.array(list(paths), pa.string())

    def drop(batch: pa.RecordBatch) -> pa.Array:
        return pc.and_(
            pc.is_in(batch["path"], value_set=wanted), pc.equal(batch["model_id"], model_id)
        )

    return drop


def drop_other_models(model_id: str) -> Callable[[pa.RecordBatch], pa.Array]:
    """Function for :func:`without_rows` that drops every other model's rows."""
    return lambda batch: pc.not_equal(batch["model_id"], model_id)


def _state(stage: str | None) -> int:
    if stage is None:
        return Known.DONE
    return Known.RETRY if stage in _RETRIED_STAGES else Known.REJECTED


def _digest(text: str, size: int) -> bytes:
    digest = hashlib.blake2b(text.encode(), digest_size=size).digest()
    # NumPy takes NUL bytes at the end of a byte string for padding
    return digest[:-1] + bytes([digest[-1] | 1])


def _data_files(table: Any) -> list[DataFile]:
    actions = pa.table(table.get_add_actions(flatten=False)).to_pylist()
    return [
        DataFile(
            action["path"],
            action["num_records"],
            action["size_bytes"],
            dict(action.get("partition") or {}),
        )
        for action in actions
    ]


def _add_action(file: DataFile) -> Any:
    from deltalake.transaction import AddAction

    now = int(time.time() * 1000)
    statistics = json.dumps({"numRecords": file.rows})
    return AddAction(file.name, file.size, file.partition, now, True, statistics)


def _remove_action(file: DataFile) -> Any:
    from deltalake.transaction import RemoveAction

    now = int(time.time() * 1000)
    return RemoveAction(file.name, True, now, file.size, file.partition)
