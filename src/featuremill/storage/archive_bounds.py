"""What an archive may cost before somebody agrees to it, or at all.

Two megabytes can be a header of two gigabytes, 300,000 files or a terabyte of zeros. What would
take memory is refused; what only takes time and money is asked about.
"""

import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from featuremill.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Agree = Callable[[str], bool]
"""Asked whether to do what a sentence says."""

MOST_FILES = 250_000
MOST_BYTES = 100 << 30
MOST_TIMES = 100
"""How many times its own size an archive may unpack to; pictures hardly get smaller."""
FROM_BYTES = 256 << 20
"""Unpacked bytes up to which it may be any number of times."""

LARGEST_HEADER = 1 << 20
"""Bytes of a tar's extended header: names, times, and what programs note beside them."""
LARGEST_DIRECTORY = 32 << 20
"""Bytes of a zip's table of contents, which is held whole: some 350,000 files."""
_MOST_HEADERS = 8
"""Extended headers before one file; four are usual."""
_XZ_MEMORY = 128 << 20
"""Bytes: twice what `xz -9` needs."""

_UNPACK = "Do not trust this archive; unpack it with care and upload the folder."
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_FILES, _SIZE_OF_DIRECTORY = 4, 5
"""Where zipfile keeps them of the record at a zip's end."""


@dataclass
class Unpacked:
    """How much has come out of an archive, and what was agreed to.

    Parameters
    ----------
    where : str
        The archive, for people.
    size : int or None
        Its bytes; None where its server does not tell.
    agree : callable
        Asked once, when the first bound is reached.
    """

    where: str
    size: int | None
    agree: Agree
    agreed: bool = False

    def check(self, files: int, unpacked: int) -> None:
        """Ask, where an archive that has so much in it is more than is usual.

        Raises
        ------
        SourceError
            If that is not agreed to.
        """
        if self.agreed:
            return
        much = self._much(files, unpacked)
        if not much:
            return
        if not self.agree(f"{self.where} {much}. Go on?"):
            raise SourceError(
                f"{self.where} {much}",
                "If that is right, say --yes; otherwise unpack it and upload the folder.",
            )
        self.agreed = True

    def _much(self, files: int, unpacked: int) -> str:
        if files > MOST_FILES:
            return f"holds more than {MOST_FILES:,} files, each a request that S3 charges"
        if unpacked > MOST_BYTES:
            return f"unpacks to more than {MOST_BYTES >> 30} GiB"
        if self.size is not None and unpacked > max(FROM_BYTES, MOST_TIMES * self.size):
            return f"unpacks to more than {MOST_TIMES} times its {self.size:,} bytes"
        return ""


def member_of(where: str) -> type[tarfile.TarInfo]:
    """What tarfile makes of each header of one archive, with those refused that take memory."""

    class Member(tarfile.TarInfo):
        """A header; tarfile would read whole what belongs to it."""

        of_all, in_a_row = 0, 0

        def _proc_member(self, archive: tarfile.TarFile) -> Self | tarfile.TarInfo:
            # where tarfile says that a subclass may come in; how it gets there differs by version
            kind, extended = type(self), self.type in _EXTENDED
            kind.in_a_row = kind.in_a_row + 1 if extended else 0
            if self.type == tarfile.XGLTYPE:
                # these hold for all files after them, and are kept
                kind.of_all += self.size
            if extended and max(self.size, kind.of_all) > LARGEST_HEADER:
                raise SourceError(
                    f"{where} has a header of {max(self.size, kind.of_all):,} bytes, more than"
                    f" {LARGEST_HEADER:,}",
                    _UNPACK,
                )
            if kind.in_a_row > _MOST_HEADERS:
                raise SourceError(
                    f"{where} has more than {_MOST_HEADERS} headers before one file", _UNPACK
                )
            if self.type == tarfile.GNUTYPE_SPARSE and self._sparse_structs[1]:  # type: ignore[attr-defined]
                # the map goes on after the header
                raise _sparse()
            found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
            return found

        def _proc_gnusparse_10(self, *_: object) -> None:
            raise _sparse()

    def _sparse() -> SourceError:
        # its map may be as long as the archive, and is read whole
        return SourceError(f"{where} holds a sparse file in many pieces", _UNPACK)

    return Member


def check_directory(file: BinaryIO, where: str) -> int:
    """Refuse a zip whose table of contents would take too much memory.

    Returns
    -------
    int
        How many files the zip says to hold, which wraps at 65,536 in some; 0 if it is no zip.

    Raises
    ------
    SourceError
        If it would.
    """
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    file.seek(0)
    if end and end[_SIZE_OF_DIRECTORY] > LARGEST_DIRECTORY:
        raise SourceError(
            f"{where} has a table of contents of {end[_SIZE_OF_DIRECTORY]:,} bytes, more than"
            f" {LARGEST_DIRECTORY:,}",
            "Unpack it and upload the folder, or make several archives of it.",
        )
    return end[_FILES] if end else 0


class Xz(io.RawIOBase):
    """What an .xz file unpacks to; lzma's own reader takes as much memory as the file asks for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        self._begun = False

    def readable(self) -> bool:
        """It can be read, from beginning to end."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Unpack as much as fits, or less."""
        room = memoryview(buffer)
        while True:
            data = b""
            if self._unpacker.eof:
                # another stream may follow, after zeros
                data = self._unpacker.unused_data.lstrip(b"\0")
                while not data:
                    more = self._next()
                    if not more:
                        return 0
                    data = more.lstrip(b"\0")
                self._unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self._unpacker.needs_input:
                data = self._next()
                if not data:
                    raise EOFError("the archive ends too early")
            found = self._unpacked(data, len(room))
            if found:
                room[: len(found)] = found
                return len(found)

    def _unpacked(self, data: bytes, most: int) -> bytes:
        try:
            return self._unpacker.decompress(data, most)
        except lzma.LZMAError as error:
            if "emory" not in str(error):
                raise
            raise SourceError(
                f"the .xz archive asks for more than {_XZ_MEMORY >> 20} MiB of memory to unpack it",
                "Pack it again with `xz -9` or less, or unpack it and upload the folder.",
            ) from error

    def _next(self) -> bytes:
        return self._stream.read(1 << 16)
