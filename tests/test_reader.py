"""Whoever reads a destination is given the rows of its model, whatever else its tables hold."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from featuremill import load_features
from featuremill.dataset.known_images import known_images
from featuremill.dataset.model_files import read_network
from featuremill.dataset.reader import Dataset, open_dataset, rejected_rows
from featuremill.dataset.schemas import FEATURES, feature_writer
from featuremill.dataset.tables import DataFile, features_table
from featuremill.errors import DestinationError
from featuremill.export.results import open_results
from featuremill.export.slides import facts
from featuremill.report.rows import read_rows
from featuremill.search import load
from featuremill.storage import Store, open_store
from without_spark import results_of


@pytest.fixture(scope="module")
def half_replaced(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A destination with rows of another model, in files of their own and beside its own rows."""
    store = open_store(results_of(pictures, tmp_path_factory.mktemp("half") / "results"))
    table = features_table(store)
    held = pa.Table.from_batches(table.batches(table.files())).to_pylist()
    old = [{**row, "path": f"/old{row['path']}", "model_id": "old"} for row in held]
    new = [{**row, "path": f"/new{row['path']}"} for row in held[:10]]
    mixed = [row for both in zip(old, new, strict=False) for row in both]
    bad = [{**row, "features": None, "stage": "decode", "reason": "bad"} for row in mixed[:4]]
    files = {"ok/run-7": old[10:], "ok/run-8": mixed, "rejected/run-9": bad}
    table.commit("run", 1, [_written(store, name, rows) for name, rows in files.items()])
    return store


def _written(store: Store, name: str, rows: list[dict[str, object]]) -> DataFile:
    sink = pa.BufferOutputStream()
    with feature_writer(sink) as writer:
        writer.write_table(pa.Table.from_pylist(rows, FEATURES))
    data = sink.getvalue().to_pybytes()
    store.write(f"features/status={name}.parquet", data)
    return DataFile(f"status={name}.parquet", len(rows), len(data), {"status": name[:-6]})


def test_every_reader_gives_the_rows_of_the_destinations_model_alone(half_replaced):
    network, table = read_network(half_replaced), features_table(half_replaced)
    loaded = load_features(half_replaced.url)
    images = sorted(loaded["path"])
    assert len(images) == 70
    assert not any(path.startswith("/old") for path in images)
    results = open_results(half_replaced)
    assert sorted(load(half_replaced.url).images["path"].to_pylist()) == images
    shown = read_rows(Dataset.now(half_replaced, network), 1000)
    assert [image.path for image in shown.images] == images
    assert sorted(p for rows in results.rows() for p in rows.path.to_pylist()) == images
    assert results.survey().rows == facts.gather(half_replaced).images == 70
    assert len(list(rejected_rows(half_replaced, network["model_id"], ["path"]))) == 2
    assert len(known_images(table, network["model_id"])) == 72


def test_a_dataset_holds_what_was_there_when_it_was_opened(half_replaced, tmp_path):
    opened = open_dataset(half_replaced)
    before = opened.read(["path"])
    row = {"path": "/later.jpg", "model_id": opened.network["model_id"]}
    file = _written(half_replaced, "ok/run-6", [row])
    features_table(half_replaced).commit("run", 2, [file])
    assert opened.read(["path"]).equals(before)
    assert open_dataset(half_replaced).read(["path"]).num_rows == len(before) + 1


def test_rows_of_another_length_than_the_networks_are_refused(half_replaced):
    network = json.loads(half_replaced.read("model/network.json"))
    with pytest.raises(DestinationError, match="not every row holds 1000 numbers"):
        read_rows(Dataset.now(half_replaced, {**network, "n_features": 1000}), 1000)
