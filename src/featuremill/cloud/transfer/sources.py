"""What `cloud upload` takes: a folder, an archive, an address of one, or a known name.

Archives are read from beginning to end and never unpacked on disk. A zip at an address is read
by ranges, because its table of contents stands at its end; a server that gives no ranges is
refused with what to do instead. What an archive may cost is bounded: see
:mod:`featuremill.storage.archive_bounds`.
"""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Literal, cast

from featuremill._utils import paths
from featuremill.cloud.stack.project_file import ESTIMATE_FILE, FILE
from featuremill.cloud.transfer.https import is_address, opened, ranged
from featuremill.cloud.transfer.included import NOT_INCLUDED, Included
from featuremill.cloud.transfer.known import KNOWN
from featuremill.errors import ConfigError, SourceError
from featuremill.storage.archive_bounds import Agree, Unpacked, Xz, check_directory, member_of
from featuremill.storage.ignored_files import is_of_system

if TYPE_CHECKING:
    from featuremill.storage import Store

LARGEST = 256 << 20
"""Bytes of the largest file that is sent; whatever is larger is no picture."""

HIDDEN = "hidden or a system's own"
TOO_LARGE = f"larger than {LARGEST >> 20} MiB"
NO_FILE = "a link or a device"
NOT_TEXT = "a name that is not UTF-8"
SPARSE = "a sparse file"

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
Wanted = Callable[[str], bool]
"""Asked of each name in a source, before what has it is read."""


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
    include : tuple of str
        Globs over the path below the source, one of which a file must match; all if empty.
    """

    where: str
    kind: Literal["folder", "tar", "zip"]
    strip: int = 0
    follow_links: bool = False
    include: tuple[str, ...] = ()

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
            If the source cannot be read, a name leads out of it, it would take too much memory,
            going on is not agreed to, or a pattern of ``include`` matches nothing.
        """
        included = Included(self.include)

        def wanted(name: str) -> bool:
            return included(self._below(name))

        for each in self._found(agree, wanted):
            if below := self._below(_checked(each.name, self.title)):
                yield self._judged(replace(each, name=below))
        included.check(self.title)

    def _below(self, name: str) -> str:
        return "/".join(name.removeprefix("./").split("/")[self.strip :])

    def _found(self, agree: Agree, wanted: Wanted) -> Iterator[Found]:
        if self.kind == "folder":
            return _folder(self.where, wanted, follow_links=self.follow_links)
        return {"tar": _tar, "zip": _zip}[self.kind](self.where, self.title, agree, wanted)

    def _judged(self, found: Found) -> Found:
        """The same, or that it is not to be sent."""
        if isinstance(found, LeftOut):
            return found
        try:
            below = paths.encode(found.name.encode())
        except UnicodeEncodeError:
            return LeftOut(found.name, NOT_TEXT)
        # a photo library's name tells what of it are originals
        of_stack = found.name.rpartition("/")[2] in (FILE, ESTIMATE_FILE)
        if of_stack or is_of_system(below, Path(self.where).name):
            return LeftOut(found.name, HIDDEN)
        return LeftOut(found.name, TOO_LARGE) if found.size > LARGEST else found


def open_source(where: str, *, follow_links: bool = False, include: tuple[str, ...] = ()) -> Source:
    """Tell what a source is, from its name and the disk alone.

    Parameters
    ----------
    where : str
        A path, an address or a known name.
    follow_links : bool
        Whether links of a folder may lead out of it.
    include : tuple of str
        As for :class:`Source`.

    Raises
    ------
    ConfigError
        If it is no folder, no archive and no known name.
    """
    if not where:
        raise ConfigError("SRC is empty", "Name a folder; the current one is `.`.")
    if where in KNOWN and not Path(where).exists():
        data_set = KNOWN[where]
        kind = _kind(data_set.address, where)
        return Source(data_set.address, kind, data_set.strip, include=include)
    if "://" in where and not is_address(where):
        raise ConfigError(
            f"{paths.without_secrets(where)} is no https address, or it holds a password",
            "Take its https address, or download it and name it.",
        )
    if is_address(where):
        kind = _kind(where.partition("?")[0].partition("#")[0], where)
        return Source(where, kind, include=include)
    path = Path(where)
    try:
        folder, file = path.is_dir(), path.is_file()
    except OSError as error:
        # such as a name that no file system takes
        raise ConfigError(
            f"{where[:80]!r}… cannot be looked at: {error.strerror}", "Name a folder or an archive."
        ) from error
    if folder:
        return Source(where, "folder", follow_links=follow_links, include=include)
    if not file:
        known = "; ".join(f"{name} ({each.about})" for name, each in KNOWN.items())
        raise ConfigError(
            f"{where} does not exist",
            f"Name a folder, a zip or tar archive, an https address of one, or: {known}.",
        )
    return Source(where, _kind(where, where), include=include)


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


def _folder(where: str, wanted: Wanted, *, follow_links: bool) -> Iterator[Found]:
    from featuremill.storage.local import LocalStore

    root = os.path.abspath(where)  # noqa: PTH100  (names are bytes here)
    store = LocalStore(root, follow_links=follow_links)
    for listed in store.list():
        path = paths.decode(listed.path)
        name = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
        if not wanted(name):
            yield LeftOut(name, NOT_INCLUDED)
        elif listed.problem:
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


def _tar(where: str, title: str, agree: Agree, wanted: Wanted) -> Iterator[Found]:
    with _failures(title), _stream(where) as (stream, size):
        plain, unpacked, end = _decompressed(stream), Unpacked(title, size, agree), 0
        with tarfile.open(fileobj=plain, mode="r|", tarinfo=member_of(title)) as tar:
            for count, member in enumerate(tar, start=1):
                # or it would keep a record of each of millions of files
                tar.members.clear()  # type: ignore[attr-defined]
                end = member.offset_data + member.size
                unpacked.check(count, end)
                if not member.isdir():
                    other = LeftOut(member.name, NOT_INCLUDED)
                    yield _member(tar, member) if wanted(member.name) else other
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


def _zip(where: str, title: str, agree: Agree, wanted: Wanted) -> Iterator[Found]:
    with _failures(title), _seekable(where) as file:
        check_directory(file, title)
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
            size = file.seek(0, os.SEEK_END)
            Unpacked(title, size, agree).check(len(found), sum(info.file_size for info in found))
            # in the order in which they lie, so that the file is read from beginning to end
            for info in sorted(found, key=lambda each: each.header_offset):
                if not info.is_dir():
                    other = LeftOut(info.filename, NOT_INCLUDED)
                    yield _member_of_zip(archive, info) if wanted(info.filename) else other


def _member_of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Found:
    if info.compress_type not in _METHODS:
        # of these, a few bytes may unpack to gigabytes at once
        raise NotImplementedError(f"{info.filename!r} is compressed by a rare method")
    if info.file_size > LARGEST:
        return LeftOut(info.filename, TOO_LARGE)
    if info.external_attr >> 28 == 0xA:
        return LeftOut(info.filename, NO_FILE)
    with archive.open(info) as content:
        data = _whole(content, info.file_size)
    return Entry(info.filename, len(data), partial(_same, data))


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
    except (*_DAMAGED, NotImplementedError, RuntimeError, MemoryError, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        if isinstance(error, _DAMAGED):
            remedy = "It is damaged, or not what its name says: get it again."
        elif isinstance(error, OSError):
            remedy = "Check the file, its address and the network."
        else:
            # unknown compression and a password in zipfile's words, or too little memory
            remedy = "Unpack it and upload the folder."
        if isinstance(error, MemoryError):
            said = "it asks for more memory than there is"
        raise SourceError(f"{where} cannot be read: {said}", remedy) from error
