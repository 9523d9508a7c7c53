"""Two runs on one destination at once, as processes of their own: one works, nothing is doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, cast

import pytest
from click.testing import CliRunner

from featuremill import CheckConfig, check
from featuremill._utils.progress import Progress
from featuremill.cli import main
from featuremill.dataset import tables
from featuremill.dataset.ledger import RunRecord
from featuremill.dataset.lock import LOCK, Holder, hold
from featuremill.dataset.model_files import MODEL_DESCRIPTION, still_fits, table_versions
from featuremill.dataset.tables import DataFile, features_table
from featuremill.errors import LeaseLostError
from featuremill.report.gather import REPORT
from featuremill.storage import Store, open_store
from featuremill.workflows.run import pipeline
from featuremill.workflows.run.prepare import PreparedRun
from made_results import MadeResult, numbered, paths_in
from outputs import MODEL, features, uncommitted

pytestmark = pytest.mark.slow

SILENT_SECONDS = 0.5
"""A run on another machine is taken for dead after this long; fifteen minutes are too long here."""

_RUN = f"""
import sys
from featuremill.dataset import lock
from featuremill.errors import FeaturemillError
from featuremill.storage import Store, open_store
from made_results import MadeResult, numbered

destination, run = sys.argv[1:]
# as if on a machine of its own: another's process ids mean nothing there
lock._process_space = lambda: run
lock.HEARTBEAT_SECONDS, lock.WATCH_SECONDS = 0.05, 0.3
lock.DEAD_AFTER_SECONDS = {SILENT_SECONDS}
store = open_store(destination)
try:
    with lock.hold(store, run) as dead_run:
        made = MadeResult(store, f"/photos/{{run}}")
        made.record.run = run
        if dead_run is not None:
            made.features.fence(run)
        print("holds", dead_run, flush=True)
        for line in sys.stdin:
            made.commit(int(line), numbered(made.source.url, 10, 10 * int(line)))
            print("committed", flush=True)
except FeaturemillError as error:
    print(type(error).__name__, error.problem, flush=True)
"""


class Run:
    """A run in a process of its own that commits a chunk when it is told to."""

    def __init__(self, destination: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(destination), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )

    def says(self) -> str:
        """The next line it prints."""
        return _of(self.process.stdout).readline().strip()

    def commit(self, chunk: int) -> str:
        """Tell it to commit a chunk; what it answers."""
        print(chunk, file=_of(self.process.stdin), flush=True)
        return self.says()

    def end(self) -> None:
        """Let it end as a run does that has nothing left to do."""
        _of(self.process.stdin).close()
        self.process.wait()
        _of(self.process.stdout).close()

    def kill(self) -> None:
        """End it as nobody would wish to."""
        self.process.kill()
        with self.process:
            pass


@contextmanager
def running(destination: Path, name: str) -> Iterator[Run]:
    run = Run(destination, name)
    try:
        yield run
    finally:
        run.kill()


@pytest.mark.parametrize(
    "words", [["--workers", "1"], pytest.param(["--master", "local[1]"], marks=pytest.mark.long)]
)
def test_of_two_runs_started_together_one_works_and_the_other_is_told_who_holds_it(
    pictures: Path, tmp_path: Path, words: list[str]
) -> None:
    destination = tmp_path / "results"
    start = "from featuremill.cli import main; main()"
    command = [sys.executable, "-c", start, "run", str(pictures), str(destination)]
    command += ["--model", MODEL, "--precision", "fp32", "--no-reduce", *words]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    errors = dict(zip([process.returncode for process in both], said, strict=True))
    assert set(errors) == {0, 2}, said
    assert f"{destination} is held by run" in errors[2]
    assert "Wait until it has ended" in errors[2]
    rows = features(destination)
    assert len(rows) == len(set(rows["path"])) == 60
    assert uncommitted(destination) == set()
    assert not (destination / LOCK).exists()


def test_a_run_that_stood_still_past_its_time_commits_nothing_over_the_next(
    tmp_path: Path,
) -> None:
    table = features_table(open_store(tmp_path))
    with running(tmp_path, "run-a") as first:
        assert first.says() == "holds None"
        assert first.commit(0) == "committed"
        first.process.send_signal(signal.SIGSTOP)
        until(lambda: time.time() - holder(tmp_path).seen > 2 * SILENT_SECONDS)
        with running(tmp_path, "run-b") as second:
            assert second.says() == "holds run-a"
            assert second.commit(0) == "committed"

            first.process.send_signal(signal.SIGCONT)
            answer = first.commit(1)
            assert answer.startswith("LeaseLostError run run-a no longer holds")
            assert "run run-b has taken it over" in answer
            first.process.wait()
            # neither its signs of life nor its end have touched the other's lock
            assert holder(tmp_path).run == "run-b"
            assert second.commit(1) == "committed"
            second.end()
    expected = [*numbered("/photos/run-a", 10), *numbered("/photos/run-b", 20)]
    assert Counter(paths_in(table)) == Counter(expected)
    assert not list(tmp_path.glob(f"{LOCK}*"))


def test_a_run_that_stands_still_in_the_midst_of_a_commit_is_refused_by_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    confirmed = tables.confirm
    others: list[Run] = []

    def stand_still_after(destination: Store) -> None:
        confirmed(destination)
        if not others:
            long_ago = Holder("run-a", "elsewhere", 1, 0.0, time.time() - 10)
            store.write(LOCK, long_ago.to_bytes())
            others.append(stack.enter_context(running(tmp_path, "run-b")))
            assert others[0].says() == "holds run-a"

    with ExitStack() as stack:
        with hold(store, "run-a"):
            made = MadeResult(store, "/photos/run-a")
            made.commit(0, numbered("/photos/run-a", 10))
            monkeypatch.setattr(tables, "confirm", stand_still_after)
            with pytest.raises(LeaseLostError, match="run-b has taken it over"):
                made.commit(1, numbered("/photos/run-a", 10, 10))
        assert others[0].commit(0) == "committed"
        others[0].end()
    expected = [*numbered("/photos/run-a", 10), *numbered("/photos/run-b", 10)]
    assert Counter(paths_in(made.features)) == Counter(expected)


def test_a_run_that_lost_its_lock_leaves_what_the_next_one_has_begun(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    made = MadeResult(store, "/photos")
    begun = tmp_path / "csv" / f".reduced.csv.{'0' * 16}.tmp"

    def lose_it_and_fail() -> None:
        made.leave_behind("status=ok/run-a-00000", numbered("/photos", 1))
        store.write(LOCK, Holder("run-b", "elsewhere", 1, 0.0, time.time()).to_bytes())
        begun.parent.mkdir()
        begun.write_bytes(b"path,label,pc_1")
        raise OSError("a worker was stopped for an hour")

    record = RunRecord("run-a", made.record.config)
    listing = SimpleNamespace(close=lambda: None)
    job = SimpleNamespace(destination=store, run="run-a", listing=listing)
    with (
        pytest.raises(LeaseLostError, match="run-b has taken it over"),
        pipeline._held(cast("PreparedRun", job), record, Progress()),
    ):
        lose_it_and_fail()
    assert begun.exists()
    # its own goes, and its record tells why
    assert not list(tmp_path.glob("features/*/run-a-*"))
    assert record.status == "failed: LeaseLostError"


def test_a_run_whose_files_the_next_one_cleaned_up_says_that_it_was_taken_over(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    made = MadeResult(store, "/photos")
    gone = DataFile("status=ok/run-a-00000.parquet", 1, 1000, {"status": "ok"})

    def commit_what_is_gone() -> None:
        store.write(LOCK, Holder("run-b", "elsewhere", 1, 0.0, time.time()).to_bytes())
        made.features.commit("run-a", 0, [gone])

    with pytest.raises(LeaseLostError, match="run-b has taken it over"), hold(store, "run-a"):
        commit_what_is_gone()


def test_a_report_is_not_made_anew_beside_a_run(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    made = MadeResult(store, "/photos")
    made.commit(0, numbered("/photos", 10))
    made.reduce()
    with hold(store, "run-a"):
        answer = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert answer.exit_code == 2
    assert f"{tmp_path} is held by run run-a" in answer.output
    assert not (tmp_path / REPORT).exists()
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 0
    assert not (tmp_path / LOCK).exists()


def test_a_report_after_a_dead_run_cleans_up_as_the_next_run_would(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    made = MadeResult(store, "/photos")
    made.commit(0, numbered("/photos", 10))
    made.reduce()
    made.leave_behind("status=ok/dead-00000", numbered("/photos", 1))
    store.write(LOCK, replace(Holder.this_process("dead"), process_started=1.0).to_bytes())
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 0
    assert uncommitted(tmp_path) == set()
    # the empty version that keeps a late commit away is of the same rows
    description = json.loads((tmp_path / MODEL_DESCRIPTION).read_bytes())
    assert description["versions"] != table_versions(store)
    assert still_fits(store, {}) == description
    failed = {each.name for each in check(CheckConfig(str(tmp_path))).failed}
    assert "pca.versions" not in failed


def holder(destination: Path) -> Holder:
    return Holder(**json.loads((destination / LOCK).read_bytes()))


def until(satisfied: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not satisfied():
        assert time.monotonic() < deadline


def _of(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
