"""A result as several runs would leave it, made through the tables' own commits: no Spark."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from featuremill.config import RunConfig
from featuremill.dataset import csv_files
from featuremill.dataset.ledger import RunRecord, new_run_id
from featuremill.dataset.model_files import NETWORK
from featuremill.dataset.schemas import (
    FEATURES,
    OK,
    REDUCED,
    REJECTED,
    feature_writer,
    reduced_writer,
)
from featuremill.dataset.tables import (
    DataFile,
    Table,
    drop_paths,
    features_table,
    reduced_table,
    without_rows,
)
from featuremill.pca.components import PCA, Moments
from featuremill.pca.saved import save_model
from featuremill.report.gather import write_report
from featuremill.storage import Store, open_store

MODEL_ID = "made-up-1234"
WIDTH = 8
NETWORK_OF_ALL = {
    "name": "made-up",
    "model_id": MODEL_ID,
    "n_features": WIDTH,
    "trained": True,
    "licence": "MIT",
    "weights_sha256": "0" * 64,
    "fingerprint": "0",
    "contract": "fp32",
}


class MadeResult:
    """A destination that grows by commits, as runs would make them."""

    def __init__(self, store: Store, source: str, endpoint_url: str | None = None) -> None:
        self.store = store
        self.source = open_store(source, endpoint_url=endpoint_url)
        config = RunConfig(source, store.url, endpoint_url=endpoint_url)
        self.record = RunRecord(new_run_id(), config.description(), network=NETWORK_OF_ALL)
        self.record.status = "finished"
        self.features, self.reduced = features_table(store), reduced_table(store)
        store.write(NETWORK, json.dumps(NETWORK_OF_ALL).encode())
        self.features.create()
        self.reduced.create()
        self._random = np.random.default_rng(0)

    def commit(self, number: int, paths: Sequence[str], *, replaced: bool = False) -> None:
        """Commit embedded images as one chunk, in place of rows they have if asked."""
        file = self._write(f"status={OK}/{self.record.run}-{number:05d}", paths, OK)
        removed = None
        if replaced:
            drop = drop_paths(paths, MODEL_ID)
            removed = partial(
                without_rows, self.features, f"{self.record.run}-{number:05d}-kept", drop
            )
        self.features.commit(self.record.run, number, [file], removed=removed)

    def reject(self, number: int, paths: Sequence[str]) -> None:
        """Commit rejected images as one chunk."""
        file = self._write(f"status={REJECTED}/{self.record.run}-{number:05d}", paths, REJECTED)
        self.features.commit(self.record.run, number, [file])

    def leave_behind(self, name: str, paths: Sequence[str]) -> None:
        """Write a file of features that nothing commits, as a run that is killed does."""
        self._write(name, paths, OK)

    def reduce(self) -> PCA:
        """Fit and write the PCA, the scores, the CSV files and the record."""
        rows = [
            batch
            for file in self.features.files(status=OK)
            for batch in self.features.read(file, ["path", "label", "features"])
        ]
        table = pa.Table.from_batches(rows)
        values = np.stack(table["features"].to_numpy()).astype(np.float32)  # (n, WIDTH)
        pca = PCA.fit(Moments.of(values), n_components=3)
        scores = pca.transform(values).astype(np.float32).tolist()
        reduced = pa.table(
            {"path": table["path"], "label": table["label"], "features_pca": scores}, REDUCED
        )
        sink = pa.BufferOutputStream()
        with reduced_writer(sink) as writer:
            writer.write_table(reduced)
        run = new_run_id()
        file = _put(self.reduced, f"{run}-0000", sink, table.num_rows)
        self.reduced.commit(run, 0, [file], overwrite=True)
        csv_files.write_matrix(self.store, pca.n_components_)
        csv_files.write_rejects(self.store, MODEL_ID)
        self.record.pca = save_model(self.store, pca, NETWORK_OF_ALL, run)
        self.record.ledger.listed = self.record.ledger.embedded = table.num_rows
        self.record.save(self.store)
        return pca

    def report(self, pca: PCA) -> None:
        """Write the report; the source is not there, so no image is pictured."""
        write_report(self.store, self.source, self.record, pca)

    def _write(self, name: str, paths: Sequence[str], status: str) -> DataFile:
        good = status == OK
        rows = [
            {
                "path": path,
                "label": path.split("/")[-2],
                "version": "1",
                "bytes": 1000,
                "width": 10,
                "height": 10,
                "model_id": MODEL_ID,
                "features": self._random.normal(size=WIDTH).tolist() if good else None,
                "stage": None if good else "decode",
                "reason": None if good else "truncated",
                "run": self.record.run,
            }
            for path in paths
        ]
        sink = pa.BufferOutputStream()
        with feature_writer(sink) as writer:
            writer.write_table(pa.Table.from_pylist(rows, schema=FEATURES))
        return _put(self.features, name, sink, len(rows), {"status": status})


def paths_in(table: Table, **partition: str) -> list[str]:
    """Paths of all rows of the newest version, sorted."""
    return sorted(
        path
        for file in table.files(**partition)
        for batch in table.read(file, ["path"])
        for path in batch["path"].to_pylist()
    )


def numbered(source: str | Path, count: int, start: int = 0) -> list[str]:
    """Paths of so many images in ten classes."""
    return [f"{source}/class {n % 10}/{n:06d}.jpg" for n in range(start, start + count)]


def _put(
    table: Table,
    name: str,
    sink: pa.BufferOutputStream,
    rows: int,
    partition: dict[str, str | None] | None = None,
) -> DataFile:
    data = sink.getvalue().to_pybytes()
    table.store.write(f"{table.folder}/{name}.parquet", data)
    return DataFile(f"{name}.parquet", rows, len(data), partition or {})
