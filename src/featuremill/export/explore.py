"""Shows results in Apple's Embedding Atlas, an explorer in the browser.

Atlas is a program of its own with heavy dependencies, and nothing of it is imported here: it is
started on a Parquet file and serves its page until it is stopped.
"""

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featuremill._utils.extras import install_command
from featuremill._utils.progress import Progress
from featuremill.dataset.reader import Matrix
from featuremill.dataset.tables import reduced_table
from featuremill.errors import ImageRejected, MissingExtraError, RunError, StorageError
from featuremill.export.results import Results, open_results
from featuremill.images import decode
from featuremill.images.originals import read_original
from featuremill.storage import Store, open_store

PROGRAM = "embedding-atlas"

MOST_PICTURES = 5_000
"""Images handed over with a thumbnail: 15 MB, and some seconds to make them."""

_AXES = ("pc_1", "pc_2", "pc_3")
"""Atlas draws a chart of every column that is no axis; all components would bury the others."""

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""An image as Atlas knows it, which goes by the extension of ``path``."""


def prepare(
    destination: str | os.PathLike[str],
    folder: Path,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Write what Embedding Atlas is to show; returns the command that shows it.

    Parameters
    ----------
    destination : str or path
        Destination of an earlier run.
    folder : Path
        To write to; needed for as long as Atlas runs.
    endpoint_url, region : str, optional
        Endpoint and region of S3.
    progress : Progress, optional
        Is told how far the preparation is.

    Raises
    ------
    MissingExtraError
        If Embedding Atlas is not installed.
    DestinationError
        If the destination holds no features or no PCA.
    """
    program = find_program()
    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    results = open_results(store, endpoint_url=endpoint_url, region=region)
    return [program, *write_data(results, folder, progress or Progress())]


def serve(command: Sequence[str]) -> None:
    """Run Embedding Atlas until it is stopped.

    Raises
    ------
    RunError
        If it fails.
    """
    with subprocess.Popen(command) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # the terminal told both; that is how Atlas is left
            process.wait()
            return
    if code:
        raise RunError(
            f"Embedding Atlas ended with exit code {code}",
            "Read the messages that it printed above.",
        )


def find_program() -> str:
    """Embedding Atlas beside this Python, else anywhere on the path.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if found is None:
        raise MissingExtraError(
            f"Embedding Atlas is not installed: there is no program {PROGRAM}",
            f"Install the extra 'explore': {install_command('explore')}, or the program apart from"
            " featuremill: pipx install embedding-atlas",
        )
    return found


def write_data(results: Results, folder: Path, progress: Progress) -> list[str]:
    """Write what Atlas is to show; returns what it has to be told.

    ``images.parquet`` has a row for each image: label, path, the first components and, where the
    source can be read, a thumbnail. ``labels.parquet`` places each label at the mean of its
    images.

    Parameters
    ----------
    results : Results
        Results of a run with a PCA.
    folder : Path
        To write to.
    progress : Progress
        Is told of every image.
    """
    axes = _AXES[: results.fitted().n_components_]
    schema = pa.schema(
        [
            ("picture", _PICTURE),
            *((name, pa.string()) for name in ("label", "path")),
            *((name, pa.float32()) for name in axes),
        ]
    )
    data, centres = folder / "images.parquet", _Centres()
    total = results.reduced_rows()
    pictures = _Pictures.of_results(results, step=max(1, -(-total // MOST_PICTURES)))
    done = 0
    with pq.ParquetWriter(data, schema) as writer:
        for paths, labels, scores in results.scores():
            columns = [pa.array(column) for column in scores.T[: len(axes)].copy()]
            thumbnails = pictures.of(paths.to_pylist(), done)
            batch = [pa.array(thumbnails, _PICTURE), labels, paths, *columns]
            writer.write_batch(pa.RecordBatch.from_arrays(batch, schema=schema))
            centres.add(labels.to_pylist(), scores)
            done += len(scores)
            progress.advance(done, total)
    places = folder / "labels.parquet"
    pq.write_table(centres.table(), places)
    if not pictures.made:
        progress.warn("no thumbnails: the source of the images cannot be read from here")
    second = axes[1] if len(axes) > 1 else axes[0]
    options = ["--x", axes[0], "--y", second, "--text", "path", "--labels", str(places)]
    return [str(data), *options, *(["--image", "picture"] if pictures.made else [])]


@dataclass
class _Pictures:
    """Thumbnails of every `step`-th image, as long as the source can be read."""

    source: Store | None
    step: int
    versions: Mapping[str, str]
    made: int = 0

    @classmethod
    def of_results(cls, results: Results, step: int) -> "_Pictures":
        """With the versions of the images that get one, which the reduced table lacks."""
        source, wanted, first = results.source(), list[str](), 0
        table = reduced_table(results.store)
        for batch in table.batches(table.files() if source else (), ["path"]):
            wanted += batch["path"][-first % step :: step].to_pylist()
            first += batch.num_rows
        some, versions = pa.array(wanted, pa.string()), dict[str, str]()
        for batch in results.batches(["path", "version"]) if source else ():
            found = batch.filter(pc.is_in(batch["path"], value_set=some))
            versions.update(zip(*(column.to_pylist() for column in found.columns), strict=True))
        return cls(source, step, versions)

    def of(self, paths: Sequence[str], first: int) -> list[dict[str, Any] | None]:
        """One for each path, or None; `first` is the number of the first image."""
        thumbnails: list[dict[str, Any] | None] = [None] * len(paths)
        if self.source is None:
            return thumbnails
        wanted = range(-first % self.step, len(paths), self.step)
        with ThreadPoolExecutor(self.source.read_ahead) as pool:
            made = pool.map(self._thumbnail, (paths[index] for index in wanted))
            for index, jpeg in zip(wanted, made, strict=True):
                if jpeg is not None:
                    thumbnails[index] = {"bytes": jpeg, "path": "thumbnail.jpg"}
                    self.made += 1
        return thumbnails

    def _thumbnail(self, path: str) -> bytes | None:
        source = self.source
        if source is not None:
            # a map without one picture is better than none
            with suppress(OSError, ImageRejected):
                try:
                    return decode.thumbnail(read_original(source, path, self.versions.get(path)))
                except StorageError:
                    self.source = None
        return None


@dataclass
class _Centres:
    """Mean position of the images of each label."""

    sums: dict[str, npt.NDArray[np.float64]] = field(
        default_factory=lambda: defaultdict(lambda: np.zeros(3))
    )

    def add(self, labels: Sequence[str], scores: Matrix) -> None:
        """Count images; `scores` is of shape (n, k), of which two columns matter."""
        places = np.ones((len(scores), 3))
        places[:, 0] = scores[:, 0]
        places[:, 1] = scores[:, min(1, scores.shape[1] - 1)]
        for label, place in zip(labels, places, strict=True):
            self.sums[label] += place

    def table(self) -> pa.Table:
        """As Atlas wants them: ``x``, ``y``, ``text``."""
        means = {label: total / total[2] for label, total in self.sums.items()}
        return pa.table(
            {
                "x": [mean[0] for mean in means.values()],
                "y": [mean[1] for mean in means.values()],
                "text": list(means),
            }
        )
