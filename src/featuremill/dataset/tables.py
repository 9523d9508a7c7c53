"""The Delta tables; every rule about what may be committed lives here.

Workers write Parquet files straight to the destination and nobody sees them; a chunk becomes
visible when one transaction names its files. Each attempt to commit reads the table afresh,
stops if an earlier attempt did arrive after all (the run's transaction version says so), and
checks that every file is there in full.
"""

import json
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featuremill.dataset import schemas
from featuremill.dataset.lock import confirm
from featuremill.dataset.schemas import feature_writer, read_parquet, reduced_writer
from featuremill.errors import CommitError, DestinationError
from featuremill.storage import Store
from featuremill.storage.base import no_room
from featuremill.storage.destination import require_readable

_COMMIT_ATTEMPTS = 9


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
        """Create the table if it is not there.

        Raises
        ------
        CommitError
            If it is refused again and again.
        """
        from deltalake import DeltaTable

        def create() -> None:
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

        self._attempt("the table could not be created in", create)

    def check(self) -> None:
        """Refuse a table that this code cannot write to correctly.

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

    def files(self, version: int | None = None, **partition: str) -> list[DataFile]:
        """Files of the newest or of a given version, of one partition if given.

        Raises
        ------
        deltalake.exceptions.DeltaError
            If the log holds that version no more.
        """
        return [
            file
            for file in _data_files(self._open(version))
            if partition.items() <= file.partition.items()
        ]

    def is_unchanged_since(self, version: int) -> bool:
        """Whether the newest version names the very files of a given one."""
        from deltalake.exceptions import DeltaError

        newest = self._open()
        if newest.version() == version:
            return True
        try:
            then = _data_files(self._open(version))
        except DeltaError:
            # the log holds it no more
            return False
        return {file.name for file in then} == {file.name for file in _data_files(newest)}

    def read(
        self, file: DataFile | str, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of one file, or of one of a name, a row group at a time."""
        name = file if isinstance(file, str) else file.name
        return read_parquet(self.store, f"{self.folder}/{name}", columns)

    def batches(
        self, files: Iterable[DataFile | str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of some files, one after the other, a row group at a time."""
        return (batch for file in files for batch in self.read(file, columns))

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

        def commit() -> None:
            table = self._open()
            done = table.transaction_version(run)
            if done is not None and done >= number:
                return
            old, rewritten = removed() if removed else ((), ())
            new = [*added, *rewritten]
            self._verify(new)
            # after the version that is built upon was read: whoever takes over advances it, and
            # a commit that then comes late is refused instead of being put on top
            confirm(self.store)
            table.create_write_transaction(
                [*map(_remove_action, old), *map(_add_action, new)],
                "overwrite" if overwrite else "append",
                self.schema,
                self.partition_by,
                commit_properties=CommitProperties(
                    max_commit_retries=0,
                    app_transactions=[Transaction(run, number)],
                    custom_metadata={"featuremill.run": run, "featuremill.chunk": number},
                ),
            )

        self._attempt(f"chunk {number} could not be committed to", commit)

    def fence(self, run: str) -> None:
        """Refuse every commit that another run may still have under way."""
        if self.exists():
            self.commit(f"{run}-fence", 0, [])

    def remove_uncommitted(self, run: str) -> int:
        """Remove what a run, ended or dead, wrote and never committed; tells how many files."""
        known = self.files() if self.exists() else ()
        committed = {f"{self.folder}/{file.name}" for file in known}
        # a hidden one is what a worker that was killed had begun to write
        return self._remove(
            [
                name
                for name in self.store.names(self.folder)
                if name.rpartition("/")[2].removeprefix(".").startswith(f"{run}-")
                and name not in committed
            ]
        )

    def vacuum(self, *, everything: bool = False) -> int:
        """Remove every file that the newest version does not name; tells how many.

        Only for a table that one run alone writes, while that run holds the destination.

        Parameters
        ----------
        everything : bool
            Also what no version ever named, or none that the log still knows.
        """
        # Delta would remove them itself by a request that not every store knows
        unnamed = self._open().vacuum(
            0, dry_run=True, enforce_retention_duration=False, full=everything
        )
        # after they were listed: whoever takes over later has begun none of them
        confirm(self.store)
        return self._remove([f"{self.folder}/{name}" for name in unnamed])

    def checkpoint(self) -> int:
        """Write the newest version whole into the log; returns its number."""
        table = self._open()
        table.create_checkpoint()
        version: int = table.version()
        return version

    def _remove(self, names: Sequence[str]) -> int:
        with ThreadPoolExecutor(self.store.read_ahead, "remove") as pool:
            return sum(1 for _ in pool.map(self.store.remove, names))

    def _attempt(self, failed: str, act: Callable[[], None]) -> None:
        """Repeat an action that failed, for half a minute: its answer may have been lost."""
        from deltalake.exceptions import DeltaError

        failure: Exception | None = None
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                act()
                return
            except (DeltaError, OSError) as error:
                failure = error
                time.sleep(random.uniform(0.05, 0.1) * 2**attempt)
        full = no_room(failure, Path(self.store.url, self.folder)) if failure else None
        why, first = full or (str(failure), "")
        again = "Run the same command again: it goes on after the last committed chunk."
        raise CommitError(
            f"{failed} {self.store.url}/{self.folder} in {_COMMIT_ATTEMPTS} attempts: {why}",
            f"{first} {again}".strip(),
        ) from failure

    def _open(self, version: int | None = None) -> Any:
        from deltalake import DeltaTable

        require_readable(self.store)
        uri, options = self.store.table(self.folder)
        return DeltaTable(uri, version, storage_options=options)

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


def existing_tables(store: Store) -> list[Table]:
    """Those of the two tables that are there."""
    return [table for table in (features_table(store), reduced_table(store)) if table.exists()]


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
        but the features or scores.
    """
    columns = [field.name for field in table.schema if not pa.types.is_list(field.type)]
    columns = [name for name in columns if name not in table.partition_by]
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
        with _writer(table, sink) as writer:
            for batch, mark in zip(table.read(file), marks, strict=True):
                writer.write_batch(batch.filter(pc.invert(mark)))
        data = sink.getvalue().to_pybytes()
        folder = "".join(f"{key}={value}/" for key, value in file.partition.items())
        name = f"{folder}{prefix}-{len(added)}.parquet"
        table.store.write(f"{table.folder}/{name}", data)
        added.append(DataFile(name, file.rows - dropped, len(data), file.partition))
    return removed, added


def is_of_model(batch: pa.RecordBatch, model_id: str) -> pa.BooleanArray:
    """Mark the rows of a batch that are of a model."""
    return pc.equal(batch["model_id"], model_id)


def drop_paths(
    paths: Collection[str], model_id: str | None = None
) -> Callable[[pa.RecordBatch], pa.Array]:
    """Function for :func:`without_rows` that drops some images' rows, of a model if given."""
    wanted = pa.array(list(paths), pa.string())

    def drop(batch: pa.RecordBatch) -> pa.Array:
        found = pc.is_in(batch["path"], value_set=wanted)
        return pc.and_(found, is_of_model(batch, model_id)) if model_id else found

    return drop


def drop_other_models(model_id: str) -> Callable[[pa.RecordBatch], pa.Array]:
    """Function for :func:`without_rows` that drops every other model's rows."""
    return lambda batch: pc.invert(is_of_model(batch, model_id))


def _writer(table: Table, sink: pa.NativeFile) -> pq.ParquetWriter:
    return feature_writer(sink) if table.folder == schemas.FEATURES_FOLDER else reduced_writer(sink)


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
