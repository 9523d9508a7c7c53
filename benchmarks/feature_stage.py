"""The feature stage against the ceiling: how much of the machine reaches the network.

The ceiling is as many bare processes as there are cores, each one read, decode, resize, embed with
the same engine, no Spark, nothing written, nothing recorded.
"""

import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.datasets import fruits
from benchmarks.measure import FEATUREMILL, in_turn, newest_record, run_measured
from benchmarks.options import Options
from benchmarks.results import Result

NAME = "feature_stage"
TITLE = "Feature stage against bare processes (the ceiling)"

PRECISIONS = ("fp32", "auto")


def measure(options: Options) -> Result:
    """Images per second while embedding, ours and the ceiling's."""
    pictures = fruits(options)
    pairs = {name: partial(_pair, options, pictures, name) for name in PRECISIONS}
    rounds = in_turn(pairs, options.rounds)
    rows = []
    for precision in PRECISIONS:
        of_precision = [answers[precision] for answers in rounds]
        rows.append(
            (
                precision,
                of_precision[0]["computed_in"],
                *(
                    statistics.median(pair[name] for pair in of_precision)
                    for name in ("ceiling", "stage", "ratio")
                ),
            )
        )
    return Result(
        NAME,
        TITLE,
        ("precision", "computed in", "ceiling images/s", "stage images/s", "ratio"),
        rows,
        notes=[
            f"{options.images:,} JPEGs of 100x100 pixels.",
            "Stage: from the first chunk sent to the last chunk committed, workers being warm, as"
            " the run's own record gives it. Ceiling: from the first image to the last.",
        ],
        measurements=[
            {"round": number, "precision": precision, **pair}
            for number, answers in enumerate(rounds, 1)
            for precision, pair in answers.items()
        ],
    )


def _pair(options: Options, pictures: Path, precision: str) -> dict[str, float | str]:
    with tempfile.TemporaryDirectory(dir=options.data) as destination:
        arguments = ["--no-reduce", "--precision", precision, *options.model_arguments()]
        run_measured([FEATUREMILL, "run", pictures, destination, *arguments])
        record = newest_record(Path(destination))
    # what auto chose, so that both compute the same
    computed_in = max(record["precision"], key=record["precision"].get)
    bare_loop = [sys.executable, "-m", "benchmarks.contenders.bare_loop", pictures]
    arguments = ["--precision", computed_in, *options.model_arguments()]
    answer = run_measured([*bare_loop, *arguments], cwd=Path(__file__).parents[1]).answer
    ceiling = answer["images_per_second"]
    stage = record["images_per_second"]
    return {
        "computed_in": computed_in,
        "ceiling": ceiling,
        "stage": stage,
        "ratio": stage / ceiling,
    }
