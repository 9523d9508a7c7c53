"""Walks a local folder to any depth, and enters a folder that several links lead to once.

Thirty folders of two links each are 2^30 paths to one file, so a folder that several links lead
to is entered through the first of them alone. A folder that is there itself is always entered.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from featuremill._utils import paths
from featuremill.storage.base import LEADS_OUT, LOOP, REACHED_ALREADY, Listed

Identity = tuple[int, int]

Links = Literal["all", "inside", "files"]
"""Which links are followed: all, those that stay below the folder, or those to files alone."""


@dataclass
class _Level:
    """A folder under way, whether a link led there, and what of it is still to come."""

    identity: Identity
    linked: bool
    entries: Iterator["os.DirEntry[bytes]"]


@dataclass
class _Walk:
    root: bytes
    links: Links
    levels: list[_Level] = field(default_factory=list)
    parents: set[Identity] = field(default_factory=set)
    reached: set[Identity] = field(default_factory=set)
    """Folders entered on a path that holds a link."""

    def enter(self, path: bytes, identity: Identity, *, linked: bool) -> Iterator[Listed]:
        try:
            with os.scandir(path) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield _unreachable(path, f"the folder cannot be read: {error.strerror}")
            return
        self.levels.append(_Level(identity, linked, iter(ordered)))
        self.parents.add(identity)

    def rest(self) -> Iterator[Listed]:
        while self.levels:
            level = self.levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                self.parents.remove(self.levels.pop().identity)
            else:
                yield from self._examined(entry, level)

    def _examined(self, entry: "os.DirEntry[bytes]", level: _Level) -> Iterator[Listed]:
        try:
            status, link = entry.stat(), entry.is_symlink()
        except OSError as error:
            yield _unreachable(entry.path, _stat_problem(entry.path, error))
            return
        if link and self.links == "inside" and not is_inside(entry.path, self.root):
            yield _unreachable(entry.path, LEADS_OUT)
        elif stat.S_ISDIR(status.st_mode):
            yield from self._folder(entry.path, identity_of(status), link, level)
        elif stat.S_ISREG(status.st_mode):
            yield Listed(paths.encode(entry.path), status.st_size, version_of(status))
        else:
            yield _unreachable(entry.path, "not a regular file")

    def _folder(
        self, path: bytes, identity: Identity, link: bool, level: _Level
    ) -> Iterator[Listed]:
        linked = link or level.linked
        if link and (self.links == "files" or b"/." in path[len(self.root) :]):
            # what lies below is hidden there, and must not count as reached
            yield _unreachable(path, "a link to a folder, which is not followed here")
        elif identity in self.parents:
            yield _unreachable(path, LOOP)
        elif linked and identity in self.reached:
            yield _unreachable(path, REACHED_ALREADY)
        else:
            if linked:
                self.reached.add(identity)
            yield from self.enter(path, identity, linked=linked)


def walk(root: bytes, links: Links = "all") -> Iterator[Listed]:
    """Every file below a folder, in the order of the names as bytes; names stay bytes till then.

    What cannot be had, or is not followed, comes with the problem.
    """
    found = _Walk(root, links)
    try:
        identity = identity_of(os.stat(root))
    except OSError as error:
        yield _unreachable(root, f"the folder cannot be read: {error.strerror}")
        return
    yield from found.enter(root, identity, linked=False)
    yield from found.rest()


def is_inside(path: bytes, root: bytes) -> bool:
    """Whether a path, links resolved, is a folder or lies below it."""
    real, found = os.path.realpath(root), os.path.realpath(path)
    return os.path.commonpath([real, found]) == real


def identity_of(status: os.stat_result) -> Identity:
    """Identity of a file or folder, whatever path it was reached by."""
    return status.st_dev, status.st_ino


def version_of(status: os.stat_result) -> str:
    """A text that changes when the content of the file does."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _unreachable(path: bytes, problem: str) -> Listed:
    return Listed(paths.encode(path), 0, "", problem)


def _stat_problem(path: bytes, error: OSError) -> str:
    if error.errno == errno.ENOENT and os.path.islink(path):
        return "a link to a file that does not exist"
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    return f"cannot be examined: {error.strerror}"
