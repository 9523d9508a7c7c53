"""The whole job against the usual notebook, both from the start of a process to its end."""

import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.agreement import smallest_cosine
from benchmarks.datasets import fruits, subset
from benchmarks.environments import python_of
from benchmarks.measure import FEATUREMILL, SPARK_LOCAL, in_turn, newest_record, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result
from featuremill import load_features

NAME = "whole_job"
TITLE = "Whole job against the usual notebook"

COMPONENTS = 50
NOTEBOOK = "usual notebook"
OURS = {
    "featuremill fp32": ["--precision", "fp32"],
    "featuremill auto": [],
    "featuremill auto, Spark local": SPARK_LOCAL,
}
COLUMNS = (
    *("", "images", "seconds", "images/s", "feature stage images/s", "peak MB"),
    *("times faster", "smallest cosine"),
)


def measure(options: Options) -> Result:
    """Time both on the subset in turn, then featuremill alone on the whole set."""
    some = subset(options, options.subset)
    python_of("keras", options)  # made now, and not while something is measured
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        notebook = Path(folder, "notebook")
        contenders = {NOTEBOOK: partial(_notebook, options, some, notebook)} | {
            name: partial(_featuremill, options, some, Path(folder, name), choices, notebook)
            for name, choices in OURS.items()
        }
        rounds = in_turn(contenders, options.rounds)
        whole_rounds = []
        if options.subset < options.images:
            everything = fruits(options)
            whole_contenders = {
                f"{name}, whole set": partial(
                    _featuremill, options, everything, Path(folder, name), choices
                )
                for name, choices in OURS.items()
            }
            whole_rounds = in_turn(whole_contenders, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [*_rows(rounds), *_rows(whole_rounds)],
        _notes(options),
        measurements=[*rounds, *whole_rounds],
        versions=rounds[0][NOTEBOOK]["versions"],
    )


def _notebook(options: Options, pictures: Path, destination: Path) -> dict[str, Any]:
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir()
    script = [python_of("keras", options), HERE / "contenders" / "usual_notebook.py"]
    arguments = [pictures, destination, "--components", str(COMPONENTS)]
    if options.weights:
        arguments += ["--weights", options.weights]
    measured = run_measured([*script, *arguments])
    answer = measured.answer
    return {
        "images": answer["images"],
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "stage": answer["images"] / answer["seconds"]["features"],
        "parts": answer["seconds"],
        "versions": answer["versions"],
    }


def _featuremill(
    options: Options,
    pictures: Path,
    destination: Path,
    choices: Sequence[str],
    notebook: Path | None = None,
) -> dict[str, Any]:
    shutil.rmtree(destination, ignore_errors=True)
    arguments = ["--components", str(COMPONENTS), *choices]
    measured = run_measured(
        [FEATUREMILL, "run", pictures, destination, *arguments, *options.model_arguments()]
    )
    record = newest_record(destination)
    comparable = notebook is not None and options.weights is not None
    return {
        "images": record["ledger"]["embedded"],
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "stage": record["images_per_second"],
        "parts": record["seconds"],
        "precision": record["precision"],
        "smallest_cosine": _cosine(destination, notebook) if comparable else None,
    }


def _cosine(ours: Path, notebook: Path) -> float:
    columns = ["path", "features"]
    theirs = pd.read_parquet(notebook / "features", columns=columns)
    return smallest_cosine(load_features(str(ours))[columns], theirs)


def _rows(rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[list[Cell]]:
    rows = []
    for name in rounds[0] if rounds else ():
        runs = [answers[name] for answers in rounds]
        ratios = [
            answers[NOTEBOOK]["seconds"] / answers[name]["seconds"]
            for answers in rounds
            if NOTEBOOK in answers
        ]
        cosines = [run["smallest_cosine"] for run in runs if run.get("smallest_cosine")]
        rows.append(
            [
                name,
                runs[0]["images"],
                statistics.median(run["seconds"] for run in runs),
                statistics.median(run["images"] / run["seconds"] for run in runs),
                statistics.median(run["stage"] for run in runs),
                statistics.median(run["peak_bytes"] for run in runs) / 1e6,
                statistics.median(ratios) if ratios else None,
                min(cosines, default=None),
            ]
        )
    return rows


def _notes(options: Options) -> list[str]:
    cosine = (
        "The cosine is of our features to the notebook's, the smallest over all of these images."
        if options.weights
        else "Without --weights both run on random weights, each on its own: no cosine."
    )
    return [
        "Seconds, memory and their ratio are of whole processes: start-up of Python and the engine"
        " (and of Spark, where there is one), listing, features, PCA with"
        f" {COMPONENTS} components, tables and CSV; ours also its report.",
        "Feature stage: ours from the first chunk sent to the last commit, when the network is"
        " compiled already; the notebook's from its listing to the features written, which has the"
        " model built in every partition. The seconds have all of it, for both.",
        "The notebook computes in float32, once for each image, with Keras on TensorFlow.",
        cosine,
    ]
