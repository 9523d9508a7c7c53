"""A .tar.gz that says nothing about when, where and by whom it was made.

It has two parts: the packages, which take long to compress and seldom change, and what is added
to them. The first is kept compressed, as a piece of a deflate stream that the second goes on with,
so that what comes out is one ordinary gzip member.
"""

import os
import shutil
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

Files = Iterable[tuple[str, Path]]
"""Names inside an archive, in the order in which they are to be, and where to read them."""

_BLOCK = 1 << 20
"""Bytes that one thread compresses at a time."""
_WINDOW = 1 << 15
"""Bytes that deflate looks back."""
_LEVEL = 4
"""Of zlib: 2 % larger than the usual 6, in half the time."""
_RAW = -15
"""Tells zlib to write neither header nor checksum of its own."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of gzip: deflate, no name, no time, no level, no operating system."""
_LAST_BLOCK = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW).flush()
_RECORD = 512
_END = bytes(2 * _RECORD)
"""Of a tar file."""
_PERMISSIONS = 0o644


@dataclass(frozen=True)
class Layer:
    """The beginning of an archive, compressed, without header and end.

    Parameters
    ----------
    file : Path
        Blocks of deflate.
    crc : int
        CRC-32 of what they hold.
    size : int
        Bytes that they hold.
    """

    file: Path
    crc: int = 0
    size: int = 0


def write_layer(target: Path, files: Files) -> Layer:
    """Compress files that many archives begin with."""
    with open(target, "wb") as file, _Deflater(file) as packed:
        _add(packed, files)
    return Layer(target, packed.crc, packed.size)


def write_tarball(target: Path, layer: Layer, files: Files) -> None:
    """Write an archive: a layer, and further files.

    The same contents give the same bytes.
    """
    with open(target, "wb") as file:
        file.write(_HEADER)
        with open(layer.file, "rb") as beginning:
            shutil.copyfileobj(beginning, file, _BLOCK)
        with _Deflater(file, layer.crc, layer.size) as packed:
            _add(packed, files)
            packed.write(_END)
        file.write(_LAST_BLOCK)
        file.write(struct.pack("<II", packed.crc, packed.size & 0xFFFF_FFFF))


def _add(packed: "_Deflater", files: Files) -> None:
    for name, source in files:
        entry = tarfile.TarInfo(name)
        entry.size = source.stat().st_size
        entry.mode = _PERMISSIONS
        packed.write(entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
        with open(source, "rb") as content:
            while block := content.read(_BLOCK):
                packed.write(block)
        packed.write(bytes(-entry.size % _RECORD))


class _Deflater:
    """Compresses by all cores: blocks on their own, each knowing the end of the one before.

    Every block ends on a whole byte, and what comes out is the same for any number of cores.

    Parameters
    ----------
    file : file object
        Where blocks are written.
    crc, size : int
        Checksum and bytes of what was compressed before.
    """

    def __init__(self, file: BinaryIO, crc: int = 0, size: int = 0) -> None:
        self.crc = crc
        self.size = size
        self._file = file
        self._cores = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._cores)
        self._pending: deque[Future[bytes]] = deque()
        self._gathered = bytearray()
        self._tail = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._pool:
            if kind is None:
                self._compress(bytes(self._gathered))
                for block in self._pending:
                    self._file.write(block.result())

    def write(self, data: bytes) -> None:
        """Take the next bytes, any number of them."""
        self._gathered += data
        if len(self._gathered) >= _BLOCK:
            self._compress(bytes(self._gathered))
            self._gathered.clear()

    def _compress(self, block: bytes) -> None:
        self.crc = zlib.crc32(block, self.crc)
        self.size += len(block)
        self._pending.append(self._pool.submit(_deflate, block, self._tail))
        self._tail = block[-_WINDOW:]
        while len(self._pending) > 2 * self._cores:
            self._file.write(self._pending.popleft().result())


def _deflate(block: bytes, before: bytes) -> bytes:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, zdict=before)
    return squeeze.compress(block) + squeeze.flush(zlib.Z_SYNC_FLUSH)
