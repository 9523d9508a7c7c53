"""Stores files in a folder of this machine, or of a file system that every worker mounts."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from featuremill._utils import paths
from featuremill.errors import SourceError, StorageError
from featuremill.storage.base import LEADS_OUT, FetchedImage, Listed, Span, Store, no_room
from featuremill.storage.walk import is_inside, version_of, walk


@dataclass(frozen=True)
class LocalStore:
    """Files below an absolute path."""

    url: str
    # local reads are served by the page cache; more threads only fight for the interpreter
    read_ahead: int = 2
    block: int = 0
    follow_links: bool = True
    """Whether a link may lead out of the root; one that stays below it is followed anyway."""

    def list(self) -> Iterator[Listed]:
        """Every file below the root, folders that several links lead to once.

        A folder reached through a link to one of its own parents is reported, not entered.
        """
        root = os.fsencode(self.url)
        if not os.path.isdir(root):
            kind = "is not a folder" if os.path.lexists(root) else "does not exist"
            raise SourceError(
                f"source {self.url} {kind}",
                "Name an existing folder of images, or of tar and zip files with images.",
            )
        try:
            os.scandir(root).close()
        except OSError as error:
            raise SourceError(
                f"source {self.url} cannot be read: {error.strerror}",
                "Check the permissions of that folder.",
            ) from error
        yield from walk(root, "all" if self.follow_links else "inside")

    def fetch(self, path: str, span: Span | None = None) -> FetchedImage:
        """Bytes of one file, or some of them."""
        found = paths.decode(path)
        if not self.follow_links and not is_inside(found, os.fsencode(self.url)):
            # a link may have taken its place since it was listed
            raise OSError(errno.EPERM, LEADS_OUT)
        with open(found, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            start, end = span or (0, None)
            file.seek(start)
            data = file.read() if end is None else file.read(end - start)
            return FetchedImage(data, version_of(status))

    def contains(self, other: Store) -> bool:
        """Whether the other root, links resolved, lies in this one."""
        if not isinstance(other, LocalStore):
            return False
        mine, theirs = os.path.realpath(self.url), os.path.realpath(other.url)
        return os.path.commonpath([mine, theirs]) == mine

    def read(self, name: str) -> bytes:
        """Whole content of a file."""
        with self._failures("read", name):
            return self._path(name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        """Reader of a file."""
        with self._failures("read", name):
            return self._path(name).open("rb")

    def size(self, name: str) -> int | None:
        """Bytes of a file, or None where there is none."""
        with self._failures("read", name):
            try:
                return self._path(name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all files below a folder, sorted."""
        start = len(self.url.rstrip("/")) + 1
        for found in walk(os.fsencode(self._path(prefix)), "files"):
            if not found.problem:
                yield os.fsdecode(paths.decode(found.path))[start:]

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside its place, then move it there."""
        with self.writer(name) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file only if it is not there; it never exists half-written."""
        path = self._path(name)
        with self._failures("write", name), _beside(path) as file:
            file.write(data)
            file.close()
            try:
                os.link(file.name, path)
            except (FileExistsError, FileNotFoundError):
                # who holds the destination may just be removing what killed writers left
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _without_links.add(self.url)
                # there a reader may see the file half-written
                return _create_in_place(path, data)
        return True

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Stream into a temporary file that is moved to its place at the end."""
        path = self._path(name)
        with self._failures("write", name), _beside(path) as file:
            yield file
            file.close()
            os.replace(file.name, path)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._failures("remove", name):
            self._path(name).unlink(missing_ok=True)

    def keeps_versions(self) -> bool:
        """A file system keeps none; its snapshots and backups are not seen from here."""
        return False

    def half_written(self, folder: str) -> Iterator[str]:
        """Names of the hidden files in which writing begins, in this very folder."""
        path = self._path(folder)
        with self._failures("list", folder):
            there = os.listdir(path) if path.is_dir() else []
        return (f"{folder}/{name}".lstrip("/") for name in there if BEGUN.fullmatch(name))

    def purge(self, prefix: str) -> int:  # noqa: ARG002  (there is nothing to look for)
        """There is nothing to remove."""
        return 0

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """Path of a Delta table.

        Delta makes a version by a hard link, which fails where there is one of that name. Where
        a file system knows no links it looks for one and renames: not in one step, but between
        runs the lock stands, which :meth:`create` makes in one.
        """
        options = {"allow_unsafe_rename": "true"} if self.url in _without_links else {}
        return str(self._path(name)), options

    def _path(self, name: str) -> Path:
        return Path(self.url, name)

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if verb == "read" and isinstance(error, FileNotFoundError):
                raise
            if verb == "read" and isinstance(error, NotADirectoryError):
                # below a file there is nothing
                raise FileNotFoundError(errno.ENOENT, error.strerror, error.filename) from error
            why, remedy = no_room(error, self._path(name)) or (
                error.strerror or str(error),
                "Check free space and permissions of that folder.",
            )
            raise StorageError(f"cannot {verb} {self.url}/{name}: {why}", remedy) from error


_NO_LINKS = {
    errno.EPERM,
    errno.EACCES,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.EMLINK,
    errno.EXDEV,
}
"""What file systems without hard links answer: exFAT, SMB, FUSE, mounted buckets."""

_without_links: set[str] = set()
"""Stores of this process where a link was refused."""

BEGUN = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)
"""Names of the files of :func:`_beside`."""
_KEPT = 50
"""Characters of a name, of up to four bytes each, that its temporary file keeps."""


def make_folders(folder: Path) -> None:
    """Make a folder with its parents, of which there may be more than Python may recurse."""
    missing = list(takewhile(lambda path: not path.is_dir(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    """Hidden file in the folder of a path; gone after the block unless it was moved."""
    make_folders(path.parent)
    # not by tempfile, whose files are private: a result has the permissions of any new file;
    # cut, since a name of 255 bytes is the longest that a file system takes
    temporary = path.with_name(f".{path.name[:_KEPT]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
    finally:
        temporary.unlink(missing_ok=True)


def _create_in_place(path: Path, data: bytes) -> bool:
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(data)
    except OSError:
        path.unlink()
        raise
    return True


def _open_without_waiting(path: str | bytes, flags: int) -> int:
    # a FIFO that took a file's place would else be waited on for ever
    return os.open(path, flags | os.O_NONBLOCK)
