"""The archive that a cluster unpacks: packages, featuremill itself, and weights.

Its name holds a digest of all that goes in, known before anything is built: an archive that is
in the bucket is not built again.
"""

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from featuremill import __version__
from featuremill.cloud.packaging.architecture import Architecture
from featuremill.cloud.packaging.layers import (
    archives_folder,
    in_its_place,
    keep_newest,
    packages,
    write_archive,
)
from featuremill.errors import ConfigError, ModelError
from featuremill.models import registry
from featuremill.models.download import cache_dir, fetch, mirrored

ARCHIVE_NAME = re.compile(r"featuremill-[^-]+-(.+)-(x86_64|arm64)-([0-9a-f]{12})\.tar\.gz")
"""Name of an archive: model, architecture and digest."""
ENTRY_NAME = re.compile(r"featuremill-job-([0-9a-f]{12})\.py")
"""Name of an entry point: digest."""
MANIFEST = "featuremill-archive.json"
"""At the top of the archive."""
WEIGHTS = "featuremill-weights"
"""Folder of the archive for weights: a cache that the job finds filled."""

_DIGITS = 12

ENTRY = '''\
"""Runs featuremill on a cluster: the file to submit, with the arguments of `featuremill run`.

The archive named beside it is unpacked as ./deps, which PYTHONPATH names.
"""

import sys

if sys.version_info[:2] != (3, 11):
    sys.exit(f"error: this is Python {sys.version.split()[0]}, the archive is for 3.11\\n"
             "  Set PYSPARK_PYTHON and PYSPARK_DRIVER_PYTHON to python3.11.")

from featuremill.cli.cluster_job import main

main(sys.argv[1:])
'''


@dataclass(frozen=True)
class Manifest:
    """What an archive says about itself, for the job that runs from it.

    Parameters
    ----------
    version : str
        Of featuremill.
    digest : str
        As in the archive's name.
    machine : str
        What the packages were built for, as Linux calls it.
    model : str
        Whose weights are in it.
    weights : str or None
        The file of weights that was given in place of the published one, from the archive's top.
    """

    version: str
    digest: str
    machine: str
    model: str
    weights: str | None

    def text(self) -> str:
        """Content of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of an unpacked archive; None where the folder is none."""
    file = folder / MANIFEST
    return Manifest(**json.loads(file.read_bytes())) if file.exists() else None


@dataclass(frozen=True)
class Recipe:
    """All that decides what an archive holds.

    Parameters
    ----------
    architecture : Architecture
        Of the machines that will unpack it.
    model : str
        Whose published weights go in, if it has any.
    weights : Path or None
        A Keras .h5 file to put in in their place.
    """

    architecture: Architecture
    model: str = "mobilenetv2"
    weights: Path | None = None

    def check(self) -> None:
        """Refuse weights that the model cannot be built of.

        Raises
        ------
        ConfigError
            If the file of weights is not there.
        ModelError
            If there is no such model, or the weights are of another one.
        """
        registry.get(self.model)
        if self.weights is None:
            return
        if not self.weights.is_file():
            raise ConfigError(
                f"--weights is {self.weights}, which is no file", "Name a Keras .h5 file."
            )
        registry.load(self.model, self.weights)

    @cached_property
    def digest(self) -> str:
        """Of lock, code and weights: equal for archives with equal contents."""
        digest = hashlib.sha256()
        for part in self._parts():
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()[:_DIGITS]

    def _parts(self) -> Iterator[bytes]:
        yield self.architecture.name.encode()
        yield self.architecture.lock.encode()
        yield self.model.encode()
        yield self._weights_sha256().encode()
        yield ENTRY.encode()
        for name, file in code_files():
            yield name.encode()
            yield file.read_bytes()

    def _weights_sha256(self) -> str:
        if self.weights is not None:
            return hashlib.sha256(self.weights.read_bytes()).hexdigest()
        known = registry.get(self.model).weights
        return known.sha256 if isinstance(known, registry.Published) else ""

    @property
    def archive(self) -> str:
        """File name of the archive."""
        what = f"{__version__}-{self.model}-{self.architecture.name}"
        return f"featuremill-{what}-{self.digest}.tar.gz"

    @property
    def entry(self) -> str:
        """File name of the entry point that belongs to the archive."""
        return f"featuremill-job-{self.digest}.py"

    def weights_file(self) -> Path | None:
        """The weights to pack beside the code, fetched if they are not in the cache.

        None where there are none, or they are part of the code.

        Raises
        ------
        ModelError
            If they have to be fetched and cannot be.
        """
        published = registry.get(self.model).weights
        if self.weights is not None or not isinstance(published, registry.Published):
            return self.weights
        kept = cache_dir() / published.file
        try:
            return fetch(mirrored(published.url), kept, published.sha256, published.size)
        except ModelError as error:
            raise ModelError(
                f"The weights of {self.model} go into the archive, but {error.problem}",
                error.remedy,
            ) from error


@dataclass(frozen=True)
class Built:
    """An archive on this machine, with its entry point.

    Parameters
    ----------
    archive, entry : Path
        The files.
    unpacked : int
        Bytes of the archive's contents.
    files : int
        How many are in it.
    sizes : mapping
        Name at the archive's top → bytes unpacked.
    """

    archive: Path
    entry: Path
    unpacked: int
    files: int
    sizes: Mapping[str, int]


def code_files() -> Iterator[tuple[str, Path]]:
    """The files of featuremill as it is installed here, sorted by name."""
    # what the command line loads for its help must not load Arrow
    from featuremill.report.page import plotly_js

    package = Path(__file__).parents[2]
    files = {
        file.relative_to(package.parent).as_posix(): file
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    drawing = plotly_js()
    files[f"{package.name}/report/script/{drawing.name}"] = drawing
    yield from sorted(files.items())


def build(recipe: Recipe) -> Built:
    """Build an archive, of packages from the cache where they are there.

    Raises
    ------
    CloudError
        If a package cannot be had.
    ModelError
        If the weights cannot be had.
    """
    folder = archives_folder()
    archive, entry = folder / recipe.archive, folder / recipe.entry
    # first what may be refused at once
    weights = recipe.weights_file()
    beneath = packages(recipe.architecture)
    with in_its_place(archive) as partial:
        added = _added(recipe, weights, partial.parent)
        sizes = Counter(beneath.sizes)
        for name, file in added:
            sizes[name.partition("/")[0]] += file.stat().st_size
        write_archive(partial, beneath, added)
    entry.write_text(ENTRY, encoding="utf-8")
    keep_newest(folder, f"featuremill-*-{recipe.architecture.name}-*.tar.gz")
    return Built(archive, entry, sizes.total(), beneath.files + len(added), dict(sizes))


def _added(recipe: Recipe, weights: Path | None, folder: Path) -> list[tuple[str, Path]]:
    """What comes on top of the packages: the code, the weights, and a label."""
    packed = f"{WEIGHTS}/{weights.name}" if weights else None
    manifest = Manifest(
        version=__version__,
        digest=recipe.digest,
        machine=recipe.architecture.machine,
        model=recipe.model,
        # published weights are found as in any cache; a file of the user's own has to be named
        weights=packed if recipe.weights else None,
    )
    label = folder / MANIFEST
    label.write_text(manifest.text(), encoding="utf-8")
    named = [(packed, weights)] if packed and weights else []
    return [*code_files(), (MANIFEST, label), *named]


def copy_to(built: Built, folder: Path) -> Built:
    """Put archive and entry point into a folder of the user's choice."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = Path(shutil.copyfile(built.archive, folder / built.archive.name))
    entry = Path(shutil.copyfile(built.entry, folder / built.entry.name))
    return replace(built, archive=archive, entry=entry)
