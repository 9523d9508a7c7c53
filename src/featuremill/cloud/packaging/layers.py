"""The packages of an architecture, compressed once and kept in this user's cache."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from featuremill.cloud.packaging import dependencies, elf, tarball
from featuremill.cloud.packaging.architecture import Architecture
from featuremill.cloud.packaging.tarball import Layer, write_layer
from featuremill.models.download import cache_dir

_KEPT = 2
"""Files of a kind that stay in the cache: each has hundreds of megabytes."""
_RULES = (dependencies, elf, tarball)
"""Modules that decide what becomes of the packages."""


@dataclass(frozen=True)
class Packages:
    """Compressed packages, and what is known about them.

    Parameters
    ----------
    layer : Layer
        Their files, as the beginning of an archive.
    sizes : mapping
        Name at the archive's top → bytes unpacked.
    files, binaries : int
        How many.
    glibc : tuple of (int, int)
        The oldest C library that all binaries run with.
    """

    layer: Layer
    sizes: Mapping[str, int]
    files: int
    binaries: int
    glibc: tuple[int, int]


def archives_folder() -> Path:
    """Where layers and archives are kept."""
    folder = cache_dir() / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def packages(architecture: Architecture) -> Packages:
    """The packages of an architecture: from the cache, or fetched, checked and compressed.

    Raises
    ------
    CloudError
        If a package cannot be had, or would not run on the cluster.
    """
    digest = hashlib.sha256(architecture.lock.encode())
    for module in _RULES:
        digest.update(Path(str(module.__file__)).read_bytes())
    folder = archives_folder()
    file = folder / f"packages-{architecture.machine}-{digest.hexdigest()[:12]}.deflate"
    notes = file.with_suffix(".json")
    if file.exists() and notes.exists():
        return _read(notes, file)
    with in_its_place(file) as partial:
        made = _make(architecture, partial)
    with in_its_place(notes) as partial:
        partial.write_text(json.dumps(asdict(made), default=str), encoding="utf-8")
    keep_newest(folder, f"packages-{architecture.machine}-*.deflate")
    return _read(notes, file)


def _make(architecture: Architecture, target: Path) -> Packages:
    installed = target.with_name("deps")
    dependencies.install(architecture, installed)
    files = list(dependencies.files_needed(installed))
    checked = dependencies.check(files, architecture)
    sizes: Counter[str] = Counter()
    for name, file in files:
        # numpy.libs is part of numpy
        sizes[name.partition("/")[0].removesuffix(".libs")] += file.stat().st_size
    layer = write_layer(target, files)
    return Packages(layer, dict(sizes), len(files), checked.binaries, checked.glibc)


def _read(notes: Path, file: Path) -> Packages:
    noted = json.loads(notes.read_text(encoding="utf-8"))
    noted["layer"] = Layer(file, noted["layer"]["crc"], noted["layer"]["size"])
    noted["glibc"] = tuple(noted["glibc"])
    return Packages(**noted)


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
