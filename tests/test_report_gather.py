"""A report is written from what a run left and from its source, whatever became of that."""

import json
import re
import shutil
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featuremill import load_features
from featuremill.dataset.ledger import Ledger, load_latest
from featuremill.dataset.reader import Dataset
from featuremill.errors import DestinationError
from featuremill.report import gather
from featuremill.report.rows import read_rows
from featuremill.storage import open_store
from without_spark import results_of


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    """A destination of 60 pictures of 4 classes; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    results_of(pictures, folder / "results")
    return folder / "results"


@pytest.fixture
def dest(finished, tmp_path):
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "results"))


def report_of(dest):
    address = gather.rewrite_report(open_store(dest))
    assert address == f"{dest}/report.html"
    return Path(address).read_text(encoding="utf-8")


def data_of(page, name):
    return re.search(f'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.S)[1]


def placed(page):
    """Rows that have a thumbnail."""
    place = b64decode(json.loads(data_of(page, "sheets-data"))["place"])
    return np.flatnonzero(np.frombuffer(place, "<i4") >= 0)


def test_every_image_is_a_point_with_a_thumbnail(dest, pictures):
    page = report_of(dest)
    assert "60 of 60 images have a thumbnail." in page
    assert len(placed(page)) == 60
    packed = json.loads(data_of(page, "explorer-data"))
    paths = [start + name + end for start, _, end, names in packed["folders"] for name in names]
    assert paths == sorted(str(path) for path in pictures.rglob("*.jpg"))
    assert (packed["images"], len(packed["components"]), len(packed["labels"])) == (60, 12, 4)
    assert page.count('<img src="data:image/webp;base64,') > 60


def test_it_bears_the_name_of_its_source_and_a_date_for_people(dest):
    page = report_of(dest)
    assert re.search("<h1>[^/<]+/pictures</h1>", page)
    assert re.search(r"featuremill, \d{1,2} [A-Z][a-z]+ 20\d\d, \d\d:\d\d UTC, run run", page)


def test_the_same_results_give_the_same_page(dest):
    assert report_of(dest) == report_of(dest)


def test_images_that_changed_or_are_gone_have_no_thumbnail(pictures, tmp_path):
    source = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    results_of(source, tmp_path / "results")
    gone, changed, *_ = sorted(source.rglob("*.jpg"))
    gone.unlink()
    changed.write_bytes(changed.read_bytes() + b"\0")
    page = report_of(tmp_path / "results")
    assert "58 of 60 images have a thumbnail" in page
    assert "1 (cannot be read any more)" in page
    assert "1 (changed since they were embedded)" in page
    assert placed(page).tolist() == list(range(2, 60))


def test_a_source_that_is_gone_leaves_a_report_without_pictures(pictures, tmp_path):
    source = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    results_of(source, tmp_path / "results")
    shutil.rmtree(source)
    page = report_of(tmp_path / "results")
    assert "0 of 60 images have a thumbnail" in page
    assert "<img" not in page
    assert "k-NN accuracy" in page


def test_a_source_out_of_reach_leaves_a_report_that_says_so(dest, monkeypatch):
    from featuremill.errors import StorageError
    from featuremill.storage.local import LocalStore

    def fetch(self, path):
        raise StorageError(f"cannot read {path}: the disk is gone")

    monkeypatch.setattr(LocalStore, "fetch", fetch)
    page = report_of(dest)
    assert "<b>No thumbnails:</b>" in page
    assert "the disk is gone" in page
    assert "<img" not in page


def test_of_very_many_images_a_sample_is_shown(dest, monkeypatch):
    monkeypatch.setattr(gather, "MOST_POINTS", 40)
    page = report_of(dest)
    assert "A sample of 40 of 60 images" in page
    assert json.loads(data_of(page, "explorer-data"))["images"] == 40
    assert report_of(dest) == page


@pytest.mark.slow
def test_thumbnails_take_what_room_is_left(dest, monkeypatch):
    whole = report_of(dest)
    sheet = len(data_of(whole, "sheet-0"))
    monkeypatch.setattr(gather, "_MARGIN", 500)
    shown = []
    for share in (0.94, 0.8, 0.5, 0.3, 0.1):
        limit = len(whole.encode()) - round(share * sheet)
        monkeypatch.setattr(gather, "LARGEST", limit)
        smaller = report_of(dest)
        assert len(smaller.encode()) <= limit
        shown.append(len(placed(smaller)))
    assert 0 < shown[0] < 60
    assert shown[-1] == 60


def test_a_second_run_that_found_everything_done_keeps_the_figures(dest):
    store = open_store(dest)
    first = replace(
        load_latest(store),
        ledger=Ledger(listed=60, embedded=60),
        precision=Counter(mixed=60),
        parity={"precision": "mixed", "smallest_cosine": 0.99951, "compared": 32},
        seconds={"extract": 5.5, "probe": 2.5, "reduce": 1.25, "write": 0.75},
        images_per_second=123.4,
        worker_seconds=7200.0,
        hardware={"cpu": "a fast one"},
    )
    first.save(store)
    before = report_of(dest)
    second = replace(
        first,
        run=f"{first.run}2",
        ledger=Ledger(listed=60, already_done=60),
        precision=Counter(),
        parity=None,
        seconds={"extract": 0.03},
        images_per_second=None,
        worker_seconds=0.0,
        hardware={"cpu": "a slow one"},
        warnings=["of the second"],
    )
    second.save(store)
    page = report_of(dest)
    for said in (
        "60 images embedded at 123.4 images a second.",
        "the smallest cosine was 0.999510",
        "5.50\u202fs",
        "2 core-hours",
        "a fast one",
        "<dd>mixed</dd>",
    ):
        assert said in before, said
        assert said in page, said
    assert f"those of run {first.run}, the last one that embedded images" in page
    assert f"tasks of run {first.run} took" in page
    assert "the last one that embedded" not in before
    # what was listed, and what it warned of, is of the second
    assert "<dt>already done</dt><dd>60</dd>" in page
    assert "of the second" in page


@pytest.mark.slow
def test_without_components_there_is_no_explorer(pictures, tmp_path):
    results_of(pictures, tmp_path / "results", components=None)
    page = report_of(tmp_path / "results")
    assert "no components were computed" in page
    assert "<script" not in page
    assert "Near-duplicates were not looked for: the run computed no components." in page
    assert page.count('<img src="data:image/webp;base64,') == 16


def test_components_of_another_model_are_not_shown(dest):
    description = dest / "model" / "pca.json"
    record = json.loads(description.read_text())
    record["network"]["model_id"] = "another"
    description.write_text(json.dumps(record))
    assert "no components were computed" in report_of(dest)


def test_a_destination_without_a_run_is_refused(tmp_path):
    with pytest.raises(DestinationError, match="holds no run"):
        gather.rewrite_report(open_store(tmp_path))


def rows_in(dest, most=1000):
    store = open_store(dest)
    return read_rows(Dataset.now(store, load_latest(store).network), most)


def test_rows_are_read_by_path_with_their_own_features(finished):
    rows = rows_in(finished)
    frame = load_features(finished).sort_values("path")
    assert [image.path for image in rows.images] == list(frame["path"])
    assert rows.labels == list(frame["label"])
    np.testing.assert_array_equal(rows.features, np.stack(frame["features"]))
    assert rows.classes == frame["label"].value_counts().to_dict()


def test_a_sample_of_rows_keeps_the_counts_of_all(finished):
    every, rows = rows_in(finished), rows_in(finished, most=25)
    assert (len(rows), rows.total, rows.classes) == (25, 60, every.classes)
    place = {image.path: row for row, image in enumerate(every.images)}
    taken = [place[image.path] for image in rows.images]
    assert taken == sorted(taken)
    np.testing.assert_array_equal(rows.features, every.features[taken])
    assert rows_in(finished, most=25).images == rows.images


def test_rows_of_another_model_are_none_of_them(finished):
    network = {"model_id": "another", "n_features": 1280}
    assert len(read_rows(Dataset.now(open_store(finished), network), 1000)) == 0
