"""A run without Spark: it needs no Java, and its results are those of a run with Spark."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featuremill._utils.progress import Progress
from featuremill.models.engines import smallest_cosine
from featuremill.workflows.run.pipeline import RunResult, run
from outputs import MODEL, features, offline, reduced

pytestmark = pytest.mark.slow

_MAIN = """
import atexit, sys
atexit.register(lambda: print("pyspark" in sys.modules, file=sys.stderr))
from featuremill.cli import main
main(prog_name="featuremill")
"""
OPTIONS = ["--model", MODEL, "--precision", "fp32"]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """Forty pictures, and one that is none."""
    folder = tmp_path_factory.mktemp("few") / "pictures"
    for picture in sorted(pictures.rglob("*.jpg"))[:40]:
        copy = folder / picture.parent.name / picture.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(picture.read_bytes())
    (folder / "spoilt.jpg").write_bytes(b"spoilt")
    return folder


def featuremill(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line on a machine without any Java; it ends by telling of PySpark."""
    environment = {k: v for k, v in os.environ.items() if k != "JAVA_HOME"}
    command = [sys.executable, "-c", _MAIN, *map(str, arguments)]
    return subprocess.run(
        command, env={**environment, "PATH": ""}, capture_output=True, text=True, timeout=240
    )


def test_everything_is_done_without_java_and_spark_is_not_even_imported(few, tmp_path):
    dest, other = tmp_path / "results", tmp_path / "others"
    commands = [
        ["run", few, dest, *OPTIONS, "--components", "3"],
        ["transform", few, dest, "-o", other],
        ["check", dest, "--source", few],
        ["similar", dest, next(few.glob("*/*.jpg"))],
        ["report", dest],
    ]
    for command in commands:
        answer = featuremill(*command)
        assert answer.returncode == 0, (command, answer.stderr)
        assert answer.stderr.splitlines()[-1] == "False", command
    assert len(features(dest)) == len(features(other)) == 41


def test_with_a_master_java_is_missed_before_anything_is_touched(few, tmp_path):
    answer = featuremill("run", few, tmp_path / "results", *OPTIONS, "--master", "local[*]")
    assert answer.returncode == 2
    assert "error: no Java was found, and Spark runs on Java" in answer.stderr
    assert not (tmp_path / "results").exists()


def test_the_record_and_the_report_say_who_worked(few, tmp_path):
    dest = tmp_path / "results"
    result = run(offline(few, dest, reduce=False, workers=1))
    [record] = (dest / "runs").glob("*.json")
    assert json.loads(record.read_bytes())["workers"] == {
        "description": "1 process of this machine",
        "slots": 1,
        "master": None,
    }
    assert result.record.was_here
    assert "1 process of this machine" in (dest / "report.html").read_text()


class Told(Progress):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    def doing(self, what: str) -> None:
        self.lines.append(what)


def test_a_run_says_what_it_is_doing_from_beginning_to_end(few, tmp_path):
    told = Told()
    run(offline(few, tmp_path / "results", workers=1, n_components=3), progress=told)
    expected = [
        "starting 1 worker",
        "looking at the source and the destination",
        f"loading {MODEL}",
        f"listing {few}",
        "measuring the speed on 16 images",
        "reducing the features",
        "writing the CSV and the report",
    ]
    assert [line for line in told.lines if line in expected] == expected


@pytest.fixture(scope="module")
def on_spark(spark, few, tmp_path_factory) -> RunResult:
    dest = tmp_path_factory.mktemp("spark") / "results"
    return run(offline(few, dest, n_components=5), spark=spark)


@pytest.fixture(scope="module")
def without_spark(few, tmp_path_factory) -> RunResult:
    dest = tmp_path_factory.mktemp("local") / "results"
    return run(offline(few, dest, n_components=5, workers=2))


def test_both_kinds_leave_the_same_rows_features_and_scores(on_spark, without_spark):
    one, other = (features(Path(result.destination)) for result in (on_spark, without_spark))
    same = ["path", "label", "version", "bytes", "width", "height", "model_id", "stage", "reason"]
    pd.testing.assert_frame_equal(one[same], other[same])
    ok = one.status == "ok"
    cosine = smallest_cosine(np.stack(one.features[ok]), np.stack(other.features[ok]))
    assert cosine >= 0.999999
    scores = [reduced(Path(result.destination)) for result in (on_spark, without_spark)]
    assert scores[0].path.tolist() == scores[1].path.tolist()
    matrices = [np.stack(table.features_pca) for table in scores]
    np.testing.assert_allclose(matrices[0], matrices[1], rtol=0, atol=1e-6 * np.abs(matrices).max())
    assert on_spark.record.ledger == without_spark.record.ledger
    assert on_spark.record.rejects == without_spark.record.rejects


def test_what_one_kind_began_the_other_goes_on_with(spark, few, on_spark, without_spark):
    for result, kind in ((on_spark, {"workers": 2}), (without_spark, {})):
        config = offline(few, Path(result.destination), n_components=4, **kind)
        again = run(config, spark=None if kind else spark).record
        assert (again.ledger.already_done, again.ledger.embedded) == (40, 0)
        assert again.pca["n_components"] == 4
