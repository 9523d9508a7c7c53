"""What ``featuremill estimate`` predicts for the whole set, beside what the run then takes."""

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

NAME = "estimate"
TITLE = "featuremill estimate against the run it predicts"

PREDICTED, ACTUAL = "estimate", "run"
COLUMNS = ("", "predicted", "actual", "predicted / actual")

_OUTPUTS = {
    "features": "features",
    "reduced": "reduced",
    "csv": "csv",
    "report": "report.html",
    "model": "model",
}


def measure(options: Options) -> Result:
    """Predict, run, and compare, in turn."""
    pictures = fruits(options)
    contenders = {
        PREDICTED: partial(_predict, options, pictures),
        ACTUAL: partial(_run, options, pictures),
    }
    rounds = in_turn(contenders, options.rounds)
    sample = rounds[0][PREDICTED]["sample"]
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(name, rounds) for name in rounds[0][ACTUAL]["figures"]],
        notes=[
            f"Predicted from a sample of {sample:,} of {options.images:,} images, and then run.",
            "Total: of the run, its whole process; of the estimate, from its call to its end, which"
            " leaves out the start of the interpreter.",
            "The estimate itself took"
            f" {statistics.median(answers[PREDICTED]['seconds'] for answers in rounds):.0f} s.",
        ],
        measurements=rounds,
    )


def _predict(options: Options, pictures: Path) -> Mapping[str, Any]:
    measured = run_measured(
        [FEATUREMILL, "estimate", pictures, "--json", *options.model_arguments()]
    )
    answer = measured.answer
    stages = {f"{name} s": answer["seconds"][name] for name in ("features", "reduce", "write")}
    sizes = {f"{name} MB": answer["output_bytes"][name] / 1e6 for name in _OUTPUTS}
    return {
        "seconds": measured.seconds,
        "sample": answer["sample"],
        "figures": {
            "total s": answer["seconds"]["total"],
            **stages,
            "peak MB": answer["peak_bytes"] / 1e6,
            **sizes,
        },
    }


def _run(options: Options, pictures: Path) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        measured = run_measured([FEATUREMILL, "run", pictures, folder, *options.model_arguments()])
        seconds = newest_record(Path(folder))["seconds"]
        sizes = {f"{name} MB": _size(Path(folder, at)) / 1e6 for name, at in _OUTPUTS.items()}
    return {
        "figures": {
            "total s": measured.seconds,
            "features s": seconds["extract"],
            "reduce s": seconds["reduce"],
            "write s": seconds["write"],
            "peak MB": measured.peak_bytes / 1e6,
            **sizes,
        }
    }


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())


def _row(name: str, rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Cell]:
    pairs = [
        (answers[PREDICTED]["figures"][name], answers[ACTUAL]["figures"][name])
        for answers in rounds
    ]
    return [
        name,
        statistics.median(predicted for predicted, _ in pairs),
        statistics.median(actual for _, actual in pairs),
        statistics.median(predicted / actual for predicted, actual in pairs),
    ]
