"""How much sooner the whole job is done with the network that ships with featuremill."""

import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.datasets import fruits
from benchmarks.measure import FEATUREMILL, in_turn, newest_record, run_measured
from benchmarks.options import Options
from benchmarks.results import Cell, Result

NAME = "embedded"
TITLE = "Whole job: embedded against MobileNetV2"

OURS = "embedded"
COLUMNS = (
    "",
    "images",
    "seconds",
    "images/s",
    "feature stage images/s",
    "precision",
    "peak MB",
    "times faster",
)


def measure(options: Options) -> Result:
    """The whole job on the whole set by both networks, in turn."""
    pictures = fruits(options)
    contenders = {
        options.model: partial(_run, options, pictures, options.model_arguments()),
        OURS: partial(_run, options, pictures, ["--model", OURS]),
    }
    rounds = in_turn(contenders, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(rounds, name, options) for name in contenders],
        notes=[
            "Seconds, memory and their ratio are of whole processes, from the start of Python to"
            " the report; precision auto for both, at 224x224 and 96x96 pixels.",
        ],
        measurements=rounds,
    )


def _run(options: Options, pictures: Path, model: Sequence[str]) -> Mapping[str, Any]:
    destination = Path(tempfile.mkdtemp(dir=options.data))
    try:
        measured = run_measured([FEATUREMILL, "run", pictures, destination, *model])
        record = newest_record(destination)
    finally:
        shutil.rmtree(destination)
    return {
        "seconds": measured.seconds,
        "peak bytes": measured.peak_bytes,
        "precision": max(record["precision"], key=record["precision"].get),
        "stage": record["images_per_second"],
    }


def _row(
    rounds: Sequence[Mapping[str, Mapping[str, Any]]], name: str, options: Options
) -> list[Cell]:
    runs = [answers[name] for answers in rounds]
    seconds = statistics.median(run["seconds"] for run in runs)
    ratios = [answers[options.model]["seconds"] / answers[name]["seconds"] for answers in rounds]
    return [
        name,
        options.images,
        seconds,
        options.images / seconds,
        statistics.median(run["stage"] for run in runs),
        ", ".join(sorted({run["precision"] for run in runs})),
        max(run["peak bytes"] for run in runs) / 1e6,
        statistics.median(ratios),
    ]
