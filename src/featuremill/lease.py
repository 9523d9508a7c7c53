"""One run at a time on a destination.

A run writes ``run.lock`` at the destination on the condition that there is none, refreshes it
while it lives and removes it at its end. The lock of a run that is certainly dead is taken over,
and its run id handed on, so that what that run left uncommitted can be cleaned up.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

import psutil

from featuremill.errors import (
    DestinationBusyError,
    DestinationError,
    FeaturemillError,
    StorageError,
)
from featuremill.storage import Store

LOCK = "run.lock"
HEARTBEAT_SECONDS = 60.0
DEAD_AFTER_SECONDS = 15 * 60.0
"""A holder on another machine counts as dead after this long without a sign of life."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a destination."""

    run: str
    host: str
    pid: int
    process_started: float
    seen: float

    @classmethod
    def this_process(cls, run: str) -> "Holder":
        """Holder that stands for this very process."""
        process = psutil.Process()
        return cls(run, socket.gethostname(), process.pid, process.create_time(), time.time())

    def is_dead(self) -> bool:
        """Whether the process is certainly gone."""
        if self.host == socket.gethostname():
            try:
                # a process id is used again; its time of start tells them apart
                return psutil.Process(self.pid).create_time() != self.process_started
            except psutil.NoSuchProcess:
                return True
        return time.time() - self.seen > DEAD_AFTER_SECONDS

    def to_bytes(self) -> bytes:
        """JSON form, as it stands in the lock."""
        return json.dumps(asdict(self)).encode()


@contextmanager
def hold(destination: Store, run: str) -> Iterator[str | None]:
    """Hold a destination for a run.

    Yields
    ------
    str or None
        Id of a dead run whose lock was taken over.

    Raises
    ------
    DestinationBusyError
        If a living run holds it.
    DestinationError
        If the lock cannot be written, and so nothing else could be.
    """
    try:
        dead_run = _acquire(destination, run)
    except StorageError as error:
        raise DestinationError(error.problem, "Choose a destination you may write to.") from error
    ended = threading.Event()
    heartbeat = threading.Thread(
        target=_keep_alive, args=(destination, run, ended), name="lease", daemon=True
    )
    heartbeat.start()
    try:
        yield dead_run
    finally:
        ended.set()
        heartbeat.join()
        # a lock that cannot be removed is one of a dead process from now on
        with suppress(StorageError):
            destination.remove(LOCK)


def _acquire(destination: Store, run: str) -> str | None:
    mine = Holder.this_process(run).to_bytes()
    if destination.create(LOCK, mine):
        return None
    try:
        found = destination.read(LOCK)
        holder = Holder(**json.loads(found))
    except FileNotFoundError:
        return _acquire(destination, run)
    except (ValueError, TypeError) as error:
        raise DestinationBusyError(
            f"{destination.url}/{LOCK} cannot be understood: {error}",
            "If no run is using this destination, remove that file.",
        ) from error
    if holder.is_dead():
        _take_over(destination, found, mine)
        return holder.run
    raise DestinationBusyError(
        f"{destination.url} is held by run {holder.run}"
        f" (process {holder.pid} on {holder.host}, last seen {_ago(holder.seen)} ago)",
        "Wait until it has ended. A lock of a run that died on another machine is taken over"
        f" {DEAD_AFTER_SECONDS / 60:.0f} minutes after its last sign of life.",
    )


def _take_over(destination: Store, found: bytes, mine: bytes) -> None:
    """Replace the lock of a dead run; of several runs that found it dead, one may."""
    claim = f"{LOCK}.{hashlib.sha256(found).hexdigest()[:16]}"
    if destination.create(claim, mine):
        try:
            # another may have claimed it, replaced it and let go of the claim since it was read
            if destination.read(LOCK) == found:
                destination.write(LOCK, mine)
                return
        except FileNotFoundError:
            pass
        finally:
            destination.remove(claim)
    raise DestinationBusyError(
        f"{destination.url} is just being taken over by another run",
        f"Try again in a minute. If that lasts, remove {destination.url}/{claim}.",
    )


def _keep_alive(destination: Store, run: str, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        try:
            destination.write(LOCK, Holder.this_process(run).to_bytes())
        except FeaturemillError:
            # one missed sign of life does not matter, and the run itself will meet the failure
            continue


def _ago(then: float) -> str:
    seconds = max(0, round(time.time() - then))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
