"""Which files of a source ``upload --include`` names."""

from collections.abc import Iterable
from posixpath import commonpath

from featuremill._utils import paths
from featuremill.errors import SourceError
from featuremill.storage.listing import Selection

NOT_INCLUDED = "not named by --include"
_SHOWN = 10


class Included:
    """Tells of each file whether one of the patterns names it; every file is named without any.

    Parameters
    ----------
    patterns : iterable of str
        Globs over the path below the source; ``*`` also crosses folders. Case counts.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._choosers = {each: Selection((each,)).chooser() for each in patterns}
        self._needless = dict.fromkeys(self._choosers)
        self._folders: set[str] = set()

    def __call__(self, name: str) -> bool:
        """Whether the file of this path below the source is named."""
        if not self._choosers:
            return True
        self._folders.add(name.rpartition("/")[0])
        path = paths.of_place(name)
        named = [each for each, chosen in self._choosers.items() if chosen(path, "")]
        for each in named:
            self._needless.pop(each, None)
        return bool(named)

    def check(self, title: str) -> None:
        """Refuse a pattern that named nothing, once every file was asked about.

        Raises
        ------
        SourceError
            With the folders that there are.
        """
        if not self._needless:
            return
        above = commonpath(self._folders) if self._folders else ""
        start = len(above) + 1 if above else 0
        below = sorted({each[start:].partition("/")[0] for each in self._folders} - {""})
        there = ", ".join(
            paths.shown(f"{above}/{each}" if above else each) for each in below[:_SHOWN]
        )
        more = f" and {len(below) - _SHOWN:,} more" if len(below) > _SHOWN else ""
        raise SourceError(
            f"--include {paths.shown(next(iter(self._needless)))} names no file of {title}",
            f"Its folders are {there or above or 'none'}{more}; a pattern is such as 'Training/*'.",
        )
