"""What it costs that a bucket answers some GETs with 503 and resets others."""

import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contenders.delayed_s3 import BUCKET
from benchmarks.datasets import fruits
from benchmarks.measure import FEATUREMILL, in_turn, newest_record, run_measured
from benchmarks.options import Options
from benchmarks.results import Cell, Result
from benchmarks.small_objects import KEYS, bucket

NAME = "s3_faults"
TITLE = "A bucket that misbehaves: 2 % of GETs answered with 503, 1 % reset"

BUSY, RESETS = 0.02, 0.01
SOUND, FAULTY = "no faults", "2 % 503, 1 % reset"
COLUMNS = (
    *("", "objects", "embedded", "rejected", "503 answers", "resets"),
    *("feature stage images/s", "of no faults", "whole process s"),
)


def measure(options: Options) -> Result:
    """Embed the same objects from a bucket without faults and from one with them, in turn."""
    # fewer than there are objects: to draw all of them would take longer than to embed them
    pictures = fruits(replace(options, images=options.subset))
    contenders = {
        SOUND: partial(_run, options, pictures, 0.0, 0.0),
        FAULTY: partial(_run, options, pictures, BUSY, RESETS),
    }
    rounds = in_turn(contenders, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(name, rounds) for name in contenders],
        notes=[
            f"{options.images:,} objects with the content of {options.subset:,} JPEGs of 100x100"
            " pixels, the network embedded, the features written to the local disk; rates from"
            " the first chunk sent to the last commit.",
            "The bucket is a process of this machine and takes its share of the cores. Which GETs"
            " fail is drawn from the key and from how often it was asked for.",
        ],
        measurements=rounds,
    )


def _run(options: Options, pictures: Path, busy: float, resets: float) -> Mapping[str, Any]:
    destination = Path(tempfile.mkdtemp(dir=options.data))
    faults = {"busy": busy, "resets": resets, "objects": options.images}
    try:
        with bucket(pictures, **faults) as (address, served):
            command = [FEATUREMILL, "run", f"s3://{BUCKET}", destination, "--no-reduce"]
            words = ["--model", "embedded", "--endpoint-url", address]
            measured = run_measured([*command, *words], env=KEYS)
        record = newest_record(destination)
    finally:
        shutil.rmtree(destination)
    ledger = record["ledger"]
    return {
        **{name: ledger[name] for name in ("listed", "embedded", "rejected")},
        "rate": record["images_per_second"],
        "seconds": measured.seconds,
        **served,
    }


def _row(name: str, rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Cell]:
    runs = [answers[name] for answers in rounds]
    return [
        name,
        runs[0]["listed"],
        min(run["embedded"] for run in runs),
        max(run["rejected"] for run in runs),
        runs[0]["busy"],
        runs[0]["resets"],
        statistics.median(run["rate"] for run in runs),
        statistics.median(a[name]["rate"] / a[SOUND]["rate"] for a in rounds),
        statistics.median(run["seconds"] for run in runs),
    ]
