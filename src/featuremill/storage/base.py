"""The interface of every storage, and what they share: ranged reads, and why a disk is full."""

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


LOOP: Final = "a link back to a folder that holds it"
REACHED_ALREADY: Final = "a folder that an earlier link leads to"
LEADS_OUT: Final = "a link out of the source"
NO_FILE: Final = "a link or a device"
SECOND: Final = "a second member of the same name in a shard"
NOTHING_LOST: Final = frozenset({LOOP, REACHED_ALREADY, LEADS_OUT, NO_FILE, SECOND})
"""Problems of what is left alone on purpose."""


class Listed(NamedTuple):
    """One thing found by listing.

    ``path`` is absolute and percent-encoded (see :mod:`featuremill._utils.paths`); ``version``
    changes when the content does; ``problem`` says why it cannot be fetched at all, or is empty;
    ``label`` is one that does not come from the path, or empty.
    """

    path: str
    size: int
    version: str
    problem: str = ""
    label: str = ""


Span = tuple[int, int]
"""Bytes from the first number on, up to and without the second."""


class FetchedImage(NamedTuple):
    """The bytes of an image and the version they were read at."""

    data: bytes
    version: str


class Store(Protocol):
    """A folder or a bucket prefix; small and free of secrets when pickled.

    ``path`` is the absolute, percent-encoded path of an image; ``name`` is a plain name below
    the store's root, with ``/`` between its parts. Failures that concern the whole store are
    :class:`~featuremill.errors.SourceError` while listing and
    :class:`~featuremill.errors.StorageError` elsewhere; a missing name is ``FileNotFoundError``.
    """

    @property
    def url(self) -> str:
        """Root, as a person would write it, with no slash at the end."""

    @property
    def read_ahead(self) -> int:
        """How many images are worth fetching at the same time."""

    def list(self) -> Iterator[Listed]:
        """Everything below the root, streamed, in an order that does not change."""

    def fetch(self, path: str, span: Span | None = None) -> FetchedImage:
        """Bytes of one image, or those of a span of it, which are fewer where it ends.

        Raises ``OSError`` with a reason for people if this image cannot be had.
        """

    @property
    def block(self) -> int:
        """Bytes of a shard that are worth reading at once; 0 where a small read costs nothing."""

    def contains(self, other: "Store") -> bool:
        """Whether the root of the other store is this root or lies below it."""

    def read(self, name: str) -> bytes:
        """Whole content of a name."""

    def open(self, name: str) -> BinaryIO:
        """Seekable reader of a name."""

    def size(self, name: str) -> int | None:
        """Bytes of a name, or None where there is none."""

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all files below a folder of the store; none where it is missing."""

    def write(self, name: str, data: bytes) -> None:
        """Write a name whole or not at all, over what was there."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a name only if it is not there yet; tells whether it was written.

        Writers that may meet have to bring different data, by which they know their own again
        after an answer was lost.
        """

    def writer(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Stream into a name that appears when the block ends without an error."""

    def remove(self, name: str) -> None:
        """Remove a name; one that is not there is no error."""

    def keeps_versions(self) -> bool:
        """Whether what is overwritten or removed stays there as an earlier version.

        Raises :class:`~featuremill.errors.StorageError` if that cannot be told.
        """

    def half_written(self, folder: str) -> Iterator[str]:
        """Names of what writers that were killed had begun to write in a folder."""

    def purge(self, prefix: str) -> int:
        """Remove earlier versions of all names that begin so; tells how many there were."""

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """URI and fresh storage options for a Delta table below the root."""


class Ranges(io.RawIOBase):
    """An object as a file; each read is one request.

    Unlike obstore's own reader it is a file in every respect (a context manager, ``closed`` an
    attribute), and what it reads lies in memory of Python's own.

    Parameters
    ----------
    read_range : callable
        Function of start and length that gives the bytes there.
    size : int
        Size of the whole object in bytes.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        self._read_range = read_range
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the place may lie beyond the end."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a buffer as far as the object goes; tells how many bytes."""
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._position)
        if length <= 0:
            return 0
        view[:length] = self._read_range(self._position, length)
        self._position += length
        return length


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def no_room(error: BaseException, place: Path) -> tuple[str, str] | None:
    """Problem and remedy where a write failed for want of room, else None.

    Parameters
    ----------
    error : BaseException
        Also one of a library that only quotes the system's number, as in ``(os error 28)``.
    place : Path
        What was to be written; it need not be there.
    """
    quoted = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(quoted[1]) if quoted else None
    if number not in _NO_ROOM:
        return None
    if number == errno.EDQUOT:
        return (
            "the quota of this user or folder is used up",
            "See `quota -s`, or what the file system calls it; remove files or have it raised,"
            " or write to another file system.",
        )
    there = next(path for path in (place, *place.parents) if path.exists())
    try:
        room = os.statvfs(there)
    except OSError:
        return os.strerror(errno.ENOSPC), "Remove files there, or write to another file system."
    free = room.f_bavail * room.f_frsize
    if free and room.f_files and not room.f_favail:
        return (
            f"the file system has no inode left for another file (0 of {room.f_files:,} are free;"
            f" {free / 2**30:.1f} GiB are)",
            "Remove files there, many small ones first, or write to another file system.",
        )
    return (
        f"{os.strerror(errno.ENOSPC)} ({free / 2**20:,.0f} MiB are free)",
        "Remove files there, or write to another file system.",
    )
