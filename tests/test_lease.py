"""One run at a time on a destination; the lock of a dead run is taken over."""

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace

import psutil
import pytest

from featuremill.dataset import lock
from featuremill.dataset.lock import DEAD_AFTER_SECONDS, LOCK, Holder, Lease, confirm, hold
from featuremill.errors import (
    ConfigError,
    DestinationBusyError,
    DestinationError,
    LeaseLostError,
    StorageError,
)
from featuremill.storage.local import LocalStore


@pytest.fixture
def destination(tmp_path) -> LocalStore:
    return LocalStore(str(tmp_path / "out"))


def held_by(destination: LocalStore) -> Holder:
    return Holder(**json.loads(destination.read(LOCK)))


def dead_holder(run: str = "dead-run") -> Holder:
    """A process of this machine that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return replace(Holder.this_process(run), pid=process.pid, process_started=1.0)


class TestHold:
    def test_a_free_destination_is_held_to_the_end_of_the_block(self, destination):
        with hold(destination, "mine") as dead_run:
            assert dead_run is None
            holder = held_by(destination)
            assert (holder.run, holder.pid, holder.host) == (
                "mine",
                os.getpid(),
                socket.gethostname(),
            )
        assert destination.size(LOCK) is None

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_the_lock_is_gone_after_an_error_too(self, destination, error):
        with pytest.raises(error), hold(destination, "mine"):
            raise error
        assert destination.size(LOCK) is None
        with hold(destination, "next") as dead_run:
            assert dead_run is None

    def test_no_thread_is_left_behind(self, destination):
        with hold(destination, "mine"):
            assert "lease" in {thread.name for thread in threading.enumerate()}
        assert "lease" not in {thread.name for thread in threading.enumerate()}

    def test_a_living_process_is_named(self, destination):
        with hold(destination, "first"):
            with pytest.raises(DestinationBusyError) as busy, hold(destination, "second"):
                pass
            assert held_by(destination).run == "first"
        assert f"{destination.url} is held by run first" in busy.value.problem
        assert f"(process {os.getpid()} on {socket.gethostname()}, last seen" in busy.value.problem
        assert "15 minutes" in busy.value.remedy
        assert busy.value.exit_code == 2

    def test_of_eight_runs_that_start_together_one_holds(self, destination):
        assert len(race(destination)) == 1

    def test_a_destination_that_cannot_be_written_is_refused(self, destination, tmp_path):
        (tmp_path / "out").write_text("a file, not a folder")
        with pytest.raises(DestinationError, match="cannot write") as refused:
            hold(destination, "mine").__enter__()
        assert "Choose a destination you may write to" in refused.value.remedy


class TestTakeOver:
    def test_a_run_whose_process_has_ended_is_handed_on(self, destination):
        destination.write(LOCK, dead_holder("dead-run").to_bytes())
        with hold(destination, "mine") as dead_run:
            assert dead_run == "dead-run"
            assert held_by(destination).run == "mine"
        assert list(destination.names("")) == []

    def test_a_process_id_that_is_used_again_is_another_process(self, destination):
        before = replace(Holder.this_process("dead-run"), process_started=1.0)
        destination.write(LOCK, before.to_bytes())
        with hold(destination, "mine") as dead_run:
            assert dead_run == "dead-run"

    @pytest.mark.parametrize(("silent_for", "dead"), [(-60, False), (60, True)])
    def test_a_run_on_another_machine_is_dead_after_a_quarter_of_an_hour(
        self, destination, silent_for, dead, monkeypatch
    ):
        monkeypatch.setattr(lock, "WATCH_SECONDS", 0.01)
        seen = time.time() - DEAD_AFTER_SECONDS - silent_for
        destination.write(LOCK, Holder("far", "elsewhere", 1, 0.0, seen).to_bytes())
        if dead:
            with hold(destination, "mine") as dead_run:
                assert dead_run == "far"
        else:
            with pytest.raises(DestinationBusyError, match="process 1 on elsewhere, last seen 14"):
                hold(destination, "mine").__enter__()

    def test_of_eight_runs_that_find_a_dead_one_one_takes_over(self, destination):
        for trial in range(10):
            destination.write(LOCK, dead_holder(f"dead-{trial}").to_bytes())
            assert race(destination) == [f"dead-{trial}"]

    @pytest.mark.parametrize(
        "damaged",
        [b"", b"{", b"[]", b"null", b"{}", b"\xff", json.dumps({"run": "1"}).encode()],
    )
    def test_a_lock_that_cannot_be_understood_is_left_alone(self, destination, damaged):
        destination.write(LOCK, damaged)
        with pytest.raises(DestinationBusyError, match="cannot be understood") as busy:
            hold(destination, "mine").__enter__()
        assert f"{destination.url}/{LOCK}" in busy.value.problem
        assert "remove that file" in busy.value.remedy
        assert destination.read(LOCK) == damaged

    def test_a_process_that_ended_and_was_not_yet_waited_for_is_dead(self, destination):
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
            started = lock._started(process.pid)
            zombie = replace(
                Holder.this_process("zombie"), pid=process.pid, process_started=started
            )
            assert not zombie.is_dead()
            process.stdin.close()
            status = psutil.Process(process.pid).status
            until(status, lambda found: found == psutil.STATUS_ZOMBIE)
            assert zombie.is_dead()

    def test_a_process_of_another_container_is_not_looked_for_among_those_of_this_one(
        self, destination
    ):
        elsewhere = replace(dead_holder("far"), space="another container")
        destination.write(LOCK, elsewhere.to_bytes())
        with pytest.raises(DestinationBusyError, match="held by run far"):
            hold(destination, "mine").__enter__()

    def test_a_clock_that_is_wrong_by_hours_kills_no_run(self, destination, monkeypatch):
        """The lock says it was last refreshed long ago, and is refreshed while it is watched."""
        monkeypatch.setattr(lock, "WATCH_SECONDS", 3.0)
        behind = time.time() - 10 * DEAD_AFTER_SECONDS
        far = Holder("far", "elsewhere", 1, 0.0, behind)
        destination.write(LOCK, far.to_bytes())
        said = []

        def refresh(message):
            said.append(message)
            destination.write(LOCK, replace(far, seen=behind + 1).to_bytes())

        with pytest.raises(DestinationBusyError, match="held by run far"):
            hold(destination, "mine", refresh).__enter__()
        assert said == [
            "run far on elsewhere was last seen 150 min ago: watching for 3 s whether it lives"
        ]
        assert held_by(destination).run == "far"

    def test_a_lock_whose_answer_was_lost_on_the_way_is_ones_own(self, destination, monkeypatch):
        create = LocalStore.create

        def answer_lost(self, name, data):
            created = create(self, name, data)
            return created and name != LOCK

        monkeypatch.setattr(LocalStore, "create", answer_lost)
        with hold(destination, "mine") as dead_run:
            assert dead_run is None
        assert destination.size(LOCK) is None

    @pytest.mark.parametrize("claimant_lives", [True, False])
    def test_a_claim_counts_as_long_as_its_process_lives(self, destination, claimant_lives):
        found = dead_holder("dead-run").to_bytes()
        destination.write(LOCK, found)
        claim = f"{LOCK}.{hashlib.sha256(found).hexdigest()[:16]}"
        claimant = Holder.this_process("other") if claimant_lives else dead_holder("other")
        destination.write(claim, claimant.to_bytes())
        if claimant_lives:
            with pytest.raises(DestinationBusyError, match="just being taken over"):
                hold(destination, "mine").__enter__()
        else:
            with hold(destination, "mine") as dead_run:
                assert dead_run == "dead-run"
            assert list(destination.names("")) == []


class TestALeaseThatWasLost:
    @pytest.fixture
    def other(self):
        return Holder("other", "elsewhere", 1, 0.0, time.time()).to_bytes()

    def test_is_found_at_the_next_confirmation(self, destination, other):
        with hold(destination, "mine"):
            confirm(destination)
            destination.write(LOCK, other)
            with pytest.raises(LeaseLostError, match="run other has taken it over") as lost:
                confirm(destination)
        assert "committed nothing since" in lost.value.remedy
        assert lost.value.exit_code == 1

    def test_is_lost_too_when_the_other_has_ended(self, destination):
        with hold(destination, "mine"):
            destination.remove(LOCK)
            with pytest.raises(LeaseLostError, match="no longer holds"):
                confirm(destination)

    def test_is_neither_refreshed_nor_released(self, destination, other):
        with hold(destination, "mine"):
            destination.write(LOCK, other)
            Lease(destination, "mine").refresh()
            assert destination.read(LOCK) == other
        assert destination.read(LOCK) == other

    def test_explains_what_went_wrong_since(self, destination, other):
        """Such as a file of its own that whoever took over has cleaned up."""
        with pytest.raises(LeaseLostError, match="run other has taken it over") as lost:
            self.fail_after_losing(destination, other, StorageError("a file is missing"))
        assert "a file is missing" in str(lost.value.__cause__)

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), ConfigError("no such option")])
    def test_explains_neither_an_interrupt_nor_a_refusal(self, destination, other, error):
        with pytest.raises(type(error)):
            self.fail_after_losing(destination, other, error)

    @staticmethod
    def fail_after_losing(destination, other, error):
        with hold(destination, "mine"):
            destination.write(LOCK, other)
            raise error

    def test_of_a_destination_that_was_never_held_nothing_is_asked(self, destination, other):
        destination.write(LOCK, other)
        confirm(destination)


class TestHeartbeat:
    def test_the_lock_shows_signs_of_life(self, destination, monkeypatch):
        monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
        with hold(destination, "mine"):
            first = held_by(destination)
            later = until(lambda: held_by(destination), lambda holder: holder.seen > first.seen)
        assert asdict(later) == asdict(first) | {"seen": later.seen}

    def test_a_sign_of_life_that_cannot_be_written_does_not_end_the_run(
        self, destination, monkeypatch
    ):
        tried = threading.Event()

        def fail(self, name, data):
            tried.set()
            raise StorageError("no space left")

        monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
        with hold(destination, "mine"):
            monkeypatch.setattr(LocalStore, "write", fail)
            assert tried.wait(5)
            assert held_by(destination).run == "mine"
        assert destination.size(LOCK) is None


def race(destination: LocalStore) -> list[str | None]:
    """What eight runs get that start at the same moment; all hold on until the last has tried."""
    start, end = threading.Barrier(8), threading.Barrier(8)

    def one(number: int) -> list[str | None]:
        with ExitStack() as stack:
            start.wait()
            try:
                return [stack.enter_context(hold(destination, f"run-{number}"))]
            except DestinationBusyError:
                return []
            finally:
                end.wait()

    with ThreadPoolExecutor(8) as pool:
        return [dead_run for got in pool.map(one, range(8)) for dead_run in got]


def until(get, satisfied):
    """First value that satisfies, within five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if satisfied(value := get()):
            return value
    raise AssertionError("it never came")
