"""Reads a file that lists one path on each line."""

import codecs
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from featuremill.errors import ConfigError
from featuremill.search.locate import address

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_REMEDY = "Save the list as UTF-8, with one path on each line."


@dataclass(frozen=True)
class PathList:
    """Paths with the place they were read from.

    Attributes
    ----------
    name : str
        Name of the file, as it was given.
    lines : mapping of str to int
        Path → number of its first line, from 1.
    """

    name: str
    lines: dict[str, int]

    def require_text(self, not_found: Iterable[str]) -> None:
        """Refuse a line that is no UTF-8, unless it holds the bytes of an image's name.

        Parameters
        ----------
        not_found : iterable of str
            Paths that are no image's.

        Raises
        ------
        ConfigError
            With the number of the first such line.
        """
        odd = [path for path in not_found if path in self.lines and not _is_text(path)]
        for path in sorted(odd, key=self.lines.__getitem__):
            raise ConfigError(
                f"{self.name}, line {self.lines[path]}: {os.fsencode(path)!r} is not UTF-8, and"
                " no image has these bytes as its name",
                _REMEDY,
            )


def parse(data: bytes, name: str) -> PathList:
    """Read a list of paths.

    Lines end in LF or CR LF, and a byte order mark of UTF-8 is no part of the first. A line of
    nothing but blanks is passed over; other blanks belong to the path.

    Raises
    ------
    ConfigError
        If the list is UTF-16 or a line can be no path, with the number of the line.
    """
    if data.startswith(_UTF16):
        raise ConfigError(f"{name} is UTF-16, it must be UTF-8", _REMEDY)
    lines: dict[str, int] = {}
    for number, path in _lines(data.removeprefix(codecs.BOM_UTF8)):
        if "\0" in path:
            raise ConfigError(f"{name}, line {number}: {path!r} holds a null byte", _REMEDY)
        try:
            address(path)
        except ConfigError as error:
            raise ConfigError(f"{name}, line {number}: {error.problem}", error.remedy) from error
        lines.setdefault(path, number)
    return PathList(name, lines)


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        path = os.fsdecode(line.removesuffix(b"\r"))
        if path.strip():
            yield number, path


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
