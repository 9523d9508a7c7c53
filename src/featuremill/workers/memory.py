"""How a run on this machine fits its memory: tasks at once, and Java's heap.

The figures are of 500 images and MobileNetV2 in a control group: with 1.8 GB two tasks at once
lose no process; with 1.2 GB a worker is killed now and then and its task repeated; with less than
1 GB the run dies.
"""

import re

from featuremill._utils import hardware
from featuremill.errors import ConfigError

_NEEDED, _NEEDED_EACH = 1_000_000_000, 400_000_000
_LEAST, _LEAST_EACH = 700_000_000, 150_000_000
"""Bytes for the driver and Java together, and for each task at once."""

_SMALL = 4_000_000_000
_SMALL_HEAP = "512m"
"""Java's heap where memory is small; with less than 450 MiB Spark refuses to start."""


def memory_needed(tasks: int) -> int:
    """Bytes with which so many tasks at once lose no process."""
    return _NEEDED + _NEEDED_EACH * tasks


def tasks_that_fit(memory: int) -> int:
    """How many tasks at once so many bytes are enough for; at least 1."""
    return max(1, (memory - _NEEDED) // _NEEDED_EACH)


def local_tasks(master: str) -> int | None:
    """Tasks at once under a local master, or None under another one.

    ``local[*]`` is one for each core, but no more than fit the memory.
    """
    found = re.fullmatch(r"local(?:\[(\*|\d+)(?:,\d+)?\])?", master)
    if found is None:
        return None
    if found[1] == "*":
        return min(hardware.usable_cores(), tasks_that_fit(hardware.usable_memory()))
    return int(found[1] or 1)


def shortage(master: str) -> str:
    """Words on cores that are left idle for want of memory; none where all are used."""
    tasks, cores = local_tasks(master), hardware.usable_cores()
    if tasks is None or "*" not in master or tasks == cores:
        return ""
    memory = hardware.usable_memory() / 1e9
    return f": {tasks} of {cores} cores, since {memory:.1f} GB of memory are enough for no more"


def java_heap() -> str | None:
    """What to give Java instead of Spark's default, or None."""
    return _SMALL_HEAP if hardware.usable_memory() < _SMALL else None


def check_memory(master: str) -> None:
    """Refuse a local run that this machine's memory cannot hold.

    Raises
    ------
    ConfigError
        If there is less memory than so many tasks at once were ever seen to end with.
    """
    tasks, usable = local_tasks(master), hardware.usable_memory()
    if tasks is None or usable >= _LEAST + _LEAST_EACH * tasks:
        return
    fewer = (usable - _LEAST) // _LEAST_EACH
    noun = "task needs" if tasks == 1 else "tasks at once need"
    raise ConfigError(
        f"{usable / 1e9:.2f} GB of memory are usable here, {tasks} {noun} at least"
        f" {(_LEAST + _LEAST_EACH * tasks) / 1e9:.2f} GB"
        f" and {'wants' if tasks == 1 else 'want'} {memory_needed(tasks) / 1e9:.1f} GB",
        f"Run fewer at once (--master 'local[{fewer}]'), or give the machine or container more."
        if fewer >= 1
        else "Give the machine or container more memory.",
    )
