"""Which process Linux ends where memory runs out."""

from contextlib import suppress
from pathlib import Path

_OWN = Path("/proc/self/oom_score_adj")


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
