"""Runs that are killed, and what the same command makes of them afterwards.

The kills are real: ``kill -9``, a disk with no room, Ctrl-C. `python -m soak` does the same for
hours, at random.
"""

import random
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from featuremill.errors import FeaturemillError
from featuremill.images.synth import SynthConfig, write
from featuremill.workflows.run import chunks
from featuremill.workflows.run.pipeline import run
from outputs import features, offline, reduced, uncommitted
from soak import processes, trial
from soak.disk import small_disk
from soak.standalone import standalone_cluster
from soak.trial import CTRL_C, GO_ON, STOP, Outcome, Strike
from soak.watch import Moment, Watch

pytestmark = pytest.mark.slow

CHUNK = 16
SOME_FILE = "features/status=ok/"
FIRST_COMMITS = r"features/_delta_log/0+[1-9]\.json$"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """112 small pictures, seven chunks; not to be changed."""
    folder = tmp_path_factory.mktemp("killed") / "pictures"
    write(folder, SynthConfig(classes=4, per_class=28, seed=5, size=40), workers=1)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> pd.DataFrame:
    """The features table of a run that nothing happened to."""
    dest = tmp_path_factory.mktemp("undisturbed") / "results"
    run(offline(source, dest, reduce=False, workers=2))
    return features(dest)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch) -> None:
    monkeypatch.setattr(chunks, "LARGEST", CHUNK)


def assert_as_undisturbed(dest: Path, undisturbed: pd.DataFrame) -> None:
    """Every image once, with the features that it should have, and nothing left over."""
    rows = features(dest)
    same = ["path", "label", "version", "bytes", "width", "height", "model_id", "status"]
    pd.testing.assert_frame_equal(rows[same], undisturbed[same])
    np.testing.assert_allclose(
        np.stack(rows.features), np.stack(undisturbed.features), rtol=0, atol=1e-5
    )
    assert uncommitted(dest) == set()
    assert [path for path in dest.rglob(".*") if path.is_file()] == []
    assert list(dest.glob("run.lock*")) == []


def struck(source: Path, dest: Path, words: list[str], *strikes: Strike, cluster=None) -> Outcome:
    """A run from the command line, struck when the moments come, as far as they come."""
    arguments = [str(CHUNK), "run", source, dest, "--model", "embedded", "--precision", "fp32"]
    arguments += ["--no-reduce", *words]
    return trial.run(list(map(str, arguments)), dest, strikes, random.Random(1), cluster=cluster)


def killed(source: Path, dest: Path, words: list[str], *strikes: Strike) -> Outcome:
    """A run from the command line, struck when the moments come, and they all come."""
    outcome = struck(source, dest, words, *strikes)
    assert outcome.done == list(strikes), outcome.said
    assert processes.left(outcome.processes) == []
    return outcome


# A run that is killed


def test_a_killed_driver_costs_at_most_the_two_chunks_in_flight(
    workers, source, undisturbed, tmp_path
):
    dest = tmp_path / "results"
    outcome = killed(
        source, dest, workers.words, Strike("kill the driver", Moment(FIRST_COMMITS, 4))
    )
    assert outcome.code == -9
    committed = len(features(dest))
    in_vain = sum(pq.read_metadata(dest / name).num_rows for name in uncommitted(dest))
    assert committed >= 4 * CHUNK
    assert in_vain <= 2 * CHUNK
    # as one leaves that is killed while it writes the report
    (dest / ".report.html.0123456789abcdef.tmp").write_bytes(b"half of")

    ledger = workers.run(offline(source, dest, reduce=False)).record.ledger

    assert (ledger.already_done, ledger.embedded) == (committed, 112 - committed)
    assert_as_undisturbed(dest, undisturbed)


def test_without_its_java_a_run_ends_with_a_message_and_goes_on_next_time(
    source, undisturbed, tmp_path
):
    dest = tmp_path / "results"
    outcome = killed(
        source, dest, ["--master", "local[2]"], Strike("kill Java", Moment(SOME_FILE, 5))
    )
    assert outcome.code == 1
    assert "Spark's Java process died" in outcome.said
    assert "run the same command again to resume" in outcome.said
    assert "Traceback" not in outcome.said
    assert uncommitted(dest) == set()

    # what was begun on Spark goes on without it
    run(offline(source, dest, reduce=False, workers=2))

    assert_as_undisturbed(dest, undisturbed)


def test_ctrl_c_pressed_twice_ends_at_once_and_the_run_goes_on_next_time(
    workers, source, undisturbed, tmp_path
):
    dest = tmp_path / "results"
    again = Strike(CTRL_C, Moment("", 0, 20))
    outcome = killed(source, dest, workers.words, Strike(CTRL_C, Moment(FIRST_COMMITS, 2)), again)
    assert outcome.code == 130
    assert "stopping; press Ctrl-C again to stop at once" in outcome.said
    assert (
        "interrupted. What was committed is kept; run the same command again to resume"
        in outcome.said
    )
    assert "Traceback" not in outcome.said

    workers.run(offline(source, dest, reduce=False))

    assert_as_undisturbed(dest, undisturbed)


# Parts of a run that are killed


def test_workers_killed_again_and_again_cost_nothing(workers, source, undisturbed, tmp_path):
    dest = tmp_path / "results"
    struck = []

    def kill_one() -> None:
        found = processes.workers(psutil.Process().children(recursive=True))
        struck.append(processes.strike(random.Random(len(struck)).choice(found)))

    with meanwhile(dest, *[(Moment(SOME_FILE, n), kill_one) for n in (1, 4, 7)]):
        record = workers.run(offline(source, dest, n_components=3)).record

    assert struck == [True] * 3
    assert (record.status, record.ledger.embedded) == ("finished", 112)
    assert reduced(dest).path.tolist() == undisturbed.path.tolist()
    assert_as_undisturbed(dest, undisturbed)


@pytest.mark.long
def test_a_cluster_that_tries_slow_tasks_twice_and_loses_an_executor_loses_no_image(
    source, undisturbed, tmp_path
):
    tried_twice = Moment(r"features/status=ok/.*-1-\w{8}\.parquet")
    strikes = (
        Strike(STOP, Moment(SOME_FILE)),
        Strike("kill an executor", tried_twice),
        Strike(GO_ON, Moment("")),
    )
    # an executor that had just finished its tasks when it was stopped leaves none to be tried twice
    for attempt in range(3):
        dest = tmp_path / f"results-{attempt}"
        with standalone_cluster() as cluster:
            outcome = struck(source, dest, ["--master", cluster.master], *strikes, cluster=cluster)
        assert outcome.code == 0, outcome.said
        assert_as_undisturbed(dest, undisturbed)
        if outcome.done == list(strikes):
            assert processes.left(outcome.processes) == []
            return
    pytest.fail(f"no task was tried twice: {outcome.said}")


# Disks


@pytest.fixture(
    params=[
        "full",
        pytest.param("read-only", marks=pytest.mark.long),
        pytest.param("takes no large file", marks=pytest.mark.long),
    ]
)
def disk(request, tmp_path) -> Iterator[tuple[Path, Callable[[], object], Callable[[], object]]]:
    """A folder, what makes every write to it fail, and what makes them succeed again."""
    if request.param == "takes no large file":
        if sys.platform != "linux":
            pytest.skip("only Linux limits what another process writes")
        yield tmp_path, lambda: limit_files(40_000), lambda: limit_files(resource.RLIM_INFINITY)
        return
    with small_disk(tmp_path / "disk") as mounted:
        if mounted is None:
            pytest.skip("only root of a Linux may mount a disk")
        make_fail = mounted.fill if request.param == "full" else mounted.forbid
        yield mounted.folder, make_fail, mounted.repair


def limit_files(size: int) -> None:
    """Let the workers write no file beyond a size, nor those that come after them."""
    found = psutil.Process().children(recursive=True)
    for process in [*processes.daemons(found), *processes.workers(found)]:
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, most))


def test_a_disk_that_fails_half_way_ends_the_run_and_the_next_one_goes_on(
    workers, source, undisturbed, disk
):
    folder, make_fail, repair = disk
    dest = folder / "results"
    with (
        meanwhile(dest, (Moment(FIRST_COMMITS, 2), make_fail)),
        pytest.raises(FeaturemillError) as failure,
    ):
        workers.run(offline(source, dest, reduce=False))
    assert "cannot write" in failure.value.problem or "could not be committed" in str(failure.value)
    repair()
    committed = len(features(dest))
    assert committed >= CHUNK

    ledger = workers.run(offline(source, dest, reduce=False)).record.ledger

    assert (ledger.already_done, ledger.embedded) == (committed, 112 - committed)
    assert_as_undisturbed(dest, undisturbed)


class meanwhile:  # noqa: N801
    """Do things when their moments come, while the block lasts."""

    def __init__(self, dest: Path, *moments: tuple[Moment, Callable[[], object]]) -> None:
        self._watch, self._moments = Watch(dest), moments
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._act)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _act(self) -> None:
        for moment, action in self._moments:
            if self._watch.wait_for(moment, self._over.is_set):
                action()
