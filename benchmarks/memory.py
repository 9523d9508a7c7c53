"""Memory of the whole process tree: what the job takes, and the least with which it still ends."""

import os
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.datasets import fruits, subset
from benchmarks.measure import FEATUREMILL, SPARK_LOCAL, BenchmarkError, Measured, run_measured
from benchmarks.options import Options
from benchmarks.results import Cell, Result

NAME = "memory"
TITLE = "Memory of the whole process tree"
COLUMNS = ("", "images", "limit MB", "ends", "seconds", "peak MB", "what it says")

_STEP = 64 * 2**20  # how close the smallest limit is searched for
_QUICK_STEP = 256 * 2**20
_LEAST = 256 * 2**20  # less than a Java with nothing to do
_MOST_RAISES = 8
_PATIENCE = 4.0  # times the seconds without a limit, after which a run counts as not ending
_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = {"memory.limit_in_bytes": "memory.memsw.limit_in_bytes", "memory.max": "memory.swap.max"}
"""Files that limit memory, in version 1 and 2, and swap: in version 1 together with memory."""
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True)
class Trial:
    """One run, under a limit in bytes or none."""

    images: int
    limit: int | None
    measured: Measured
    killed: int = 0
    """Processes of the tree that the kernel killed for want of memory."""

    @property
    def ends(self) -> bool:
        """Whether the run did what it should."""
        return self.measured.exit_code == 0

    def row(self, label: str) -> list[Cell]:
        """The trial in the table."""
        return [
            label,
            self.images,
            None if self.limit is None else self.limit / 1e6,
            "yes" if self.ends else "no",
            self.measured.seconds,
            self.measured.peak_bytes / 1e6,
            self.said,
        ]

    @property
    def said(self) -> str:
        """What a run that failed told its user."""
        if self.ends:
            return ""
        error = re.search(r"^error: (.*)", self.measured.output, re.MULTILINE)
        if error:
            return error[1]
        if not self.killed:
            return "nothing: it was slow for want of memory, and stopped"
        code = self.measured.exit_code
        return f"nothing: the kernel killed {self.killed} of its processes; it ended with {code}"


def measure(options: Options) -> Result:
    """Peaks without a limit; the smallest limit, searched on the subset and tried on the whole."""
    some, everything = subset(options, options.subset), fruits(options)
    free = [_try(options, everything, None) for _ in range(options.rounds)]
    kinds = {
        "no limit, fp32": _try(options, everything, None, choices=["--precision", "fp32"]),
        "no limit, Spark local": _try(options, everything, None, choices=SPARK_LOCAL),
    }
    typical = statistics.median_low([trial.measured.peak_bytes for trial in free])
    whole = next(trial for trial in free if trial.measured.peak_bytes == typical)
    rows = [whole.row("no limit"), *(trial.row(name) for name, trial in kinds.items())]
    trials = [*free, *kinds.values()]
    note = ""
    try:
        with _limited(typical):
            pass
    except OSError as error:
        note = f"No limit was tried: this machine's control groups cannot be used ({error})."
    else:
        searched, confirmed = _under_limits(options, some, everything, whole.measured)
        rows += [trial.row("searched") for trial in searched]
        rows += [trial.row("whole set") for trial in confirmed]
        trials = [*trials, *searched, *confirmed]
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        rows,
        notes=[
            "Peak: the largest sum, at one moment, of the proportional set sizes of all processes,"
            f" looked at once a second; without a limit the median of {options.rounds}, at fp32 and"
            " on Spark one run each.",
            "A limit is that of a control group. It also counts what the kernel caches of files"
            " read and written, which it gives up before it kills, and what lies in a tmpfs, which"
            " it cannot give up: so a limit below the peak need not be one too small.",
            *([note] if note else []),
        ],
        measurements=[_account(trial) for trial in trials],
    )


def _under_limits(
    options: Options, some: Path, everything: Path, free: Measured
) -> tuple[list[Trial], list[Trial]]:
    """Trials of the subset, and of the whole set from the smallest limit of the subset on."""
    step, patience = _QUICK_STEP if options.quick else _STEP, _PATIENCE * free.seconds
    searched = _search(
        partial(_try, options, some, patience=patience), _LEAST, free.peak_bytes, step
    )
    least = min(trial.limit for trial in searched if trial.ends and trial.limit)
    limited = partial(_try, options, everything, patience=patience)
    confirmed = [limited(least)]
    if not confirmed[0].ends:
        confirmed += _search(limited, least, max(least, free.peak_bytes), step)
    return searched, confirmed


def _search(limited: Callable[[int], Trial], below: int, above: int, step: int) -> list[Trial]:
    """Trials by bisection, from the largest limit to the smallest.

    Parameters
    ----------
    limited : callable
        Runs under a limit in bytes.
    below, above : int
        A limit that is too small, and one that should do.
    step : int
        How close to each other the two may come.
    """
    trials = [limited(above)]
    while not trials[-1].ends:
        if len(trials) > _MOST_RAISES:
            raise BenchmarkError(f"the run does not end under {above / 1e6:,.0f} MB either")
        below, above = above, above + 4 * step
        trials.append(limited(above))
    while above - below > step:
        middle = (above + below) // 2
        trials.append(limited(middle))
        if trials[-1].ends:
            above = middle
        else:
            below = middle
    return sorted(trials, key=lambda trial: -(trial.limit or 0))


def _try(
    options: Options,
    pictures: Path,
    limit: int | None,
    patience: float | None = None,
    choices: Sequence[str] = (),
) -> Trial:
    with tempfile.TemporaryDirectory(dir=options.data) as destination:
        command: list[str | Path] = [FEATUREMILL, "run", pictures, destination]
        command += [*options.model_arguments(), *choices]
        killed = 0
        if limit is None:
            measured = run_measured(command)
        else:
            with _limited(limit) as group:
                entered = ["sh", "-c", _ENTER, str(group), *command]
                measured = run_measured(entered, timeout=patience, check=False)
                killed = _killed(group)
    images = sum(1 for _ in pictures.rglob("*.jpg"))
    trial = Trial(images, limit, measured, killed)
    under = "no limit" if limit is None else f"{limit / 1e6:,.0f} MB"
    print(f"  {images:,} images, {under}: {'ends' if trial.ends else trial.said}", flush=True)
    return trial


def _killed(group: Path) -> int:
    """How often the kernel killed a process of a group, by version 1's file or version 2's."""
    for name in ("memory.oom_control", "memory.events"):
        if (group / name).exists():
            counts = dict(line.split() for line in (group / name).read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def _account(trial: Trial) -> dict[str, Any]:
    return {
        "images": trial.images,
        "limit": trial.limit,
        "ends": trial.ends,
        "killed": trial.killed,
        "seconds": trial.measured.seconds,
        "peak_bytes": trial.measured.peak_bytes,
        "said": "" if trial.ends else trial.measured.output[-2_000:],
    }


@contextmanager
def _limited(limit: int) -> Iterator[Path]:
    """A control group with a memory limit and no swap; empty and removed after the block.

    Raises
    ------
    OSError
        If this machine lets this user make none.
    """
    group = _group()
    try:
        memory, swap = next(pair for pair in _LIMITS.items() if (group / pair[0]).exists())
        (group / memory).write_text(str(limit))
        # a kernel that keeps no account of swap has no such file
        if (group / swap).exists():
            (group / swap).write_text("0" if memory == "memory.max" else str(limit))
        yield group
    finally:
        _remove(group)


def _group() -> Path:
    """A new group that can limit memory, below this process's own or one of those above it."""
    failure = OSError("there are none that limit memory")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, name = line.split(":", 2)
        if "memory" not in controllers.split(",") and number != "0":
            continue
        root = _CGROUPS / "memory" if controllers else _CGROUPS
        own = root / name.lstrip("/")
        for above in (own, *own.parents):
            if not above.is_relative_to(root):
                break
            try:
                return _new_group(above)
            except OSError as error:
                failure = error
    raise failure


def _new_group(above: Path) -> Path:
    group = above / f"featuremill-{os.getpid()}"
    group.mkdir()
    # version 2 passes a controller on only if asked to, and then not to a group with processes
    if any((group / name).exists() for name in _LIMITS):
        return group
    group.rmdir()
    raise OSError(f"{above} does not limit memory")


def _remove(group: Path) -> None:
    """End what is left in a group, and the group."""
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        try:
            group.rmdir()
        except OSError:
            # a process that was killed takes a moment to be gone
            time.sleep(0.1)
        else:
            return
