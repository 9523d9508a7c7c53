"""The largest memory that Spark's processes on this machine have taken so far."""

from contextlib import suppress

import psutil


def peak_bytes() -> dict[str, int]:
    """Peak resident set sizes of the driver's Python, its JVM and the largest Python worker.

    To be asked while the JVM still runs. Linux only, as its kernel alone tells the peaks.

    Returns
    -------
    dict of str to int
        Bytes for ``driver``, ``jvm`` and ``worker``; 0 where there is no such process.
    """
    me = psutil.Process()
    peaks = {"driver": _peak(me), "jvm": 0, "worker": 0}
    for child in me.children(recursive=True):
        # one that has just ended has no name any more
        with suppress(psutil.Error, OSError):
            kind = "jvm" if child.name() == "java" else "worker"
            peaks[kind] = max(peaks[kind], _peak(child))
    return peaks


def _peak(process: psutil.Process) -> int:
    with open(f"/proc/{process.pid}/status") as status:
        kilobytes = [line.split()[1] for line in status if line.startswith("VmHWM")]
    return 1024 * int(kilobytes[0]) if kilobytes else 0
