"""Moments of a run, told by the files that appear at its destination.

The clock would name another moment on every machine; the third file of features is the same
moment everywhere, give or take what the other processes do meanwhile.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Moment:
    """So many milliseconds after the n-th file has appeared whose name matches at its start.

    Files that are being written count too: they are hidden, and the dot is not looked at.
    """

    pattern: str
    nth: int = 1
    then_milliseconds: int = 0

    def __str__(self) -> str:
        return f"{self.pattern or 'the start'} {self.nth} + {self.then_milliseconds} ms"


class Watch:
    """The files that appear below a folder from now on."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._known = set(self._names())
        self._appeared: list[str] = []

    def wait_for(self, moment: Moment, ended: Callable[[], bool]) -> bool:
        """Wait for a moment; tells whether it came before the end."""
        while self._count(moment.pattern) < moment.nth:
            if ended():
                return False
            time.sleep(_POLL_SECONDS)
            self._look()
        time.sleep(moment.then_milliseconds / 1000)
        return not ended()

    def _count(self, pattern: str) -> int:
        return sum(re.match(pattern, name) is not None for name in self._appeared)

    def _look(self) -> None:
        new = [name for name in self._names() if name not in self._known]
        self._known.update(new)
        self._appeared += [name.replace("/.", "/").removeprefix(".") for name in new]

    def _names(self) -> Iterator[str]:
        start = len(self._folder) + 1
        for folder, _, files in os.walk(self._folder):
            yield from (f"{folder}/{file}"[start:] for file in files)
