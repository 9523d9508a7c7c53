"""What a cluster runs: the job's session, its weights, and how it ends."""

import os
import platform
from pathlib import Path

import pytest

from featuremill.cli import cluster_job
from featuremill.cloud.packaging.archive import MANIFEST, Manifest
from featuremill.errors import TooManyRejectsError
from featuremill.workflows.run import pipeline

UNTRAINED = "mobilenetv2-untrained"


class Session:
    """In place of Spark's."""

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session, for a job in an archive that was unpacked to ``tmp_path``."""
    spark = Session()
    monkeypatch.setattr("featuremill.workers.spark.cluster_session", lambda: spark)
    monkeypatch.setattr(cluster_job, "UNPACKED", tmp_path)
    # what main sets is taken back
    monkeypatch.setenv("FEATUREMILL_CACHE", "x")
    monkeypatch.delenv("FEATUREMILL_CACHE")
    return spark


def run_with(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> tuple[dict[str, object], int]:
    """What a job asks of the pipeline, and its exit code."""
    asked: dict[str, object] = {}

    def run_with(workers: object, config: object, progress: object) -> None:
        asked.update(vars(config), cache=os.environ["FEATUREMILL_CACHE"])
        raise TooManyRejectsError("9 of 10 images were rejected", "See rejects.csv.")

    def spark_opening(master: object, spark: object) -> None:
        asked.update(spark=spark)

    monkeypatch.setattr(pipeline, "run_with", run_with)
    monkeypatch.setattr("featuremill.workers.spark.spark_opening", spark_opening)
    with pytest.raises(SystemExit) as ended:
        cluster_job.main(arguments)
    assert isinstance(ended.value.code, int)
    return asked, ended.value.code


def label(machine: str, weights: str | None = None) -> str:
    return Manifest("1.0", "0" * 12, machine, "mobilenetv2", weights).text()


def test_the_job_is_run_in_the_clusters_session_with_the_archives_weights(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MANIFEST).write_text(label(platform.machine(), "featuremill-weights/own.h5"))
    asked, code = run_with(monkeypatch, ["in", "out", "--components", "7"])
    assert code == TooManyRejectsError.exit_code
    assert asked["n_components"] == 7
    assert asked["spark"] is session
    assert session.stopped
    assert asked["cache"] == str(tmp_path / "featuremill-weights")
    assert asked["weights"] == str(tmp_path / "featuremill-weights" / "own.h5")


def test_weights_of_ones_own_are_not_given_to_another_model(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MANIFEST).write_text(label(platform.machine(), "featuremill-weights/own.h5"))
    asked, _ = run_with(monkeypatch, ["in", "out", "--model", UNTRAINED])
    assert asked["weights"] is None


def test_a_job_says_that_its_archive_is_for_another_machine(
    session: Session, tmp_path: Path
) -> None:
    (tmp_path / MANIFEST).write_text(label("riscv64"))
    with pytest.raises(SystemExit) as ended:
        cluster_job.main(["in", "out"])
    assert "built for riscv64, this machine is" in str(ended.value.code)
