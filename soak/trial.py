"""One run in a process of its own, and what is done to it while it lasts."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from soak import processes
from soak.standalone import Cluster
from soak.watch import Moment, Watch

TIMEOUT_SECONDS = 240.0
"""A run of the soak takes seconds: one that takes this long hangs."""


@dataclass(frozen=True)
class Strike:
    """Something done to a run, and when.

    ``what`` is one of ``KILLS``, ``STOP``, ``GO_ON``, ``CTRL_C`` or of the faults given.
    """

    what: str
    moment: Moment

    def __str__(self) -> str:
        return f"{self.what} at {self.moment}"


@dataclass
class Outcome:
    """How a run ended; ``done`` has the strikes that met something, ``code`` is None if it hung."""

    code: int | None
    said: str
    done: list[Strike] = field(default_factory=list)
    processes: list[psutil.Process] = field(default_factory=list)
    """All that the run was seen to consist of; they have to end by themselves."""


Found = Callable[[Sequence[psutil.Process]], list[psutil.Process]]

KILLS: Mapping[str, Found] = {
    "kill the driver": lambda all_of_it: list(all_of_it[:1]),
    "kill Java": processes.java,
    "kill a worker": processes.workers,
    "kill all workers": processes.daemons,
    "kill an executor": processes.executors,
}
"""What is killed, by ``kill -9``, and where to find it; of several one is chosen."""

CTRL_C = "Ctrl-C"
STOP = "stop an executor's workers"
"""To a cluster, workers that stand still are slow ones."""
GO_ON = "let stopped workers go on"
"""As slow ones do: for a task that stands still for ever Spark waits, if its copy was lost too."""


def run(
    arguments: Sequence[str],
    destination: Path,
    strikes: Sequence[Strike],
    chance: random.Random,
    *,
    cluster: Cluster | None = None,
    faults: Mapping[str, Callable[[], bool]] | None = None,
) -> Outcome:
    """Run featuremill in a process of its own, and strike when the moments come.

    Parameters
    ----------
    arguments : sequence of str
        For ``python -m soak.driver``.
    strikes : sequence of Strike
        In the order in which they are waited for.
    faults : mapping, optional
        What can be done besides killing; each tells whether it did something.
    """
    watch = Watch(destination)
    with tempfile.TemporaryFile("w+") as said:
        driver = subprocess.Popen(
            [sys.executable, "-m", "soak.driver", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=said,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **(cluster.environment if cluster else {})},
            start_new_session=True,  # a terminal sends Ctrl-C to the whole group
        )
        outcome = Outcome(None, "")
        hangs_from = time.monotonic() + TIMEOUT_SECONDS

        def over() -> bool:
            return driver.poll() is not None or time.monotonic() > hangs_from

        for strike in strikes:
            if not watch.wait_for(strike.moment, over):
                break
            outcome.processes = _everything(driver.pid, cluster)
            if _struck(strike.what, outcome.processes, chance, faults or {}):
                outcome.done.append(strike)
        outcome.processes += _everything(driver.pid, cluster)
        try:
            outcome.code = driver.wait(max(0.1, hangs_from - time.monotonic()))
        except subprocess.TimeoutExpired:
            for each in processes.family(driver.pid):
                processes.strike(each)
            driver.wait()
        said.seek(0)
        outcome.said = said.read()
    return outcome


def _everything(driver: int, cluster: Cluster | None) -> list[psutil.Process]:
    """All that belongs to the run, and so has to end with it."""
    return [*processes.family(driver), *(cluster.tasks() if cluster else ())]


def _struck(
    what: str,
    everything: Sequence[psutil.Process],
    chance: random.Random,
    faults: Mapping[str, Callable[[], bool]],
) -> bool:
    if what in faults:
        return faults[what]()
    if what == CTRL_C:
        os.killpg(everything[0].pid, signal.SIGINT)
        return True
    if what == STOP:
        one = chance.choice(sorted(processes.workers(everything), key=_pid))
        all_beside = [each for each in processes.workers(everything) if each.ppid() == one.ppid()]
        return all(processes.strike(each, signal.SIGSTOP) for each in all_beside)
    if what == GO_ON:
        return sum(processes.strike(each, signal.SIGCONT) for each in everything) > 0
    found = sorted(KILLS[what](everything), key=_pid)
    return bool(found) and processes.strike(chance.choice(found))


def _pid(process: psutil.Process) -> int:
    return process.pid
