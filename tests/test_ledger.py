"""Every listed image ends in exactly one count, and what a run leaves can be read again."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featuremill.dataset import ledger
from featuremill.dataset.ledger import (
    Ledger,
    RunRecord,
    kind_of,
    last_that_embedded,
    load_latest,
    new_run_id,
)
from featuremill.errors import LedgerError
from featuremill.storage.listing import Reference, Rejection
from featuremill.storage.local import LocalStore

COUNTS = [field.name for field in dataclasses.fields(Ledger)]


@pytest.fixture
def destination(tmp_path) -> LocalStore:
    return LocalStore(str(tmp_path))


class TestBalance:
    @given(st.lists(st.integers(0, 10**9), min_size=5, max_size=5))
    def test_listed_is_the_sum_of_the_others(self, counts):
        Ledger(sum(counts), *counts).check()

    @pytest.mark.parametrize("count", COUNTS)
    @pytest.mark.parametrize("error", [-1, 1])
    def test_one_image_lost_or_counted_twice_is_an_error(self, count, error):
        counts = dict(zip(COUNTS, [150, 10, 20, 30, 40, 50], strict=True))
        counts[count] += error
        with pytest.raises(LedgerError, match="does not balance"):
            Ledger(**counts).check()

    def test_the_error_shows_every_count(self):
        with pytest.raises(LedgerError) as failed:
            Ledger(1_000_000, 1, 2, 3, 4, 5).check()
        assert (
            "1,000,000 listed = 1 already done + 2 already rejected + 3 embedded + 4 rejected"
            " + 5 skipped"
        ) in failed.value.problem


class TestRecord:
    def test_a_saved_record_is_read_back_equal(self, destination):
        record = RunRecord("20250101T000000Z-abcdef", {"source": "été", "classes": ["Kiwi"]})
        record.ledger = Ledger(10, 1, 2, 3, 3, 1)
        record.skipped = {".txt": 1}
        record.precision["mixed"] += 3
        record.parity = {"precision": "mixed", "smallest_cosine": 0.9993, "compared": 32}
        record.warnings.append("slow")
        record.count_rejections([rejection("decode", "truncated")] * 2)
        with record.timed("extract"):
            pass
        record.save(destination)
        latest = load_latest(destination)
        assert latest == record
        assert latest.rejects.most_common(1) == [("decode: truncated", 2)]

    def test_the_file_is_plain_json_with_readable_text(self, destination):
        RunRecord("1", {"source": "été"}).save(destination)
        text = destination.read("runs/1.json").decode()
        assert "été" in text
        assert json.loads(text)["ledger"] == dict.fromkeys(COUNTS, 0)

    def test_the_newest_run_is_the_latest_whatever_was_saved_last(self, destination):
        RunRecord("20250102T000000Z-000000", {}).save(destination)
        RunRecord("20250101T000000Z-ffffff", {}).save(destination)
        destination.write("runs/zzz.txt", b"not a record")
        latest = load_latest(destination)
        assert latest is not None
        assert latest.run == "20250102T000000Z-000000"

    def test_a_destination_without_runs_has_no_latest(self, destination):
        assert load_latest(destination) is None

    def test_figures_are_of_the_last_run_that_embedded_by_the_same_model(self, destination):
        embedded = {"ledger": Ledger(listed=5, embedded=5), "images_per_second": 9.0}
        ours, other = {"network": {"model_id": "ours"}}, {"network": {"model_id": "other"}}
        oldest = RunRecord("1", {}, **embedded, **ours)
        chosen = RunRecord("2", {}, **embedded, **ours)
        broken_off = RunRecord("3", {}, ledger=Ledger(listed=9, embedded=3), **ours)
        of_another = RunRecord("4", {}, **embedded, **other)
        newest = RunRecord("6", {}, ledger=Ledger(listed=5, already_done=5), **ours)
        for record in (oldest, chosen, broken_off, of_another, newest):
            record.save(destination)
        destination.write("runs/5.json", b'{"run": "5", "half')
        destination.write("runs/50.json", b"[]")
        assert last_that_embedded(destination, newest) == chosen
        assert last_that_embedded(destination, chosen) is chosen
        assert last_that_embedded(destination, broken_off) == chosen

    def test_where_no_run_embedded_figures_are_of_the_newest(self, destination):
        newest = RunRecord("1", {}, ledger=Ledger(listed=1, rejected=1), images_per_second=1.0)
        newest.save(destination)
        assert last_that_embedded(destination, newest) is newest

    def test_rejections_are_counted_by_stage_and_reason(self):
        record = RunRecord("1", {})
        record.count_rejections([rejection("fetch", "gone"), rejection("decode", "empty")])
        record.count_rejections([rejection("decode", "empty")])
        assert record.rejects.most_common() == [("decode: empty", 2), ("fetch: gone", 1)]

    def test_the_seconds_of_a_stage_add_up_also_after_an_error(self, monkeypatch):
        clock = iter([0.0, 1.5, 10.0, 10.25])
        stopwatch = SimpleNamespace(perf_counter=lambda: next(clock))
        monkeypatch.setattr(ledger, "time", stopwatch)
        record = RunRecord("1", {})
        with record.timed("extract"):
            pass
        with pytest.raises(ValueError, match="oops"), record.timed("extract"):
            raise ValueError("oops")
        assert record.seconds == {"extract": 1.75}

    def test_it_says_on_what_machine_and_with_what_it_ran(self):
        record = RunRecord("1", {})
        assert record.hardware["cores"] >= 1
        assert record.hardware["memory_gib"] > 0
        assert {"python", "numpy", "pyspark", "deltalake"} <= set(record.versions)


class TestRunId:
    def test_ids_sort_by_time_of_start(self, monkeypatch):
        start = datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC)
        ids = []
        for seconds in range(4):

            class Clock(datetime):
                @classmethod
                def now(cls, tz=None, moment=start + timedelta(seconds=seconds)):
                    return moment

            monkeypatch.setattr(ledger, "datetime", Clock)
            ids.append(new_run_id())
        assert ids == sorted(ids)

    def test_ids_of_the_same_second_differ_and_are_fit_for_file_names(self):
        ids = {new_run_id() for _ in range(100)}
        assert len(ids) == 100
        assert all(run.replace("-", "").isalnum() for run in ids)


def rejection(stage: str, reason: str) -> Rejection:
    return Rejection(Reference("/a/0.jpg", "a", "v", 1), stage, reason)


def test_a_kind_of_reason_keeps_no_bytes_of_the_image_whatever_quotes_they_hold():
    for start in ("GIF", 'a"b', '"', '""a"', 'x" and "y'):
        reason = f'not an image: starts with "{start}"'
        assert kind_of(reason) == 'not an image: starts with "…"'
