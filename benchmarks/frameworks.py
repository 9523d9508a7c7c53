"""The feature stage of Ray Data, Daft and a PyTorch DataLoader, with our engine in each of them."""

import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.agreement import smallest_cosine
from benchmarks.datasets import CLASSES, subset
from benchmarks.environments import python_of
from benchmarks.measure import FEATUREMILL, SPARK_LOCAL, in_turn, newest_record, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result
from featuremill import load_features

NAME = "frameworks"
TITLE = "Features by Ray Data, Daft and a PyTorch DataLoader, same engine and precision"

OURS, OURS_ON_SPARK = "featuremill", "featuremill, Spark local"
# what a contender is called: its environment, its module in contenders/
OTHERS = {
    "Ray Data": ("ray", "ray_data"),
    "Daft": ("daft", "daft_frame"),
    "PyTorch DataLoader": ("torch", "data_loader"),
}
COLUMNS = (
    *("", "seconds", "images/s", "first to last image, images/s", "peak MB"),
    *("featuremill times faster", "first to last, times faster", "smallest cosine to ours"),
)
NO_REPORTING = {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "1"}


def measure(options: Options) -> Result:
    """Time all of them in turn on the subset."""
    pictures = subset(options, options.subset)
    pythons = {
        name: python_of(environment, options, featuremill=True)
        for name, (environment, _) in OTHERS.items()
    }
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        precision = _precision_of_auto(options, Path(folder, "sample"))
        ours = Path(folder, OURS)
        choices = ["--precision", precision]
        contenders = {
            OURS: partial(_featuremill, options, pictures, ours, choices),
            OURS_ON_SPARK: partial(
                _featuremill, options, pictures, Path(folder, "spark"), [*choices, *SPARK_LOCAL]
            ),
        } | {
            name: partial(
                _other, options, pictures, pythons[name], module, precision, Path(folder, module)
            )
            for name, (_, module) in OTHERS.items()
        }
        rounds = in_turn(contenders, options.rounds)
        features = load_features(str(ours))
        cosines = {
            name: smallest_cosine(features, pd.read_parquet(Path(folder, module)))
            for name, (_, module) in OTHERS.items()
        }
    versions: dict[str, str] = {}
    for name in OTHERS:
        versions |= rounds[0][name]["versions"]
    rows = _rows(rounds, cosines)
    return Result(NAME, TITLE, COLUMNS, rows, _notes(options, precision), rounds, versions)


def _precision_of_auto(options: Options, destination: Path) -> str:
    """What ``--precision auto`` computes in here, seen on one image of each class."""
    arguments = ["--no-reduce", *options.model_arguments()]
    run_measured([FEATUREMILL, "run", subset(options, CLASSES), destination, *arguments])
    counts = newest_record(destination)["precision"]
    return str(max(counts, key=counts.get))


def _featuremill(
    options: Options, pictures: Path, destination: Path, choices: Sequence[str]
) -> dict[str, Any]:
    shutil.rmtree(destination, ignore_errors=True)
    arguments = ["--no-reduce", *choices, *options.model_arguments()]
    measured = run_measured([FEATUREMILL, "run", pictures, destination, *arguments])
    record = newest_record(destination)
    return {
        "images": record["ledger"]["embedded"],
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "span_rate": record["images_per_second"],
    }


def _other(
    options: Options, pictures: Path, python: Path, module: str, precision: str, destination: Path
) -> dict[str, Any]:
    for folder in (destination, destination.with_name(destination.name + ".times")):
        shutil.rmtree(folder, ignore_errors=True)
    command = [python, "-m", f"benchmarks.contenders.{module}", pictures, destination]
    arguments = ["--precision", precision, *options.model_arguments()]
    measured = run_measured([*command, *arguments], env=NO_REPORTING, cwd=HERE.parent)
    answer = measured.answer
    return {
        "images": answer["images"],
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "span_rate": answer["images"] / answer["span"],
        "versions": answer["versions"],
    }


def _rows(
    rounds: Sequence[Mapping[str, Mapping[str, Any]]], cosines: Mapping[str, float]
) -> list[list[Cell]]:
    rows = []
    for name in rounds[0]:
        runs = [answers[name] for answers in rounds]
        of_same_round = [(answers[OURS], answers[name]) for answers in rounds]
        rows.append(
            [
                name,
                statistics.median(run["seconds"] for run in runs),
                statistics.median(run["images"] / run["seconds"] for run in runs),
                statistics.median(run["span_rate"] for run in runs),
                statistics.median(run["peak_bytes"] for run in runs) / 1e6,
                statistics.median(run["seconds"] / ours["seconds"] for ours, run in of_same_round),
                statistics.median(
                    ours["span_rate"] / run["span_rate"] for ours, run in of_same_round
                ),
                cosines.get(name),
            ]
        )
    return rows


def _notes(options: Options, precision: str) -> list[str]:
    return [
        f"{options.subset:,} JPEGs of 100x100 pixels, {precision}, batches of 8, one thread in each"
        " of as many processes as there are cores. All write Parquet with path, label and 1280"
        " float32 features; featuremill also lists with versions, keeps rejects, commits to a Delta"
        " table, accounts for every image and writes its run's record.",
        "Seconds are of whole processes, start-up included. From first to"
        " last image is what remains on a large set; ours counts from the first chunk sent to the"
        " last commit, theirs from the first file read to the last features computed, without the"
        " writing.",
        "Decode, resize and engine are featuremill's own in all of them, so this compares what is"
        " around them.",
    ]
