"""Many small objects: the feature stage from a bucket that keeps every GET waiting.

The bucket is a process of this machine and takes its share of the cores, so a bucket without
the wait stands between it and the local disk.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contenders.delayed_s3 import BUCKET, REGION
from benchmarks.datasets import subset
from benchmarks.measure import FEATUREMILL, in_turn, newest_record, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result

NAME = "small_objects"
TITLE = "Many small objects: a bucket that delays each GET by 30 ms"

DELAY = 0.03  # seconds
LOCAL, AT_ONCE, DELAYED = "featuremill, local disk", "featuremill, no delay", "featuremill, 30 ms"
READER = "boto3, one GET after another, 30 ms, reading only"
COLUMNS = (
    *("", "images", "feature stage images/s", "of local disk", "of no delay"),
    *("whole process s", "most GETs waiting", "bucket's CPU ms per GET"),
)

_READER_OBJECTS = 1000
KEYS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": REGION,
}
"""Environment of whoever reads from the bucket."""


def measure(options: Options) -> Result:
    """Embed the same pictures from disk and from the bucket, and read them one by one."""
    pictures = subset(options, options.subset)
    contenders: dict[str, Callable[[], Mapping[str, Any]]] = {
        LOCAL: partial(_featuremill, options, pictures),
        AT_ONCE: partial(_from_bucket, options, pictures, 0.0),
        DELAYED: partial(_from_bucket, options, pictures, DELAY),
        READER: partial(_one_by_one, options, pictures),
    }
    rounds = in_turn(contenders, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(name, rounds) for name in contenders],
        notes=[
            f"{options.subset:,} JPEGs of 100x100 pixels, the features written to the local disk;"
            " rates from the first chunk sent to the last commit.",
            "The bucket is a process of this machine, so its CPU time is taken from the workers;"
            " what the delay alone costs is the rate of 30 ms against that of no delay.",
            f"boto3 reads the first {_READER_OBJECTS:,} objects at most and does nothing with them."
            " Spark's binaryFile over s3a is not among the contenders: PySpark as it is installed"
            " by pip lacks the hadoop-aws jars.",
        ],
        measurements=rounds,
        versions=rounds[0][READER]["versions"],
    )


def _featuremill(
    options: Options, source: Path | str, *arguments: str, env: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    destination = Path(tempfile.mkdtemp(dir=options.data))
    try:
        command = [FEATUREMILL, "run", source, destination, "--no-reduce", *arguments]
        measured = run_measured([*command, *options.model_arguments()], env=env)
        record = newest_record(destination)
    finally:
        shutil.rmtree(destination)
    return {
        "images": record["ledger"]["embedded"],
        "rate": record["images_per_second"],
        "seconds": measured.seconds,
        "precision": record["precision"],
    }


def _from_bucket(options: Options, pictures: Path, delay: float) -> Mapping[str, Any]:
    with bucket(pictures, delay=delay) as (address, served):
        source = f"s3://{BUCKET}"
        answer = _featuremill(options, source, "--endpoint-url", address, env=KEYS)
    return {**answer, **served}


def _one_by_one(options: Options, pictures: Path) -> Mapping[str, Any]:
    objects = min(_READER_OBJECTS, options.subset)
    with bucket(pictures, delay=DELAY) as (address, served):
        reader = [sys.executable, "-m", "benchmarks.contenders.sequential_reader", BUCKET]
        arguments = ["--endpoint-url", address, "--objects", str(objects)]
        measured = run_measured([*reader, *arguments], cwd=HERE.parent, env=KEYS)
    answer = measured.answer
    rate = answer["images"] / answer["seconds"]
    return {**answer, "rate": rate, "seconds": measured.seconds, **served}


@contextmanager
def bucket(pictures: Path, **options: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address of a bucket with the pictures, and what it served, filled in at the end.

    Parameters
    ----------
    options
        Of ``contenders/delayed_s3.py``.
    """
    served: dict[str, Any] = {}
    script = [sys.executable, HERE / "contenders" / "delayed_s3.py", pictures]
    words = (word for name, value in options.items() for word in (f"--{name}", str(value)))
    with subprocess.Popen(
        [*script, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), served
        # the end of its input is the end of the bucket
        output, _ = process.communicate()
        served |= json.loads(output)


def _row(name: str, rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Cell]:
    runs = [answers[name] for answers in rounds]
    ratios = {
        other: statistics.median(a[name]["rate"] / a[other]["rate"] for a in rounds)
        for other in (LOCAL, AT_ONCE)
    }
    served = "gets" in runs[0]
    return [
        name,
        runs[0]["images"],
        statistics.median(run["rate"] for run in runs),
        ratios[LOCAL],
        ratios[AT_ONCE] if served else None,
        statistics.median(run["seconds"] for run in runs),
        max(run["most_waiting"] for run in runs) if served else None,
        statistics.median(1000 * run["bucket_cpu_seconds"] / run["gets"] for run in runs)
        if served
        else None,
    ]
