"""How a run on this machine fits its memory: tasks at once, and Java's heap.

The figures are of 500 images and MobileNetV2. With Spark, measured in a control group: with 1.8 GB
two tasks at once lose no process; with 1.2 GB a worker is killed now and then and its task
repeated; with less than 1 GB the run dies. Without Spark two processes lose none with 1.0 GB, and
the run dies with 0.8 GB.
"""

import re
from dataclasses import dataclass

from featuremill._utils import hardware
from featuremill.errors import ConfigError


@dataclass(frozen=True)
class Needs:
    """What a run needs of this machine's memory, in bytes.

    Parameters
    ----------
    driver, each : int
        With ``driver`` and so much for each task at once no process is lost.
    least, least_each : int
        With less no run was ever seen to end.
    fewer : str
        How to ask for fewer tasks at once.
    """

    driver: int
    each: int
    least: int
    least_each: int
    fewer: str

    def of(self, tasks: int) -> int:
        """Bytes with which so many tasks at once lose no process."""
        return self.driver + self.each * tasks

    def tasks(self) -> int:
        """As many tasks at once as there are cores, but no more than fit; at least 1."""
        fitting = (hardware.usable_memory() - self.driver) // self.each
        return min(hardware.usable_cores(), max(1, fitting))

    def shortage(self, tasks: int) -> str:
        """Words on cores that are left idle for want of memory; none where all are used."""
        if tasks == hardware.usable_cores():
            return ""
        memory = hardware.usable_memory() / 1e9
        return (
            f": {tasks} of {hardware.usable_cores()} cores, since {memory:.1f} GB of memory are"
            " enough for no more"
        )

    def check(self, tasks: int) -> None:
        """Refuse a run that this machine's memory cannot hold.

        Raises
        ------
        ConfigError
            If there is less memory than so many tasks at once were ever seen to end with.
        """
        usable = hardware.usable_memory()
        if usable >= self.least + self.least_each * tasks:
            return
        fewer = (usable - self.least) // self.least_each
        noun = "task needs" if tasks == 1 else "tasks at once need"
        raise ConfigError(
            f"{usable / 1e9:.2f} GB of memory are usable here, {tasks} {noun} at least"
            f" {(self.least + self.least_each * tasks) / 1e9:.2f} GB"
            f" and {'wants' if tasks == 1 else 'want'} {self.of(tasks) / 1e9:.1f} GB",
            f"Run fewer at once ({self.fewer.format(fewer)}), or give the machine or container"
            " more."
            if fewer >= 1
            else "Give the machine or container more memory.",
        )


SPARK = Needs(1_000_000_000, 400_000_000, 700_000_000, 150_000_000, "--master 'local[{}]'")
"""Of Spark's local master: the driver and Java together, and Python workers."""

PROCESSES = Needs(600_000_000, 300_000_000, 550_000_000, 150_000_000, "--workers {}")
"""Of processes of this machine, without Java."""

_SMALL = 4_000_000_000
_SMALL_HEAP = "512m"
"""Java's heap where memory is small; with less than 450 MiB Spark refuses to start."""


def local_tasks(master: str) -> int | None:
    """Tasks at once under a local master, or None under another one.

    ``local[*]`` is one for each core, but no more than fit the memory.
    """
    found = re.fullmatch(r"local(?:\[(\*|\d+)(?:,\d+)?\])?", master)
    if found is None:
        return None
    return SPARK.tasks() if found[1] == "*" else int(found[1] or 1)


def shortage(master: str) -> str:
    """Words on cores that ``local[*]`` leaves idle for want of memory; none where all are used."""
    tasks = local_tasks(master)
    return SPARK.shortage(tasks) if tasks is not None and "*" in master else ""


def java_heap() -> str | None:
    """What to give Java instead of Spark's default, or None."""
    return _SMALL_HEAP if hardware.usable_memory() < _SMALL else None


def check_memory(master: str) -> None:
    """Refuse a local run that this machine's memory cannot hold; see :meth:`Needs.check`."""
    tasks = local_tasks(master)
    if tasks is not None:
        SPARK.check(tasks)
