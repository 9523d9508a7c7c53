"""What the contenders that use our engine share: paths in, features out, and an account of time."""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featuremill._utils import hardware
from featuremill.images import decode
from featuremill.images.decode import Limits
from featuremill.models import registry
from featuremill.models.engines import BATCH, open_engine

LIMITS = Limits()
ROWS_PER_CALL = 8 * BATCH
"""Rows that a framework should hand over at a time: enough to make a call cheap, and whole batches
for the engine."""


@dataclass(frozen=True)
class Job:
    """What a contender is asked to do.

    Parameters
    ----------
    source, dest : Path
        Folder of pictures; folder for Parquet files with path, label and features.
    model, precision : str
        As ``featuremill run`` takes them.
    weights : Path, optional
        Keras .h5 file.
    cores : int
        How many processes should embed, each on one thread.
    times : Path
        Folder where every process notes when it embedded its first and its last image.
    """

    source: Path
    dest: Path
    model: str
    precision: str
    weights: Path | None
    cores: int
    times: Path

    def paths(self) -> list[str]:
        """The pictures, sorted."""
        return sorted(map(str, self.source.rglob("*.jpg")))

    def report(self, images: int, *packages: str) -> None:
        """Print the line that the benchmark reads."""
        spans = [json.loads(path.read_text()) for path in self.times.iterdir()]
        answer = {
            "images": images,
            "span": max(last for _, last in spans) - min(first for first, _ in spans),
            "versions": {name: metadata.version(name) for name in packages},
        }
        print(json.dumps(answer))


class Embedder:
    """Reads, decodes, resizes and embeds on one thread, as featuremill's own tasks do."""

    def __init__(self, job: Job) -> None:
        network = registry.load(job.model, job.weights)
        self._size = network.input_size
        self._engine = open_engine(network, job.precision)
        # what compiles at its first use does so now, as featuremill's probe has it
        gray = np.full((100, 100, 3), 128, np.uint8)
        self._engine.embed(decode.resize(gray, self._size)[np.newaxis])
        self._times = job.times / f"{os.getpid()}.json"
        self._first = 0.0

    def embed(self, paths: Sequence[str]) -> npt.NDArray[np.float32]:
        """Features of files, shape (len(paths), n_features)."""
        self._first = self._first or time.time()
        batches = [paths[low : low + BATCH] for low in range(0, len(paths), BATCH)]
        features = np.concatenate(
            [self._engine.embed(pixels_of(batch, self._size)) for batch in batches]
        )
        self._times.write_text(json.dumps([self._first, time.time()]))
        return features


def pixels_of(paths: Sequence[str], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Files read, decoded and resized, shape (len(paths), *size, 3)."""
    decoded = (decode.decode(Path(path).read_bytes(), LIMITS, size).pixels for path in paths)
    return np.stack([decode.resize(rgb, size) for rgb in decoded])


def label_of(path: str) -> str:
    """The name of the folder that a picture lies in."""
    return path.rsplit("/", 2)[-2]


def read_job(description: str | None) -> Job:
    """The job on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", type=Path)
    given = vars(parser.parse_args())
    given["dest"].mkdir()
    times = given["dest"].with_name(given["dest"].name + ".times")
    times.mkdir()
    return Job(**given, cores=hardware.usable_cores(), times=times)
