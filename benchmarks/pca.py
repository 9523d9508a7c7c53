"""The reduce stage against MLlib's and scikit-learn's, from Parquet to Parquet."""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feature_tables import MODEL_ID, N_FEATURES, features
from benchmarks.measure import SPARK_LOCAL, in_turn, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result
from featuremill.dataset.schemas import FEATURES_FOLDER, OK, REDUCED_FOLDER

NAME = "pca"
TITLE = "Reduce stage: standardise, fit 50 components, project, write"

COMPONENTS = 50
OURS, OURS_ON_SPARK, MLLIB = "featuremill", "featuremill, Spark local", "MLlib"
REFERENCE = "scikit-learn PCA, svd_solver full"
DEFAULT, INCREMENTAL = "scikit-learn PCA, default solver", "scikit-learn IncrementalPCA"
COLUMNS = (
    *("", "rows", "seconds", "fit s", "project and write s", "peak MB"),
    *("times faster than MLlib", "largest relative difference of variance"),
)

_LARGE = 1_000_000
_QUICK_ROWS, _QUICK_LARGE = 4_000, 20_000
_LIMIT_SECONDS = 150.0
"""Contenders on the large table are ended after that."""


def measure(options: Options) -> Result:
    """Time all on as many rows as the whole set has, then on a million those that can."""
    rows = _QUICK_ROWS if options.quick else options.images
    large = _QUICK_LARGE if options.quick else _LARGE
    tables = {count: features(options, count) for count in (rows, large)}
    with tempfile.TemporaryDirectory(dir=options.data) as scratch:
        on_rows = partial(_contenders, tables[rows], Path(scratch))
        contenders = on_rows(OURS, OURS_ON_SPARK, MLLIB, REFERENCE, DEFAULT, INCREMENTAL)
        rounds = in_turn(contenders, options.rounds)
        on_large = partial(_contenders, tables[large], Path(scratch))
        large_rounds = in_turn(on_large(OURS), options.rounds)
        [large_once] = in_turn(on_large(INCREMENTAL, MLLIB, limit=_LIMIT_SECONDS), 1)
    large_rounds[0] |= large_once
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [*_rows(rounds, rows), *_rows(large_rounds, large)],
        _notes(large, large_rounds),
        measurements=[*rounds, *large_rounds],
        versions=rounds[0][MLLIB]["versions"] | rounds[0][REFERENCE]["versions"],
    )


def _contenders(
    table: Path, scratch: Path, *names: str, limit: float | None = None
) -> dict[str, Callable[[], Mapping[str, Any]]]:
    files = [table / FEATURES_FOLDER / f"status={OK}", scratch / REDUCED_FOLDER]
    ours = ["featuremill_pca", table, "--model-id", MODEL_ID, "--n-features", str(N_FEATURES)]
    commands = {
        OURS: ours,
        OURS_ON_SPARK: [*ours, *SPARK_LOCAL],
        MLLIB: ["mllib_pca", *files],
        REFERENCE: ["sklearn_pca", *files, "--solver", "full"],
        DEFAULT: ["sklearn_pca", *files, "--solver", "auto"],
        INCREMENTAL: ["sklearn_pca", *files, "--solver", "incremental"],
    }
    written = (table / REDUCED_FOLDER, scratch / REDUCED_FOLDER)
    return {name: partial(_run, commands[name], written, limit) for name in names}


def _run(
    command: Sequence[str | Path], written: Sequence[Path], limit: float | None
) -> Mapping[str, Any]:
    for path in written:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    module, *arguments = command
    arguments += ["--components", str(COMPONENTS)]
    measured = run_measured(
        [sys.executable, "-m", f"benchmarks.contenders.{module}", *arguments],
        cwd=HERE.parent,
        timeout=limit,
        check=limit is None,
    )
    if measured.exit_code != 0:
        return {"failed_after": measured.seconds, "exit_code": measured.exit_code}
    return {**measured.answer, "peak_bytes": measured.peak_bytes}


def _rows(rounds: Sequence[Mapping[str, Mapping[str, Any]]], count: int) -> list[list[Cell]]:
    return [_row(name, rounds, count) for name in rounds[0]]


def _row(name: str, rounds: Sequence[Mapping[str, Mapping[str, Any]]], count: int) -> list[Cell]:
    mine = [answers for answers in rounds if "rows" in answers.get(name, ())]
    if not mine:
        return [name, count, *[None] * (len(COLUMNS) - 2)]
    runs = [answers[name] for answers in mine]
    ratios = [
        _seconds(answers[MLLIB]) / _seconds(answers[name])
        for answers in mine
        if "rows" in answers.get(MLLIB, ())
    ]
    differences = [
        _difference(answers[name], answers[REFERENCE]) for answers in mine if REFERENCE in answers
    ]
    return [
        name,
        count,
        statistics.median(map(_seconds, runs)),
        statistics.median(run["fit"] for run in runs),
        statistics.median(run["project"] for run in runs),
        statistics.median(run["peak_bytes"] for run in runs) / 1e6,
        statistics.median(ratios) if ratios else None,
        max(differences, default=None),
    ]


def _seconds(run: Mapping[str, Any]) -> float:
    return float(run["fit"] + run["project"])


def _difference(run: Mapping[str, Any], reference: Mapping[str, Any]) -> float:
    ratios, exact = np.array(run["ratios"]), np.array(reference["ratios"])
    return float(np.abs(ratios / exact - 1).max())


def _notes(large: int, large_rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    peaks = {
        process: statistics.median(answers[OURS]["peaks"][process] for answers in large_rounds)
        for process in ("driver", "worker")
    }
    failures = [
        f"{name} on {large:,} rows was given {_LIMIT_SECONDS:.0f} s and ended after"
        f" {run['failed_after']:.0f} s with exit code {run['exit_code']}, without a result."
        for name, run in large_rounds[0].items()
        if "failed_after" in run
    ]
    return [
        f"Generated rows of {N_FEATURES} features, variances in proportion to 1, 1/2, 1/3 …, in"
        " Parquet files that all read; each writes path, label and scores as Parquet.",
        "Each contender is a process of its own. The seconds begin when its workers, if it has any,"
        " have done one task; the memory is of the whole process tree.",
        f"Difference of variance: of the {COMPONENTS} shares of the variance, to scikit-learn's PCA"
        " in float64 with svd_solver full.",
        "MLlib has 4 GB for its driver and no native BLAS beyond what Spark brings.",
        f"On {large:,} rows every contender but featuremill ran once, and the PCAs that hold all"
        " rows in memory did not run.",
        *failures,
        f"featuremill on {large:,} rows, largest memory of single processes: driver"
        f" {peaks['driver'] / 1e6:,.0f} MB, one worker {peaks['worker'] / 1e6:,.0f} MB.",
    ]
