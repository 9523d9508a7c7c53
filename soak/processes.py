"""The processes that make up a run, found by what they are, to be killed one by one."""

import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil

GONE_AFTER_SECONDS = 60.0
"""What a killed run leaves behind has to end by itself within this time."""

_LOCAL_WORKER = "featuremill.workers.process"
_POLL_SECONDS = 0.05


def family(root: int) -> list[psutil.Process]:
    """A process and all that came from it."""
    try:
        first = psutil.Process(root)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def java(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The driver's Java processes."""
    return [each for each in processes if "SparkSubmit" in _command(each)]


def executors(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """A cluster's executors: Java processes that run tasks."""
    return [each for each in processes if "CoarseGrainedExecutorBackend" in _command(each)]


def daemons(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The Python processes from which Spark forks its workers."""
    pids = {each.pid for each in _pythons(processes)}
    return [each for each in _pythons(processes) if _parent(each) not in pids]


def workers(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The Python processes that run tasks: Spark's, or those of a run without Spark."""
    processes = list(processes)
    pids = {each.pid for each in _pythons(processes)}
    of_spark = [each for each in _pythons(processes) if _parent(each) in pids]
    return of_spark + [each for each in processes if _LOCAL_WORKER in _command(each)]


def _pythons(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The Python processes that Spark started."""
    return [each for each in processes if "pyspark.daemon" in _command(each)]


def strike(process: psutil.Process, number: int = signal.SIGKILL) -> bool:
    """Send a signal, ``kill -9`` by default; tells whether there was still something to meet."""
    with suppress(psutil.NoSuchProcess):
        if _lives(process):
            process.send_signal(number)
            return True
    return False


def left(processes: Sequence[psutil.Process]) -> list[str]:
    """Wait for processes to end by themselves; kills the others and tells what they were."""
    for each in processes:
        # one that stands still cannot end
        strike(each, signal.SIGCONT)
    until = time.monotonic() + GONE_AFTER_SECONDS
    while any(map(_lives, processes)) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    stayed = {each: _command(each) for each in processes}
    return [command for each, command in stayed.items() if strike(each)]


def _lives(process: psutil.Process) -> bool:
    """Whether a process can still do anything; in a container nobody may clear away a dead one."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0
