"""Large photos: decode and resize against Pillow alone, and what that does to the features."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.agreement import smallest_cosine
from benchmarks.contenders.photo_pixels import WAYS
from benchmarks.datasets import large_photos
from benchmarks.measure import in_turn, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result
from featuremill.models import registry
from featuremill.models.engines import open_engine

NAME = "large_photos"
TITLE = "Large photos: decode and resize against Pillow alone"
COLUMNS = (
    *("", "photos", "Pillow images/s", "auto images/s", "times faster", "smallest cosine"),
    *("fp32 images/s", "times faster", "smallest cosine"),
)


def measure(options: Options) -> Result:
    """Rates in one process each, in turn; then the features of all ways' pixels, in fp32."""
    folders = sorted(large_photos(options).iterdir())
    rounds = in_turn({way: partial(_rates, options, way, folders) for way in WAYS}, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(options, folder, rounds) for folder in folders],
        notes=[
            "One process, one thread, files in memory; from JPEG bytes to 224x224 pixels. Photos"
            " are drawn, with a camera's proportions and grain.",
            "fp32 decodes every pixel; auto decodes at 1/2, 1/4 or 1/8 where four times the"
            " network's input size is left.",
            "The cosine is of the features, computed in fp32, to those of Pillow's pixels"
            + ("." if options.weights else "; random weights hide differences."),
        ],
        measurements=rounds,
    )


def _rates(options: Options, way: str, folders: Sequence[Path]) -> Mapping[str, float]:
    script = [sys.executable, "-m", "benchmarks.contenders.photo_pixels", way, *folders]
    seconds = ["--seconds", "0.5"] if options.quick else []
    answer = run_measured([*script, *seconds], cwd=HERE.parent).answer
    return {Path(folder).name: rate for folder, rate in answer.items()}


def _row(
    options: Options, folder: Path, rounds: Sequence[Mapping[str, Mapping[str, float]]]
) -> list[Cell]:
    name = folder.name
    features = {way: _features(options, folder, way) for way in WAYS}
    cells: list[Cell] = [name.replace("-", " ").lstrip("0"), len(features["pillow"])]
    cells.append(statistics.median(answers["pillow"][name] for answers in rounds))
    for way in ("auto", "fp32"):
        cells += [
            statistics.median(answers[way][name] for answers in rounds),
            statistics.median(answers[way][name] / answers["pillow"][name] for answers in rounds),
            smallest_cosine(features[way], features["pillow"]),
        ]
    return cells


def _features(options: Options, folder: Path, way: str) -> pd.DataFrame:
    network = registry.load(options.model, options.weights)
    paths = sorted(folder.rglob("*.jpg"))
    pixels = np.stack([WAYS[way](path.read_bytes()) for path in paths])
    features = open_engine(network, "fp32").embed(pixels)
    return pd.DataFrame({"path": list(map(str, paths)), "features": list(features)})
