"""How soon the first features are safe, and how soon a run knows that nothing is new."""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.datasets import fruits, subset
from benchmarks.measure import (
    FEATUREMILL,
    SPARK_LOCAL,
    BenchmarkError,
    in_turn,
    newest_record,
    run_measured,
)
from benchmarks.options import Options
from benchmarks.results import Cell, Result

NAME = "startup"
TITLE = "Start-up: the first features, and a run with nothing new"

FIRST, SECOND = "first run", "second run"
KINDS: dict[str, list[str]] = {"": [], ", Spark local": SPARK_LOCAL}
COLUMNS = ("", "images", "seconds", "least", "most")

_STAGES = {
    "process": "whole process",
    "extract": "list and compare",
    "reduce": "PCA and reduced table",
    "write": "report",
}


def measure(options: Options) -> Result:
    """A first run on a subset, and a second one over the whole set, in turn."""
    some, everything = subset(options, options.subset), fruits(options)
    finished = _finished(options, everything)
    contenders = {}
    for kind, choices in KINDS.items():
        contenders[FIRST + kind] = partial(_first, options, some, choices)
        contenders[SECOND + kind] = partial(_second, options, everything, finished, choices)
    rounds = in_turn(contenders, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [row for kind in KINDS for row in _rows(rounds, kind)],
        notes=[
            "From the start of the process; the first two by the times that the files themselves"
            f" bear, on a subset of {options.subset:,}. Images: in that file, in that commit.",
            "The rest of the whole process is start and end: of Python, and of Spark where it is"
            " needed. A run with nothing new keeps the PCA it finds.",
        ],
        measurements=rounds,
    )


def _rows(rounds: Sequence[Mapping[str, Mapping[str, Any]]], kind: str) -> list[list[Cell]]:
    first, second = FIRST + kind, SECOND + kind
    return [
        _row(rounds, first, f"first feature file on disk{kind}", "file"),
        _row(rounds, first, f"first chunk committed{kind}", "commit"),
        *(
            _row(rounds, second, f"nothing new: {label}{kind}", key)
            for key, label in _STAGES.items()
            if key in rounds[0][second]
        ),
    ]


def _first(options: Options, pictures: Path, choices: Sequence[str]) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        # files bear wall-clock times
        started = time.time()
        run_measured([*_command(options, pictures, Path(folder)), "--no-reduce", *choices])
        features = Path(folder, "features")
        first = min(features.rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
        commit, added = _first_commit(features)
        name = first.relative_to(features).as_posix()
        return {
            "file": first.stat().st_mtime - started,
            "file images": added[name],
            "commit": commit.stat().st_mtime - started,
            "commit images": sum(added.values()),
        }


def _first_commit(features: Path) -> tuple[Path, dict[str, int]]:
    """The first commit that names files, and the rows of each."""
    for commit in sorted((features / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        added = [action["add"] for action in actions if "add" in action]
        if added:
            return commit, {add["path"]: json.loads(add["stats"])["numRecords"] for add in added}
    raise BenchmarkError(f"no commit in {features} names a file")


def _second(
    options: Options, pictures: Path, finished: Path, choices: Sequence[str]
) -> Mapping[str, Any]:
    measured = run_measured([*_command(options, pictures, finished), *choices])
    record = newest_record(finished)
    done = record["ledger"]["already_done"]
    if done != options.images:
        raise BenchmarkError(
            f"a second run found {done} of {options.images} images done: remove {finished}"
        )
    stages = record["seconds"]
    return {
        "process": measured.seconds,
        **stages,
        **{f"{name} images": done for name in ("process", *stages)},
    }


def _finished(options: Options, pictures: Path) -> Path:
    """Where an earlier run has embedded the whole set; it is kept, and made if need be."""
    destination = options.data / f"finished-{options.images}-{options.model}"
    again = _command(options, pictures, destination)
    if destination.exists():
        # another version of featuremill may refuse what this one left, or embed it anew
        if run_measured(again, check=False).exit_code == 0:
            return destination
        shutil.rmtree(destination)
    print(f"  making {destination.name}", flush=True)
    run_measured(again)
    return destination


def _command(options: Options, pictures: Path, destination: Path) -> list[str | Path]:
    return [FEATUREMILL, "run", pictures, destination, *options.model_arguments()]


def _row(
    rounds: Sequence[Mapping[str, Mapping[str, Any]]], contender: str, label: str, key: str
) -> list[Cell]:
    runs = [answers[contender] for answers in rounds]
    seconds = [run[key] for run in runs]
    images = round(statistics.median(run[f"{key} images"] for run in runs))
    return [label, images, statistics.median(seconds), min(seconds), max(seconds)]
