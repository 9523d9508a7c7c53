"""How much memory a process may take, and which one Linux ends where memory runs out."""

import resource
from contextlib import suppress
from pathlib import Path

_OWN = Path("/proc/self/oom_score_adj")
_STATUS = Path("/proc/self/status")


def die_first(how_much: int) -> None:
    """Let Linux end this process before others; elsewhere do nothing.

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
    """What this process may allocate beyond what it has now; without effect where Linux is not.

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
