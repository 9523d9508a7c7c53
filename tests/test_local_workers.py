"""Workers that are processes of this machine: what they answer, how they die, and that they end."""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

import poison
from bad_images import encoded
from featuremill.errors import PrecisionError, RunError, StorageError, WorkerError
from featuremill.images.decode import Limits
from featuremill.images.sandbox import InProcess
from featuremill.workers import local_process
from featuremill.workers.local import LocalWorkers
from featuremill.workers.protocol import TASK_ATTEMPTS, Attempt, Shared, WorkerDiedError
from featuremill.workflows.run import modules_of_tasks

LETTERS = [bytes([letter]) for letter in b"abcdefg"]
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux' own")
PATIENCE = 30.0


# What a worker is told to do


def numbered(payload: bytes, attempt: Attempt) -> bytes:
    return b"%d%s" % (attempt.task, payload)


@dataclass(frozen=True)
class Dying:
    """Die at the first attempts, and answer how often it was tried from then on."""

    how: Callable[[], object]
    times: int = 1

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        if attempt.number < self.times:
            self.how()
        return b"%d" % attempt.number


@dataclass(frozen=True)
class Raising:
    error: Exception

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        raise self.error


@dataclass(frozen=True)
class Reading:
    value: Shared[dict[str, int]]

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        return str(self.value.value[payload.decode()]).encode()


@dataclass(frozen=True)
class WritingForEver:
    """Append to a file as long as the process lives."""

    folder: Path
    held_by_linux: bool = True

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        if not self.held_by_linux:
            ctypes.CDLL(None).prctl(1, 0)
        with (self.folder / f"{payload.decode()}-{os.getpid()}").open("ab", buffering=0) as file:
            while True:
                file.write(b".")
                time.sleep(0.01)


class UnwieldyError(StorageError):
    """An error that cannot be made from its own arguments."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"{folder} is full", "Make room.")


def unwieldy(payload: bytes, attempt: Attempt) -> bytes:
    raise UnwieldyError("/disk")


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(0)


def hang() -> None:
    with InProcess(Limits(), timeout=0.3, decoder="poison:hang") as decoder:
        decoder.decode(encoded("JPEG") + poison.POISON)


def state_of_process(payload: bytes, attempt: Attempt) -> bytes:
    return pickle.dumps(
        {
            "pid": os.getpid(),
            "group": os.getpgrp(),
            "threads": os.environ["OMP_NUM_THREADS"],
            "spark": "pyspark" in sys.modules,
            "engine": modules_of_tasks("auto")[0] in sys.modules,
        }
    )


# The workers


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalWorkers]:
    with LocalWorkers(2) as workers:
        yield workers


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    """Counts are kept by group: one of this test alone."""
    return request.node.name


def until(satisfied: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not satisfied():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def processes_of(driver: psutil.Process) -> list[psutil.Process]:
    found = []
    for each in driver.children(recursive=True):
        # one that ends just now has no command any more
        with suppress(psutil.NoSuchProcess):
            if "featuremill.workers.process" in each.cmdline():
                found.append(each)
    return found


# Answers


def test_answers_come_in_the_order_of_the_payloads(pool, group):
    expected = [b"%d%s" % (task, letter) for task, letter in enumerate(LETTERS)]
    assert pool.map(LETTERS, numbered, group) == expected
    assert pool.reduce(LETTERS, numbered, b"".join, group) == b"".join(expected)
    assert (pool.tasks_done(group), pool.deaths(group)) == (2 * len(LETTERS), 0)
    assert pool.map([], numbered, group) == []


def test_what_is_shared_reaches_every_worker_and_lies_in_no_folder(pool, group):
    shared, other = pool.broadcast({"a": 1, "b": 2}), pool.broadcast({"a": 3})
    assert pool.map([b"a", b"b"], Reading(shared), group) == [b"1", b"2"]
    assert pool.map([b"a"], Reading(other), group) == [b"3"]
    assert len(pickle.dumps(shared)) < 200
    if sys.platform == "linux":
        assert Path(f"/proc/self/fd/{shared.file}").readlink().name.endswith("(deleted)")


def test_a_worker_has_one_thread_no_spark_and_a_group_of_its_own():
    with LocalWorkers(1, modules_of_tasks("auto")) as workers:
        [state] = map(pickle.loads, workers.map([b""], state_of_process, "state"))
    assert state.pop("group") == state.pop("pid") != os.getpgrp()
    assert state == {"threads": "1", "spark": False, "engine": True}


# Deaths


@pytest.mark.parametrize("how", [segfault, killed, leave, hang])
def test_a_worker_that_dies_costs_its_task_one_attempt_and_is_replaced(pool, group, how):
    assert pool.map([b"", b""], Dying(how), group) == [b"1", b"1"]
    assert (pool.deaths(group), pool.tasks_done(group)) == (2, 2)
    assert pool.map(LETTERS, numbered, f"{group} again")[0] == b"0a"


@pytest.mark.slow
def test_a_task_on_which_every_worker_dies_fails_after_the_last_attempt(pool, group):
    assert pool.map([b""], Dying(leave, TASK_ATTEMPTS - 1), group) == [b"%d" % (TASK_ATTEMPTS - 1)]
    with pytest.raises(WorkerDiedError):
        pool.map([b""], Dying(leave, TASK_ATTEMPTS), f"{group} for ever")
    assert pool.deaths(f"{group} for ever") == TASK_ATTEMPTS


def test_a_worker_killed_while_it_has_nothing_to_do_costs_no_task_an_attempt(pool, group):
    first = {state["pid"] for state in states(pool, group)}
    for pid in first:
        psutil.Process(pid).kill()
        until(partial(has_ended, pid))
    assert {state["pid"] for state in states(pool, group)}.isdisjoint(first)
    assert pool.deaths(group) == 0


def has_ended(pid: int) -> bool:
    """Whether all threads of a process of ours have ended."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        # the pool was sooner to wait for it
        return True


def states(pool, group) -> list[dict]:
    return list(map(pickle.loads, pool.map([b""] * 8, state_of_process, group)))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_workers_that_cannot_start_are_told_with_what_they_said(tmp_path, monkeypatch):
    package = tmp_path / "featuremill"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libgomp.so.1 is missing')")
    monkeypatch.setattr(local_process, "_path", lambda: str(tmp_path))
    # what two say at once may be mixed
    with LocalWorkers(1) as workers:
        for _ in range(2):
            with pytest.raises(WorkerError, match=r"be started: ImportError: libgomp\.so\.1 is"):
                workers.map([b""], numbered, "never")


# Errors


def test_where_not_all_threads_can_start_those_that_did_end(monkeypatch):
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_one(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(RuntimeError, match="new thread"):
        LocalWorkers(2)
    assert not started[0].is_alive()


def test_what_a_task_raises_on_purpose_comes_back_as_itself(pool, group):
    with pytest.raises(StorageError) as failed:
        pool.map([b""], Raising(StorageError("the disk is full", "Make room.")), group)
    assert (failed.value.problem, failed.value.remedy) == ("the disk is full", "Make room.")
    # as what may pass it was tried again
    assert pool.deaths(group) == TASK_ATTEMPTS


def test_what_is_refused_is_not_tried_again(pool, group):
    with pytest.raises(PrecisionError, match="no bf16"):
        pool.map([b"", b""], Raising(PrecisionError("no bf16 here", "Choose fp32.")), group)
    assert pool.deaths(group) <= 2


def test_any_other_error_is_a_failed_task_with_its_traceback(pool, group):
    with pytest.raises(RunError, match="a task failed: KeyError: 'label'") as failed:
        pool.map([b""], Raising(KeyError("label")), group)
    assert "in __call__" in failed.value.__notes__[0]


def test_an_error_that_does_not_travel_keeps_its_words(pool, group):
    with pytest.raises(RunError, match="/disk is full") as failed:
        pool.map([b""], unwieldy, group)
    assert failed.value.remedy == "Make room."


def test_a_function_that_does_not_travel_is_refused(pool, group):
    with pytest.raises(RunError, match=r"<lambda>.* cannot be sent to another process"):
        pool.map([b""], lambda payload, _: payload, group)
    assert not pool.is_submitted(group)


def test_a_defect_of_the_driver_is_a_failure_and_no_run_that_never_ends(monkeypatch):
    with LocalWorkers(1) as workers:
        monkeypatch.setattr(workers, "_settle", lambda *_: 1 // 0)
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        with pytest.raises(WorkerError, match="ZeroDivisionError"):
            workers.map([b""], numbered, "defect")


# Ends


def test_cancelled_tasks_end_and_write_no_more_while_others_go_on(pool, group, tmp_path):
    writing = pool.background(lambda: pool.map([b"a", b"b"], WritingForEver(tmp_path), group))
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    assert pool.is_submitted(group)
    pool.cancel(group)
    pool.wait([group], PATIENCE)
    with pytest.raises(RunError, match="cancelled"):
        writing.result()
    written = {path: path.stat().st_size for path in tmp_path.iterdir()}
    assert pool.map(LETTERS, numbered, f"{group} later")[0] == b"0a"
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == written
    assert pool.deaths(group) == 0


def test_tasks_of_a_group_that_came_later_wait_for_those_before(group, tmp_path):
    with LocalWorkers(1) as workers:
        first = workers.background(lambda: workers.map([b"a"], WritingForEver(tmp_path), "first"))
        until(lambda: any(tmp_path.iterdir()))
        more = workers.background(lambda: workers.map(LETTERS, numbered, "second"))
        until(lambda: workers.is_submitted("second"))
        assert workers.tasks_done("second") == 0
        workers.cancel("first")
        assert more.result()[-1] == b"6g"
        with pytest.raises(RunError):
            first.result()


def test_no_process_is_left_when_the_block_ends():
    before = set(processes_of(psutil.Process()))
    with LocalWorkers(2) as workers:
        workers.map([b""], numbered, "one")
        # the second may still be starting
        assert set(processes_of(psutil.Process())) - before
    assert set(processes_of(psutil.Process())) <= before
    with pytest.raises(RunError, match="the workers have ended"):
        workers.map([b""], numbered, "late")


_DRIVER = """
import sys
from pathlib import Path
from featuremill.workers.local import LocalWorkers
from test_local_workers import WritingForEver

# no guard: the workers are no copies of this script
workers = LocalWorkers(2)
workers.map([b"a", b"b"], WritingForEver(Path(sys.argv[1]), sys.argv[2] == "held"), "writing")
"""


@pytest.mark.parametrize("held", [pytest.param("held", marks=ONLY_LINUX), "not held"])
def test_workers_end_with_a_driver_that_is_killed_and_write_no_more(held, tmp_path):
    script, written = tmp_path / "script.py", tmp_path / "written"
    script.write_text(_DRIVER)
    written.mkdir()
    driver = subprocess.Popen(
        [sys.executable, script, written, held],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    until(lambda: len(list(written.iterdir())) == 2)
    workers = processes_of(psutil.Process(driver.pid))
    assert len(workers) == 2
    driver.kill()
    driver.wait()
    until(lambda: not any(alive(worker.pid) for worker in workers))
    assert len(list(written.iterdir())) == 2
