"""What may be committed to a Delta table: only what is there in full, and only once."""

import json
import os
import pickle
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from featuremill.dataset import tables
from featuremill.dataset.known_images import Known, known_images
from featuremill.dataset.schemas import FEATURES, OK, REDUCED, REJECTED, feature_writer
from featuremill.dataset.tables import (
    DataFile,
    Table,
    drop_other_models,
    drop_paths,
    features_table,
    reduced_table,
    without_rows,
)
from featuremill.errors import CommitError, DestinationError
from featuremill.storage.local import LocalStore

MODEL = "mobilenetv2-1a2b"
IMPATIENT = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
"""In the place of `time`, in one module: others wait as they did."""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = features_table(LocalStore(str(tmp_path)))
    table.create()
    return table


def write(
    table: Table, name: str, *paths: str, model: str = MODEL, stage: str | None = None
) -> DataFile:
    """Write feature rows, or rejected ones where a stage is given, and commit nothing."""
    rows = [
        {
            "path": path,
            "label": "Kiwi",
            "version": f"v-{path}",
            "bytes": 1,
            "model_id": model,
            "features": None if stage else [1.0, 2.0],
            "stage": stage,
            "run": name.partition("-")[0],
        }
        for path in paths
    ]
    sink = pa.BufferOutputStream()
    with feature_writer(sink) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=FEATURES))
    data = sink.getvalue().to_pybytes()
    status = REJECTED if stage else OK
    file = DataFile(f"status={status}/{name}.parquet", len(rows), len(data), {"status": status})
    table.store.write(f"{table.folder}/{file.name}", data)
    return file


def paths_in(table: Table) -> list[str]:
    """Paths of all rows of the newest version, sorted."""
    return sorted(
        path
        for file in table.files()
        for batch in table.read(file, ["path"])
        for path in batch["path"].to_pylist()
    )


def version(table: Table) -> int:
    return DeltaTable(table.store.table(table.folder)[0]).version()


def parquet_files(table: Table) -> set[str]:
    """Names of all Parquet files in the table's folder, committed or not."""
    start = len(table.folder) + 1
    return {name[start:] for name in table.store.names(table.folder) if name.endswith(".parquet")}


def log_of(table: Table) -> str:
    log = Path(table.store.url, table.folder, "_delta_log")
    return "".join(file.read_text() for file in sorted(log.glob("*.json")))


class TestCreate:
    def test_a_table_exists_once_it_is_created(self, tmp_path):
        table = reduced_table(LocalStore(str(tmp_path)))
        assert not table.exists()
        table.create()
        assert table.exists()
        assert table.files() == []

    def test_creating_again_keeps_what_is_there(self, table):
        table.commit("run", 0, [write(table, "run-0", "a")])
        table.create()
        assert paths_in(table) == ["a"]

    def test_its_own_tables_are_fit(self, table):
        table.check()

    def test_a_table_with_other_columns_is_refused(self, table):
        reduced = Table(table.store, table.folder, REDUCED)
        with pytest.raises(DestinationError, match="with the columns path, label, version") as bad:
            reduced.check()
        assert "not path, label, features_pca" in bad.value.problem
        assert "another destination" in bad.value.remedy

    def test_a_table_with_deletion_vectors_is_refused(self, table):
        log = Path(table.store.url, table.folder, "_delta_log", f"{0:020}.json")
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "protocol" in action:
                action["protocol"] = {
                    "minReaderVersion": 3,
                    "minWriterVersion": 7,
                    "readerFeatures": ["deletionVectors"],
                    "writerFeatures": ["deletionVectors"],
                }
        log.write_text("\n".join(map(json.dumps, actions)))
        with pytest.raises(DestinationError, match="uses deletion vectors") as refused:
            table.check()
        assert "rewrite the table without them" in refused.value.remedy


class TestCommit:
    def test_files_are_seen_only_once_they_are_committed(self, table):
        file = write(table, "run-0", "b", "a")
        assert table.files() == []
        table.commit("run", 0, [file])
        assert table.files() == [file]
        assert paths_in(table) == ["a", "b"]

    def test_files_of_one_partition(self, table):
        ok, rejected = write(table, "run-0", "a"), write(table, "run-0", "b", stage="decode")
        table.commit("run", 0, [ok, rejected])
        assert table.files(status=OK) == [ok]
        assert table.files(status=REJECTED) == [rejected]

    def test_a_commit_repeated_is_a_commit_made_once(self, table):
        file = write(table, "run-0", "a")
        for _ in range(3):
            table.commit("run", 0, [file])
        assert paths_in(table) == ["a"]
        assert version(table) == 1

    def test_an_older_chunk_is_not_committed_after_a_newer_one(self, table):
        table.commit("run", 1, [write(table, "run-1", "b")])
        table.commit("run", 0, [write(table, "run-0", "a")])
        assert paths_in(table) == ["b"]

    def test_every_run_counts_its_own_chunks(self, table):
        table.commit("one", 0, [write(table, "one-0", "a")])
        table.commit("two", 0, [write(table, "two-0", "b")])
        table.commit("one", 1, [write(table, "one-1", "c")])
        assert paths_in(table) == ["a", "b", "c"]

    def test_a_commit_without_files_counts_too(self, table):
        table.commit("run", 0, [])
        table.commit("run", 0, [write(table, "run-0", "a")])
        assert paths_in(table) == []

    def test_what_a_commit_held_can_be_read_in_the_history(self, table):
        table.commit("run", 7, [])
        newest, *_ = DeltaTable(table.store.table(table.folder)[0]).history()
        assert (newest["featuremill.run"], newest["featuremill.chunk"]) == ("run", 7)

    @pytest.mark.parametrize(
        ("spoil", "problem"),
        [
            (lambda file: file.unlink(), "is missing"),
            (lambda file: os.truncate(file, 100), "has 100 bytes"),
        ],
        ids=["missing", "truncated"],
    )
    def test_nothing_is_committed_if_one_file_is_not_there_in_full(self, table, spoil, problem):
        good, bad = write(table, "run-0", "a"), write(table, "run-1", "b")
        spoil(Path(table.store.url, table.folder, bad.name))
        with pytest.raises(CommitError, match=problem) as refused:
            table.commit("run", 0, [good, bad])
        assert bad.name in refused.value.problem
        assert f"{bad.size} bytes were written" in refused.value.problem
        assert "again" in refused.value.remedy
        assert version(table) == 0

    def test_overwriting_replaces_everything(self, table):
        table.commit("one", 0, [write(table, "one-0", "a"), write(table, "one-1", "b")])
        file = write(table, "two-0", "c")
        table.commit("two", 0, [file], overwrite=True)
        assert table.files() == [file]
        table.commit("three", 0, [], overwrite=True)
        assert table.files() == []

    def test_no_path_stands_in_the_log(self, table):
        for number in range(3):
            file = write(table, f"run-{number}", f"/secret/{number}.jpg", "/secret/z.jpg")
            table.commit("run", number, [file])
        replace(table, "run", 3, drop_paths(["/secret/0.jpg"], MODEL))
        log = log_of(table)
        assert "numRecords" in log
        assert "secret" not in log
        assert "minValues" not in log
        assert "maxValues" not in log

    def test_the_log_holds_no_paths_after_another_tool_wrote_to_the_table(self, table):
        row = {"path": "/secret/0.jpg", "run": "someone", "status": OK}
        write_deltalake(
            table.store.table(table.folder)[0],
            pa.Table.from_pylist([row], schema=table.schema),
            mode="append",
        )
        assert paths_in(table) == ["/secret/0.jpg"]
        assert "secret" not in log_of(table)


class TestConcurrency:
    def test_of_many_writers_at_once_every_commit_lands(self, table):
        start = threading.Barrier(4)

        def run(name: str) -> None:
            start.wait()
            for number in range(3):
                table.commit(name, number, [write(table, f"{name}-{number}", f"{name}{number}")])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, "abcd"))
        assert paths_in(table) == [f"{name}{number}" for name in "abcd" for number in range(3)]
        assert version(table) == 12

    def test_a_replacement_sees_what_another_commit_left(self, table):
        """Another writer rewrites the same file between our reading and our commit."""
        table.commit("run", 0, [write(table, "run-0", "a", "b", "c")])
        attempts = []

        def removed():
            found = without_rows(table, f"mine-{len(attempts)}", drop_paths(["a"], MODEL))
            if not attempts:
                replace(table, "other", 0, drop_paths(["b"], MODEL))
            attempts.append(found)
            return found

        table.commit("mine", 0, [], removed=removed)
        assert len(attempts) == 2
        assert paths_in(table) == ["c"]

    def test_a_commit_that_arrived_though_it_seemed_to_fail_is_not_repeated(
        self, table, monkeypatch
    ):
        commit = DeltaTable.create_write_transaction

        def answer_is_lost(*args, **kwargs):
            commit(*args, **kwargs)
            raise OSError("connection reset")

        monkeypatch.setattr(DeltaTable, "create_write_transaction", answer_is_lost)
        monkeypatch.setattr(tables, "time", IMPATIENT)
        table.commit("run", 0, [write(table, "run-0", "a")])
        assert paths_in(table) == ["a"]
        assert version(table) == 1

    def test_a_commit_refused_again_and_again_is_an_error(self, table, monkeypatch):
        tried = []

        def refuse(*args, **kwargs):
            tried.append(1)
            raise CommitFailedError("conflict")

        monkeypatch.setattr(DeltaTable, "create_write_transaction", refuse)
        monkeypatch.setattr(tables, "time", IMPATIENT)
        with pytest.raises(CommitError, match="chunk 3 could not be committed") as failed:
            table.commit("run", 3, [write(table, "run-3", "a")])
        assert len(tried) == tables._COMMIT_ATTEMPTS
        assert "conflict" in failed.value.problem
        assert "it goes on after the last committed chunk" in failed.value.remedy


def replace(table: Table, run: str, number: int, drop, added=()) -> None:
    """Commit files and drop rows in one."""
    prefix = f"{run}-{number:05d}-kept"
    table.commit(run, number, added, removed=lambda: without_rows(table, prefix, drop))


class TestReplace:
    def test_old_rows_go_and_new_ones_come_in_one_commit(self, table):
        table.commit("one", 0, [write(table, "one-0", "a", "b"), write(table, "one-1", "c")])
        new = write(table, "two-0", "b")
        replace(table, "two", 0, drop_paths(["b"], MODEL), [new])
        assert paths_in(table) == ["a", "b", "c"]
        assert version(table) == 2
        assert new in table.files()

    def test_only_files_that_hold_such_rows_are_rewritten(self, table):
        files = [write(table, f"one-{path}", path, f"{path}2") for path in "abc"]
        table.commit("one", 0, files)
        replace(table, "two", 0, drop_paths(["b"], MODEL))
        kept = table.files()
        assert files[0] in kept
        assert files[1] not in kept
        assert files[2] in kept

    def test_what_remains_is_as_it_was(self, table):
        rejected = write(table, "one-1", "c", stage="decode")
        table.commit("one", 0, [write(table, "one-0", "a", "b"), rejected])
        before = rows(table)
        replace(table, "two", 0, drop_paths(["b"], MODEL))
        assert rows(table) == [row for row in before if row["path"] != "b"]

    def test_a_file_of_which_nothing_remains_is_removed_whole(self, table):
        table.commit("one", 0, [write(table, "one-0", "a", "b")])
        replace(table, "two", 0, drop_paths(["a", "b"], MODEL))
        assert table.files() == []
        assert parquet_files(table) == {"status=ok/one-0.parquet"}

    def test_rejected_rows_are_replaced_too_and_stay_in_their_partition(self, table):
        table.commit("one", 0, [write(table, "one-0", "a", "b", stage="fetch")])
        replace(table, "two", 0, drop_paths(["a"], MODEL), [write(table, "two-0", "a")])
        assert [file.rows for file in table.files(status=REJECTED)] == [1]
        assert paths_in(table) == ["a", "b"]

    def test_rows_of_another_model_are_not_meant(self, table):
        table.commit("one", 0, [write(table, "one-0", "a"), write(table, "one-1", "a", model="m2")])
        replace(table, "two", 0, drop_paths(["a"], MODEL))
        assert [row["model_id"] for row in rows(table)] == ["m2"]

    def test_dropping_every_other_model(self, table):
        table.commit("one", 0, [write(table, "one-0", "a"), write(table, "one-1", "b", model="m2")])
        replace(table, "two", 0, drop_other_models("m2"))
        assert paths_in(table) == ["b"]

    def test_nothing_to_drop_changes_nothing(self, table):
        table.commit("one", 0, [write(table, "one-0", "a")])
        assert without_rows(table, "two-0", drop_paths(["elsewhere"], MODEL)) == ([], [])

    @settings(max_examples=10)
    @given(st.lists(st.sets(st.integers(0, 9), min_size=1), max_size=4), st.sets(st.integers(0, 9)))
    def test_exactly_the_rows_to_be_dropped_go(self, tmp_path_factory, contents, dropped):
        table = features_table(LocalStore(str(tmp_path_factory.mktemp("table"))))
        table.create()
        files = [
            write(table, f"one-{number}", *map(str, sorted(held)))
            for number, held in enumerate(contents)
        ]
        table.commit("one", 0, files)
        replace(table, "two", 0, drop_paths({str(path) for path in dropped}, MODEL))
        kept = sorted(str(path) for held in contents for path in held - dropped)
        assert paths_in(table) == kept
        assert sum(file.rows for file in table.files()) == len(kept)


def rows(table: Table) -> list[dict]:
    """All rows of the newest version, by path."""
    batches = [batch for file in table.files() for batch in table.read(file)]
    return sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda row: row["path"])


class TestCleanUp:
    def test_only_uncommitted_files_of_that_run_are_removed(self, table):
        committed = write(table, "run-0", "a")
        table.commit("run", 0, [committed])
        for name in ("run-1", "run-2", "run2-0", "other-0"):
            write(table, name, "b")
        write(table, "run-1", "c", stage="decode")
        assert table.remove_uncommitted("run") == 3
        assert parquet_files(table) == {
            committed.name,
            "status=ok/run2-0.parquet",
            "status=ok/other-0.parquet",
        }
        assert paths_in(table) == ["a"]

    def test_what_was_written_before_there_was_a_table_is_removed_too(self, tmp_path):
        table = features_table(LocalStore(str(tmp_path)))
        assert table.remove_uncommitted("run") == 0
        table.store.write(f"{table.folder}/run-0.parquet", b"rows")
        assert table.remove_uncommitted("run") == 1
        assert list(tmp_path.rglob("*.parquet")) == []

    def test_what_a_killed_worker_had_begun_to_write_is_removed_too(self, table):
        begun = table.store.writer(f"{table.folder}/status=ok/run-0.parquet")
        begun.__enter__().write(b"half of")
        assert table.remove_uncommitted("another") == 0
        assert table.remove_uncommitted("run") == 1
        assert not list(Path(table.store.url, table.folder, "status=ok").iterdir())

    def test_a_vacuum_leaves_each_row_once_for_those_who_read_the_folder(self, table):
        table.commit("one", 0, [write(table, "one-0", "a", "b"), write(table, "one-1", "c")])
        replace(table, "two", 0, drop_paths(["b", "c"], MODEL), [write(table, "two-0", "b", "c")])
        folder = Path(table.store.url, table.folder)
        assert Counter(pd.read_parquet(folder)["path"]) == {"a": 2, "b": 2, "c": 2}
        table.vacuum()
        assert Counter(pd.read_parquet(folder)["path"]) == {"a": 1, "b": 1, "c": 1}
        assert parquet_files(table) == {file.name for file in table.files()}


class TestKnown:
    def test_an_image_is_known_with_its_version_or_with_another(self):
        known = Known([("a", "1", Known.DONE), ("b", "1", Known.REJECTED)])
        assert known.look_up("a", "1") == (Known.DONE, True)
        assert known.look_up("a", "2") == (Known.DONE, False)
        assert known.look_up("b", "1") == (Known.REJECTED, True)
        assert known.look_up("c", "1") is None
        assert len(known) == 2

    def test_nothing_is_known_at_first(self):
        known = Known([])
        assert known.look_up("a", "1") is None
        assert len(known) == 0

    @given(
        st.dictionaries(st.text(), st.tuples(st.text(), st.sampled_from([0, 1, 2]))),
        st.lists(st.text()),
    )
    def test_it_answers_as_a_dictionary_would(self, rows, others):
        known = Known((path, version, state) for path, (version, state) in rows.items())
        for path in [*rows, *others]:
            version, state = rows.get(path, ("", None))
            expected = None if state is None else (state, True)
            assert known.look_up(path, version) == expected
            if expected:
                assert known.look_up(path, version + "!") == (state, False)

    def test_a_hundred_thousand_images_are_told_apart_in_26_bytes_each(self):
        count = 100_000
        known = Known((f"/images/{number}.jpg", str(number), number % 3) for number in range(count))
        assert len(pickle.dumps(known)) < 26 * count + 1000
        for number in range(0, count, 97):
            path = f"/images/{number}.jpg"
            assert known.look_up(path, str(number)) == (number % 3, True)
            assert known.look_up(path, "changed") == (number % 3, False)
            assert known.look_up(f"/images/{number}.png", str(number)) is None

    def test_states_are_read_from_the_table_for_one_model(self, table):
        files = [
            write(table, "run-0", "done"),
            write(table, "run-1", "other", model="m2"),
            *(
                write(table, f"run-{stage}", stage, stage=stage)
                for stage in ("list", "fetch", "decode", "embed", "worker")
            ),
        ]
        table.commit("run", 0, files)
        known = known_images(table, MODEL)
        assert len(known) == 6
        assert known.look_up("other", "v-other") is None
        assert {
            path: known.look_up(path, f"v-{path}")[0]
            for path in ("done", "list", "fetch", "decode", "embed", "worker")
        } == {
            "done": Known.DONE,
            "list": Known.RETRY,
            "fetch": Known.RETRY,
            "decode": Known.REJECTED,
            "embed": Known.REJECTED,
            "worker": Known.RETRY,
        }

    def test_a_replaced_row_is_known_by_its_new_version_only(self, table):
        table.commit("one", 0, [write(table, "one-0", "a", "b", stage="fetch")])
        replace(table, "two", 0, drop_paths(["a"], MODEL), [write(table, "two-0", "a")])
        known = known_images(table, MODEL)
        assert known.look_up("a", "v-a") == (Known.DONE, True)
        assert known.look_up("b", "v-b") == (Known.RETRY, True)
        assert len(known) == 2
