"""The machine a run is on, as far as it matters to its results and its speed."""

import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
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


def hardware() -> dict[str, Any]:
    """The driver's machine."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_name(),
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
        """What is held now."""
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
    """Sample the memory all the time that the block takes."""
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


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
