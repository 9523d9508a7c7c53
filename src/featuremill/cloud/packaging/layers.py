"""Compresses archives of which the packages, their largest part, are kept in this user's cache.

What comes out is one ordinary gzip member that says nothing about when, where and by whom it was
made. The packages are kept as a piece of its deflate stream, which what is added to them goes on
with.
"""

import hashlib
import json
import shutil
import struct
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

from featuremill.cloud.packaging import dependencies
from featuremill.cloud.packaging.architecture import Architecture
from featuremill.models.download import cache_dir

Files = Iterable[tuple[str, Path]]
"""Names inside an archive, in the order in which they are to be, and where to read them."""

_KEPT = 2
"""Files of a kind that stay in the cache: each has hundreds of megabytes."""
_LEVEL = 4
"""Of zlib: 2 % larger than the usual 6, in half the time."""
_RAW = -15
"""Tells zlib to write neither header nor checksum of its own."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of gzip: deflate, no name, no time, no level, no operating system."""


@dataclass(frozen=True)
class Packages:
    """The packages of an architecture, compressed.

    Parameters
    ----------
    file : Path
        The beginning of an archive: blocks of deflate, without header and end.
    crc : int
        CRC-32 of what they hold.
    size : int
        How much they hold, as a tar file.
    files : int
        How many files that are.
    sizes : mapping
        Name at the archive's top → bytes unpacked.
    """

    file: Path
    crc: int
    size: int
    files: int
    sizes: Mapping[str, int]


def archives_folder() -> Path:
    """Where packages and archives are kept."""
    folder = cache_dir() / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def packages(architecture: Architecture) -> Packages:
    """The packages of an architecture: from the cache, or fetched and compressed.

    Raises
    ------
    CloudError
        If a package cannot be had.
    """
    rules = (Path(str(dependencies.__file__)), Path(__file__))
    digest = hashlib.sha256(architecture.lock.encode())
    for rule in rules:
        digest.update(rule.read_bytes())
    folder = archives_folder()
    file = folder / f"packages-{architecture.machine}-{digest.hexdigest()[:12]}.deflate"
    notes = file.with_suffix(".json")
    if not (file.exists() and notes.exists()):
        with in_its_place(file) as partial:
            made = _made(architecture, partial)
        with in_its_place(notes) as partial:
            partial.write_text(json.dumps(asdict(made), default=str), encoding="utf-8")
        keep_newest(folder, f"packages-{architecture.machine}-*.deflate")
    return Packages(**{**json.loads(notes.read_text(encoding="utf-8")), "file": file})


def _made(architecture: Architecture, target: Path) -> Packages:
    installed = target.with_name("deps")
    dependencies.install(architecture, installed)
    files = list(dependencies.files_needed(installed))
    sizes: Counter[str] = Counter()
    for name, file in files:
        # numpy.libs is part of numpy
        sizes[name.partition("/")[0].removesuffix(".libs")] += file.stat().st_size
    with open(target, "wb") as content:
        packed = _Deflated(content)
        _add(packed, files)
        packed.flush(zlib.Z_SYNC_FLUSH)
    return Packages(target, packed.crc, packed.size, len(files), dict(sizes))


def write_archive(target: Path, beneath: Packages, files: Files) -> None:
    """Write a .tar.gz of packages and further files; the same contents give the same bytes."""
    with open(target, "wb") as content:
        content.write(_HEADER)
        with open(beneath.file, "rb") as beginning:
            shutil.copyfileobj(beginning, content, 1 << 20)
        packed = _Deflated(content, beneath.crc, beneath.size)
        _add(packed, files).close()
        packed.flush(zlib.Z_FINISH)
        content.write(struct.pack("<II", packed.crc, packed.size & 0xFFFF_FFFF))


def _add(packed: "_Deflated", files: Files) -> tarfile.TarFile:
    """A tar file that goes on where another ended, and has no end before it is closed."""
    tar = tarfile.TarFile(
        fileobj=cast(BinaryIO, packed), mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8"
    )
    for name, source in files:
        # neither owner nor time; anybody may read it
        entry = tarfile.TarInfo(name)
        entry.size = source.stat().st_size
        with open(source, "rb") as content:
            tar.addfile(entry, content)
    return tar


class _Deflated:
    """A file to write to that is compressed, and counts and sums what it holds."""

    def __init__(self, file: BinaryIO, crc: int = 0, size: int = 0) -> None:
        self.crc, self.size = crc, size
        self._file, self._squeeze = file, zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)

    def tell(self) -> int:
        return self.size

    def write(self, data: bytes) -> None:
        self.crc = zlib.crc32(data, self.crc)
        self.size += len(data)
        self._file.write(self._squeeze.compress(data))

    def flush(self, mode: int) -> None:
        self._file.write(self._squeeze.flush(mode))


@contextmanager
def in_its_place(file: Path) -> Iterator[Path]:
    """A path in a folder of its own, whose file takes its place when all went well."""
    with tempfile.TemporaryDirectory(prefix=".building-", dir=file.parent) as folder:
        partial = Path(folder) / file.name
        yield partial
        partial.replace(file)


def keep_newest(folder: Path, pattern: str) -> None:
    """Remove all but the newest files of a kind, and their notes."""
    by_age = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
    for file in by_age[:-_KEPT]:
        file.unlink(missing_ok=True)
        file.with_suffix(".json").unlink(missing_ok=True)
