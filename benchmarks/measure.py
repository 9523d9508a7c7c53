"""Runs commands and says what they cost: wall clock, CPU time, memory of the whole process tree."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

Answer = TypeVar("Answer")

SPARK_LOCAL = ["--master", "local[*]"]
"""Options of a run on Spark instead of processes of this machine."""
FEATUREMILL = str(Path(sys.executable).with_name("featuremill"))
"""The command line program of the environment that the benchmark runs in."""

_SAMPLES_PER_SECOND = 1.0
"""Adding up the pages of all processes takes some 20 ms, which the contender would feel."""
_TAIL = 12_000  # characters of a failed command's output that its error repeats

# A Spark, a Python or a library path from elsewhere would quietly replace the contender's own.
_FOREIGN = ("SPARK_HOME", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "PYTHONPATH")


class BenchmarkError(Exception):
    """A benchmark could not be measured; the message says what failed and what it printed."""


@dataclass(frozen=True)
class Measured:
    """One finished command.

    Parameters
    ----------
    seconds : float
        Wall clock, from before the process started to after it ended.
    cpu_seconds : float
        User and system time of all processes of the tree, each as last sampled: what a process
        used in its last second may be missing.
    peak_bytes : int
        Largest sum, at one moment, of the proportional set sizes of all processes of the tree
        (resident set sizes where the system has no proportional ones).
    output : str
        What it wrote to both streams.
    exit_code : int
        Negative: the number of the signal that ended it.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str
    exit_code: int

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object on the last line that holds one; how contenders report.

        Raises
        ------
        BenchmarkError
            If no line holds one.
        """
        for line in reversed(self.output.splitlines()):
            if line.startswith("{"):
                with suppress(json.JSONDecodeError):
                    return dict(json.loads(line))
        raise BenchmarkError(f"no line of JSON in the output:\n{self.output[-_TAIL:]}")


def run_measured(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
    samples_per_second: float = _SAMPLES_PER_SECOND,
) -> Measured:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str or Path
        Program and arguments; no shell.
    env : mapping, optional
        Environment variables to set beyond those of this process.
    cwd : Path, optional
        Where to run it.
    timeout : float, optional
        Seconds after which the whole tree is killed, which counts as a failure.
    check : bool
        Raise if the command fails, or else leave it to the caller to read ``exit_code``.
    samples_per_second : float
        How often to look at memory and CPU time.

    Returns
    -------
    Measured

    Raises
    ------
    BenchmarkError
        If ``check`` and the command fails; the message ends with its last output.
    """
    words = [str(word) for word in command]
    inherited = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=inherited | dict(env or {}),
            cwd=cwd,
        )
        tree = _Tree(process.pid, 1 / samples_per_second)
        watcher = threading.Thread(target=tree.watch, daemon=True)
        watcher.start()
        try:
            process.wait(timeout)
        except BaseException as error:
            tree.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        finally:
            seconds = time.perf_counter() - started
            tree.ended.set()
            watcher.join()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if check and process.returncode != 0:
        raise BenchmarkError(
            f"{' '.join(words)}\nended with {process.returncode} after {seconds:.1f} s"
            f" (timeout {timeout}); its output ends:\n{text[-_TAIL:]}"
        )
    return Measured(seconds, tree.cpu_seconds, tree.peak_bytes, text, process.returncode)


class _Tree:
    """A process and all that descend from it, sampled until ``ended``.

    A process once seen stays in the tree when its parent dies: daemons detach that way.
    """

    def __init__(self, pid: int, pause: float) -> None:
        self._pause = pause
        self.ended = threading.Event()
        self.peak_bytes = 0
        self._seen = {pid: psutil.Process(pid)}
        self._cpu: dict[psutil.Process, float] = {}

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def watch(self) -> None:
        while True:
            self._sample()
            if self.ended.wait(self._pause):
                return

    def kill(self) -> None:
        self._grow()
        for process in self._seen.values():
            with suppress(psutil.Error):
                process.kill()

    def _sample(self) -> None:
        self._grow()
        total = 0
        for pid, process in list(self._seen.items()):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory = process.memory_full_info()
            except psutil.Error:
                if not process.is_running():
                    del self._seen[pid]
                continue
            self._cpu[process] = times.user + times.system
            total += getattr(memory, "pss", memory.rss)
        self.peak_bytes = max(self.peak_bytes, total)

    def _grow(self) -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.ppid() in self._seen:
                    self._seen.setdefault(process.pid, process)


def in_turn(contenders: Mapping[str, Callable[[], Answer]], rounds: int) -> list[dict[str, Answer]]:
    """Run all contenders one after the other, and all of that again.

    A machine's speed drifts: only what ran in the same round may be compared.

    Parameters
    ----------
    contenders : mapping of str to callable
        What to call, by name; the order stays.
    rounds : int
        How often, at least 1.

    Returns
    -------
    list of dict
        For each round, what every contender returned.
    """
    answers = []
    for number in range(1, rounds + 1):
        of_round = {}
        for name, contender in contenders.items():
            started = time.perf_counter()
            of_round[name] = contender()
            seconds = time.perf_counter() - started
            print(f"  round {number} of {rounds}: {name}, {seconds:.1f} s", flush=True)
        answers.append(of_round)
    return answers


def newest_record(destination: Path) -> dict[str, Any]:
    """The account that featuremill's newest run left in ``destination/runs``."""
    newest = max((destination / "runs").glob("*.json"))
    return dict(json.loads(newest.read_text()))
