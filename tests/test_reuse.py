"""A worker that is used again is spared what PySpark repeats with every task."""

import gc
import importlib
import sys
import zipfile
import zipimport

import pytest

from featuremill.workers.spark import ease_reuse


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_garbage_is_no_longer_looked_for_among_what_was_loaded():
    ease_reuse("one kind of work")
    frozen = gc.get_freeze_count()
    assert frozen > 1_000
    kept = [[number] for number in range(1_000)]
    ease_reuse("one kind of work")
    assert gc.get_freeze_count() <= frozen, "what tasks leave behind would never be freed"
    ease_reuse("another kind of work")
    assert gc.get_freeze_count() > frozen + len(kept) / 2


def test_archives_are_not_read_again_until_an_import_needs_them(tmp_path, monkeypatch):
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("first_of_archive.py", "")
        file.writestr("second_of_archive.py", "")
    monkeypatch.syspath_prepend(str(archive))
    importlib.import_module("first_of_archive")
    ease_reuse("work")
    finders = sys.path_importer_cache.values()
    assert not any(isinstance(finder, zipimport.zipimporter) for finder in finders)
    importlib.import_module("second_of_archive")
