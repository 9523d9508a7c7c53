"""Describes the machine: its CPU, its memory, and how much of it a process may use."""

import os
import platform
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "featuremill",
    "pyspark",
    "openvino",
    "onnxruntime",
    "numpy",
    "pillow",
    "simplejpeg",
    "pyarrow",
    "deltalake",
    "obstore",
)
_LOOKS_PER_SECOND = 4


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process and all it starts may use.

    The machine's, or less where a control group says so, as in a container.

    Parameters
    ----------
    root : Path
        Below which ``proc`` and ``sys`` are.
    """
    limits = _group_limits(root, "memory", "memory.max", "memory.limit_in_bytes")
    return min([psutil.virtual_memory().total, *limits])


def usable_threads(root: Path = Path("/")) -> int | None:
    """Threads and processes that may be there at a time, where something limits them.

    Parameters
    ----------
    root : Path
        Below which ``proc`` and ``sys`` are.
    """
    limits = [*_group_limits(root, "pids", "pids.max", "pids.max")]
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    # this limit is none to root
    if most != resource.RLIM_INFINITY and os.geteuid() != 0:
        limits.append(most)
    return min(limits, default=None)


def _group_limits(root: Path, controller: str, unified: str, file_of_v1: str) -> Iterator[int]:
    """Limits of this process' control groups and of those they lie in, of both kinds."""
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            folder, file = groups, unified
        elif controller in controllers.split(","):
            folder, file = groups / controller, file_of_v1
        else:
            continue
        inside = folder / name.lstrip("/")
        # a container sees its own group as the root of all
        for group in (inside, *inside.parents):
            if not group.is_relative_to(folder):
                break
            # "max", or a file that the root of all does not have
            with suppress(OSError, ValueError):
                yield int((group / file).read_text())


def hardware() -> dict[str, Any]:
    """Describe the driver's machine."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


class Peak:
    """The most memory that this process and all it started held at one moment, in bytes.

    Memory that processes share counts once.
    """

    def __init__(self) -> None:
        self.bytes = 0
        """Since the start, or since :meth:`restart`."""
        self._process = psutil.Process()

    def restart(self) -> int:
        """Forget the peak so far; returns what is held now."""
        self.bytes = 0
        return self.look()

    def look(self) -> int:
        """Measure what is held now, and note it if it is the most so far."""
        total = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            # a process may end while it is looked at
            with suppress(psutil.Error):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.uss)
        self.bytes = max(self.bytes, total)
        return total


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the memory several times a second while the block runs."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(1 / _LOOKS_PER_SECOND):
            peak.look()

    peak.look()
    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def cpu_name() -> str:
    """The processor, as the kernel names it."""
    return _cpu_line("model name") or platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Flags of the processor, as the kernel names them; empty where it names none (macOS)."""
    return frozenset((_cpu_line("flags") or _cpu_line("Features")).split())


def _cpu_line(name: str) -> str:
    """Value of the first line of this name in the kernel's description of the CPU."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""


_OWN = Path("/proc/self/oom_score_adj")
_STATUS = Path("/proc/self/status")


def die_first(how_much: int) -> None:
    """Have Linux end this process before others when memory runs out; elsewhere do nothing.

    Which one it ends is then no matter of chance: the one whose loss costs an image or a task,
    not the one whose loss ends the run. A higher value set before stays.

    Parameters
    ----------
    how_much : int
        From 0 to 1000, in thousandths of the memory there is: by so much the process is taken to
        be larger than it is.
    """
    with suppress(OSError, ValueError):
        if int(_OWN.read_text()) < how_much:
            _OWN.write_text(str(how_much))


class OwnBound:
    """Bounds what this process may allocate beyond what it has now; does nothing outside Linux.

    Beyond it the kernel refuses, and who asked sees a lack of memory. What is bounded is private
    memory that may be written (RLIMIT_DATA), not the whole address space: of that the C library
    reserves 64 MiB and more for each thread, and never uses it.
    """

    def __init__(self) -> None:
        self._now: int | None = None
        with suppress(OSError, StopIteration):
            lines = iter(_STATUS.read_text().splitlines())
            data = next(line for line in lines if line.startswith("VmData:"))
            self._now = int(data.split()[1]) << 10

    def allow(self, more: int) -> None:
        """Allow so many bytes more than there were at first."""
        if self._now is not None:
            most = resource.getrlimit(resource.RLIMIT_DATA)[1]
            wanted = self._now + more
            soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_DATA, (soft, most))
