"""What `cloud upload` takes: a folder, an archive, an address of one, or a known name.

Archives are read from beginning to end and never unpacked on disk. A zip at an address is read
by ranges, because its table of contents stands at its end; a server that gives no ranges is
refused with what to do instead. What an archive may cost is bounded: see
:mod:`featuremill.cloud.transfer.bounds`.
"""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, BinaryIO, Literal, cast

from featuremill._utils import paths
from featuremill.cloud.stack.project_file import ESTIMATE_FILE, FILE
from featuremill.cloud.transfer.bounds import Agree, Unpacked, Xz, check_directory, member_of
from featuremill.cloud.transfer.https import is_address, opened, ranged
from featuremill.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from featuremill.storage import Store

LARGEST = 256 << 20
"""Bytes of the largest file that is sent; whatever is larger is no picture."""

HIDDEN = "hidden or a system's own"
TOO_LARGE = f"larger than {LARGEST >> 20} MiB"
NO_FILE = "a link or a device"
NOT_TEXT = "a name that is not UTF-8"
SPARSE = "a sparse file"

_SYSTEM = frozenset({"__macosx", "thumbs.db", "desktop.ini", FILE, ESTIMATE_FILE})
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Entry:
    """A file to be sent.

    Parameters
    ----------
    name : str
        Path below the source, with ``/`` between its parts.
    size : int
        Bytes.
    read : callable
        Gives its content, in any thread.
    """

    name: str
    size: int
    read: Callable[[], bytes | bytearray]


@dataclass(frozen=True)
class LeftOut:
    """A file that is not sent, and why."""

    name: str
    why: str


Found = Entry | LeftOut


@dataclass(frozen=True)
class Source:
    """Where files come from.

    Parameters
    ----------
    where : str
        As a person wrote it: a path or an address.
    kind : {'folder', 'tar', 'zip'}
        How it is read.
    strip : int
        Leading folders taken off each name.
    follow_links : bool
        Whether links of a folder may lead out of it.
    """

    where: str
    kind: Literal["folder", "tar", "zip"]
    strip: int = 0
    follow_links: bool = False

    @property
    def title(self) -> str:
        """Where it is, for people: without what a server knows them by."""
        return paths.without_secrets(self.where) if is_address(self.where) else self.where

    def entries(self, agree: Agree = lambda _: True) -> Iterator[Found]:
        """Every file, in an order that stays the same.

        Parameters
        ----------
        agree : callable
            Asked whether to go on, where an archive unpacks to more than is usual.

        Raises
        ------
        SourceError
            If the source cannot be read, a name leads out of it, it would take too much memory, or
            going on is not agreed to.
        """
        for each in self._found(agree):
            name = _checked(each.name, self.title)
            below = "/".join(name.split("/")[self.strip :])
            if below:
                yield _judged(replace(each, name=below))

    def _found(self, agree: Agree) -> Iterator[Found]:
        if self.kind == "folder":
            return _folder(self.where, follow_links=self.follow_links)
        return {"tar": _tar, "zip": _zip}[self.kind](self.where, self.title, agree)


# unverified: written down from public references, never fetched by the project's tests
_FRUITS_360 = (
    "https://codeload.github.com/fruits-360/fruits-360-100x100/tar.gz/"
    "2f981c83e352a9d4c15fb8c886034c817052c80b"
)

KNOWN: Mapping[str, Source] = MappingProxyType({"fruits-360": Source(_FRUITS_360, "tar", strip=1)})
"""Name → public archive of a data set, at one commit, so that everyone gets the same pictures."""


def open_source(where: str, *, follow_links: bool = False) -> Source:
    """Tell what a source is, from its name and the disk alone.

    Parameters
    ----------
    where : str
        A path, an address or a known name.
    follow_links : bool
        Whether links of a folder may lead out of it.

    Raises
    ------
    ConfigError
        If it is no folder, no archive and no known name.
    """
    if not where:
        raise ConfigError("SRC is empty", "Name a folder; the current one is `.`.")
    if where in KNOWN and not Path(where).exists():
        return KNOWN[where]
    if "://" in where and not is_address(where):
        raise ConfigError(
            f"{paths.without_secrets(where)} is no https address, or it holds a password",
            "Take its https address, or download it and name it.",
        )
    if is_address(where):
        return Source(where, _kind(where.partition("?")[0].partition("#")[0], where))
    path = Path(where)
    try:
        folder, file = path.is_dir(), path.is_file()
    except OSError as error:
        # such as a name that no file system takes
        raise ConfigError(
            f"{where[:80]!r}… cannot be looked at: {error.strerror}", "Name a folder or an archive."
        ) from error
    if folder:
        return Source(where, "folder", follow_links=follow_links)
    if not file:
        known = ", ".join(KNOWN)
        raise ConfigError(
            f"{where} does not exist",
            f"Name a folder, a zip or tar archive, an https address of one, or: {known}.",
        )
    return Source(where, _kind(where, where))


def _kind(name: str, where: str) -> Literal["tar", "zip"]:
    name = name.lower().rstrip("/")
    if name.endswith(".zip") or "/zip/" in name:
        return "zip"
    if name.endswith(_TAR) or "/tar.gz/" in name:
        return "tar"
    raise ConfigError(
        f"{where} is neither a folder nor an archive that is known by its name",
        f"Archives end in .zip or in one of {' '.join(_TAR)}.",
    )


def _checked(name: str, where: str) -> str:
    """Refuse names that lead out of where they are unpacked."""
    parts = name.removeprefix("./").replace("\\", "/").split("/")
    if {"", ".", ".."} & set(parts) or "\0" in name:
        raise SourceError(
            f"{where} holds a file named {name!r}, which leads out of its folder",
            "Do not trust this archive; unpack it with care and upload the folder.",
        )
    return name.removeprefix("./")


def _judged(found: Found) -> Found:
    if isinstance(found, LeftOut):
        return found
    parts = found.name.split("/")
    if any(part.startswith(".") or part.lower() in _SYSTEM for part in parts):
        return LeftOut(found.name, HIDDEN)
    if found.size > LARGEST:
        return LeftOut(found.name, TOO_LARGE)
    try:
        found.name.encode()
    except UnicodeEncodeError:
        return LeftOut(found.name, NOT_TEXT)
    return found


def _folder(where: str, *, follow_links: bool) -> Iterator[Found]:
    from featuremill.storage.local import LocalStore

    root = os.path.abspath(where)  # noqa: PTH100  (names are bytes here)
    store = LocalStore(root, follow_links=follow_links)
    for listed in store.list():
        path = paths.decode(listed.path)
        name = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
        if listed.problem:
            yield LeftOut(name, listed.problem)
        else:
            yield Entry(name, listed.size, partial(_content, store, listed.path))


def _content(store: "Store", path: str) -> bytes:
    try:
        return store.fetch(path).data
    except OSError as error:
        raise SourceError(
            f"{path!r} cannot be read: {error.strerror}", "Check its permissions, then repeat."
        ) from error


def _tar(where: str, title: str, agree: Agree) -> Iterator[Found]:
    with _failures(title), _stream(where) as (stream, size):
        plain, unpacked, end = _decompressed(stream), Unpacked(title, size, agree), 0
        with tarfile.open(fileobj=plain, mode="r|", tarinfo=member_of(title)) as tar:
            for count, member in enumerate(tar, start=1):
                # or it would keep a record of each of millions of files
                tar.members.clear()  # type: ignore[attr-defined]
                end = member.offset_data + member.size
                unpacked.check(count, end)
                if not member.isdir():
                    yield _member(tar, member)
        # the checksum of what was compressed stands behind the end of the archive
        while rest := plain.read(1 << 20):
            end += len(rest)
            unpacked.check(0, end)


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Found:
    content = tar.extractfile(member) if member.isfile() else None
    if content is None:
        return LeftOut(member.name, NO_FILE)
    if member.issparse():
        return LeftOut(member.name, SPARSE)
    if member.size > LARGEST:
        return LeftOut(member.name, TOO_LARGE)
    data = _whole(content, member.size)
    return Entry(member.name, len(data), partial(_same, data))


def _whole(content: IO[bytes], size: int) -> bytearray:
    """A file of an archive, held once; ``read()`` holds it three times while it grows."""
    data = bytearray(size)
    room, at = memoryview(data), 0
    while at < size and (count := content.readinto(room[at : at + _BLOCK])):  # type: ignore[attr-defined]
        at += count
    # checksums are compared where the end is seen
    if at < size or content.read(1):
        raise EOFError("a file in it is not as long as it says")
    return data


def _decompressed(stream: io.BufferedReader) -> BinaryIO:
    """A stream without its compression, which is told by its first bytes.

    tarfile's own streams do not notice where compressed data ends too early.
    """
    start = stream.peek(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if start.startswith(b"\xfd7zXZ\0"):
        return io.BufferedReader(Xz(stream), _BLOCK)
    if start.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(stream))
    return stream


def _zip(where: str, title: str, agree: Agree) -> Iterator[Found]:
    with _failures(title), _seekable(where) as file:
        check_directory(file, title)
        yield from _files_of_zip(file, title, agree)


def _files_of_zip(file: BinaryIO, title: str, agree: Agree) -> Iterator[Found]:
    with zipfile.ZipFile(file) as archive:
        found = archive.infolist()
        size = file.seek(0, os.SEEK_END)
        Unpacked(title, size, agree).check(len(found), sum(info.file_size for info in found))
        # in the order in which they lie, so that the file is read from beginning to end
        for info in sorted(found, key=lambda each: each.header_offset):
            if info.is_dir():
                continue
            if info.compress_type not in _METHODS:
                # of these, a few bytes may unpack to gigabytes at once
                raise NotImplementedError(f"{info.filename!r} is compressed by a rare method")
            if info.file_size > LARGEST:
                yield LeftOut(info.filename, TOO_LARGE)
            elif info.external_attr >> 28 == 0xA:
                yield LeftOut(info.filename, NO_FILE)
            else:
                with archive.open(info) as content:
                    data = _whole(content, info.file_size)
                yield Entry(info.filename, len(data), partial(_same, data))


def _same(data: bytearray) -> bytearray:
    return data


@contextmanager
def _stream(where: str) -> Iterator[tuple[io.BufferedReader, int | None]]:
    """A file or what an address gives, and its bytes where they are known."""
    if is_address(where):
        with opened(where) as found:
            yield found
        return
    with open(where, "rb") as stream:
        yield stream, os.fstat(stream.fileno()).st_size


@contextmanager
def _seekable(where: str) -> Iterator[BinaryIO]:
    with ranged(where) if is_address(where) else open(where, "rb") as file:
        yield file


@contextmanager
def _failures(where: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise SourceError(
            f"{where} cannot be read: {error}",
            "It is damaged, or not what its name says: get it again.",
        ) from error
    except (NotImplementedError, RuntimeError) as error:
        # zipfile's words for unknown compression and for a password
        raise SourceError(
            f"{where} cannot be read: {error}", "Unpack it and upload the folder."
        ) from error
    except MemoryError as error:
        raise SourceError(
            f"{where} cannot be read: it asks for more memory than there is",
            "Unpack it and upload the folder.",
        ) from error
    except OSError as error:
        raise SourceError(
            f"{where} cannot be read: {error.strerror or error}",
            "Check the file, its address and the network.",
        ) from error
