"""Locks a destination, so that one run at a time writes to it.

A run writes ``run.lock`` at the destination on the condition that there is none, refreshes it
while it lives and removes it at its end. The lock of a run that is dead is taken over, and its
run id handed on, so that what that run left uncommitted can be cleaned up.

Whether a process of another machine is dead can only be guessed from its silence. So the lock
protects nothing by itself: whoever was taken for dead and goes on finds, at the next
:func:`confirm`, that the lock is another's, and stops before it commits.
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from featuremill._utils import signals
from featuremill.errors import (
    DestinationBusyError,
    DestinationError,
    FeaturemillError,
    InputError,
    LeaseLostError,
    StorageError,
)
from featuremill.storage import Store

LOCK = "run.lock"
_TRIED = f"{LOCK}.tried"
"""Is written and removed again before the lock is, which else could stay for ever."""
HEARTBEAT_SECONDS = 60.0
DEAD_AFTER_SECONDS = 15 * 60.0
"""A holder on another machine is suspected after this long without a sign of life."""
WATCH_SECONDS = 2.5 * HEARTBEAT_SECONDS
"""How long a suspect is watched before its lock is taken: its clock may be wrong, or this one."""

_LOOKS = 30
_DAMAGED = (ValueError, TypeError)


@dataclass(frozen=True)
class Holder:
    """The process that holds a destination; ``space`` is where its id means something."""

    run: str
    host: str
    pid: int
    process_started: float
    seen: float
    space: str = ""

    @classmethod
    def this_process(cls, run: str) -> "Holder":
        """Holder that stands for this very process."""
        pid = os.getpid()
        return cls(run, socket.gethostname(), pid, _started(pid), time.time(), _process_space())

    @classmethod
    def from_bytes(cls, found: bytes) -> "Holder":
        """Holder as it stands in a lock; ValueError or TypeError where none does."""
        return cls(**json.loads(found))

    def is_local(self) -> bool:
        """Whether this process can see that one."""
        return (self.host, self.space) == (socket.gethostname(), _process_space())

    def is_dead(self) -> bool:
        """Whether the process is certainly gone, or, on another machine, has long been silent."""
        if self.is_local():
            try:
                # a process id is used again; its time of start tells them apart
                return _started(self.pid) != self.process_started
            except psutil.NoSuchProcess:
                return True
        return time.time() - self.seen > DEAD_AFTER_SECONDS

    def to_bytes(self) -> bytes:
        """JSON form, as it stands in the lock."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Lease:
    """A destination held by a run of this process."""

    destination: Store
    run: str

    def confirm(self) -> None:
        """Raise LeaseLostError unless the lock is still this run's."""
        found = self._found()
        other = _run_of(found) if found is not None else None
        if other != self.run:
            by = f": run {other} has taken it over" if other else ""
            raise LeaseLostError(
                f"run {self.run} no longer holds {self.destination.url}{by}",
                "It had stopped for so long that it was taken for dead, and has committed nothing"
                " since. Run the same command again when no other run is under way.",
            )

    def refresh(self) -> None:
        """Give a sign of life; a lock that is another's is left alone."""
        found = self._found()
        if found is not None and _run_of(found) == self.run:
            mine = Holder.this_process(self.run)
            _exchange(self.destination, found, mine, mine.to_bytes())

    def release(self) -> None:
        """Remove the lock, if it is this run's."""
        found = self._found()
        if found is not None and _run_of(found) == self.run:
            _exchange(self.destination, found, Holder.this_process(self.run), None)

    def _found(self) -> bytes | None:
        try:
            return self.destination.read(LOCK)
        except FileNotFoundError:
            return None


_under_way: set[str] = set()
"""Runs of this process that hold a destination or are about to."""

_leases: dict[str, Lease] = {}
"""URL → the lease that this process has there."""


def confirm(destination: Store) -> None:
    """Make sure that a destination which this process held is still its own.

    To be called right before anything is made visible. A destination that this process never
    held is none of its concern.

    Raises
    ------
    LeaseLostError
        If another run has taken it over.
    """
    if destination.url in _leases:
        _leases[destination.url].confirm()


def lost(destination: Store, error: BaseException) -> LeaseLostError | None:
    """Error that says who has taken over, if that is why there was another one.

    A run that was taken for dead may first meet what the next one did: a file of its own that
    was cleaned up, or a version of a table that it did not write.
    """
    if isinstance(error, Exception) and not isinstance(error, (InputError, LeaseLostError)):
        with suppress(StorageError):
            try:
                confirm(destination)
            except LeaseLostError as taken:
                return taken
    return None


@contextmanager
def hold(
    destination: Store, run: str, say: Callable[[str], None] = lambda _: None
) -> Iterator[str | None]:
    """Hold a destination for a run.

    Parameters
    ----------
    say : callable, optional
        Called with the reason if it takes long.

    Yields
    ------
    str or None
        Id of a dead run whose lock was taken over.

    Raises
    ------
    DestinationBusyError
        If a living run holds it.
    DestinationError
        If the lock cannot be written or could not be removed, and so nothing else could be.
    LeaseLostError
        In place of an error that the block met because another run had taken over meanwhile.
    StorageError
        If all went well but the lock cannot be removed.
    """
    _under_way.add(run)
    try:
        try:
            destination.write(_TRIED, b"")
            destination.remove(_TRIED)
            dead_run = _acquire(destination, run, say)
        except StorageError as error:
            raise DestinationError(
                error.problem, f"{error.remedy} Choose a destination you may write to."
            ) from error
        yield from _held(Lease(destination, run), dead_run, say)
    finally:
        _under_way.discard(run)


def _held(lease: Lease, dead_run: str | None, say: Callable[[str], None]) -> Iterator[str | None]:
    """Keep a lease alive until the caller is done with it."""
    ended = threading.Event()
    heartbeat = threading.Thread(target=_keep_alive, args=(lease, ended), name="lease", daemon=True)
    heartbeat.start()
    _leases[lease.destination.url] = lease
    failed = True
    try:
        yield dead_run
        failed = False
    except Exception as error:
        if (taken := lost(lease.destination, error)) is not None:
            raise taken from error
        raise
    finally:
        del _leases[lease.destination.url]
        ended.set()
        heartbeat.join()
        try:
            lease.release()
        except StorageError as error:
            stays = _lock_stays(lease, error)
            if not failed:
                raise stays from error
            # the first failure is the one to raise
            say(str(stays))


def _lock_stays(lease: Lease, why: StorageError) -> StorageError:
    return StorageError(
        f"run {lease.run} has ended, but its lock cannot be removed: {why.problem}",
        f"{why.remedy} Remove {lease.destination.url}/{LOCK} before the next run.",
    )


def _acquire(destination: Store, run: str, say: Callable[[str], None]) -> str | None:
    mine = Holder.this_process(run)
    if destination.create(LOCK, mine.to_bytes()):
        return None
    try:
        found = destination.read(LOCK)
        holder = Holder.from_bytes(found)
    except FileNotFoundError:
        return _acquire(destination, run, say)
    except _DAMAGED as error:
        raise DestinationBusyError(
            f"{destination.url}/{LOCK} cannot be understood: {error}",
            "If no run is using this destination, remove that file.",
        ) from error
    if holder.run == run:
        # it was written, and only the answer was lost
        return None
    # a lock that could not be removed when its run ended, and its process went on
    left = holder.is_local() and holder.pid == os.getpid() and holder.run not in _under_way
    if not (left or holder.is_dead()) or not (
        holder.is_local() or _stays_silent(destination, found, holder, say)
    ):
        raise _busy(destination, holder)
    if not _exchange(destination, found, mine, mine.to_bytes()):
        raise DestinationBusyError(
            f"{destination.url} is just being taken over by another run", "Try again in a minute."
        )
    return holder.run


def _busy(destination: Store, holder: Holder) -> DestinationBusyError:
    return DestinationBusyError(
        f"{destination.url} is held by run {holder.run}"
        f" (process {holder.pid} on {holder.host}, last seen {_ago(holder.seen)} ago)",
        "Wait until it has ended, or end that process. A lock of a run that died on another"
        f" machine is taken over {DEAD_AFTER_SECONDS / 60:.0f} minutes after its last sign of"
        " life.",
    )


def _stays_silent(
    destination: Store, found: bytes, holder: Holder, say: Callable[[str], None]
) -> bool:
    """Watch a lock for longer than a living run leaves it alone."""
    say(
        f"run {holder.run} on {holder.host} was last seen {_ago(holder.seen)} ago: watching for"
        f" {WATCH_SECONDS:.0f} s whether it lives"
    )
    for _ in range(_LOOKS):
        time.sleep(WATCH_SECONDS / _LOOKS)
        signals.check()
        try:
            if destination.read(LOCK) != found:
                return False
        except FileNotFoundError:
            return False
    return True


def _exchange(destination: Store, found: bytes, mine: Holder, new: bytes | None) -> bool:
    """Replace the lock, or remove it, if it still is what was found; of several, one may."""
    claim = f"{LOCK}.{hashlib.sha256(found).hexdigest()[:16]}"
    if not _claimed(destination, claim, mine):
        return False
    try:
        # another may have claimed it, replaced it and let go of the claim since it was read
        if destination.read(LOCK) != found:
            return False
        if new is None:
            destination.remove(LOCK)
        else:
            destination.write(LOCK, new)
        return True
    except FileNotFoundError:
        return False
    finally:
        destination.remove(claim)


def _claimed(destination: Store, claim: str, mine: Holder) -> bool:
    if destination.create(claim, mine.to_bytes()):
        return True
    try:
        holder = Holder.from_bytes(destination.read(claim))
    except (FileNotFoundError, *_DAMAGED):
        return False
    if holder.run == mine.run:
        return True
    if not holder.is_dead():
        return False
    # it died in the middle of an exchange, which takes a moment
    destination.remove(claim)
    return destination.create(claim, mine.to_bytes())


def _keep_alive(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        # one missed sign of life does not matter, and the run itself will meet the failure
        with suppress(FeaturemillError):
            lease.refresh()


def _run_of(found: bytes) -> str | None:
    try:
        return Holder.from_bytes(found).run
    except _DAMAGED:
        return None


def _started(pid: int) -> float:
    """Time at which a process started; raises NoSuchProcess if it has ended."""
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    if sys.platform != "linux":
        return process.create_time()
    # in clock ticks since the machine's start: its wall clock may be set meanwhile
    try:
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error


@cache
def _process_space() -> str:
    """Names the boot and the container of this process: process ids mean nothing beyond them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _ago(then: float) -> str:
    seconds = max(0, round(time.time() - then))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
