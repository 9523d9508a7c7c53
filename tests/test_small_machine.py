"""A run on a machine or in a container with little memory: it fits, or is refused in time."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from featuremill._utils import hardware
from featuremill.cli import main
from featuremill.errors import ConfigError
from featuremill.images.decode import Decoded, Limits
from featuremill.images.sandbox import InChild
from featuremill.workers import memory as sizing
from featuremill.workers.local import LocalWorkers
from featuremill.workers.memory import PROCESSES
from featuremill.workers.protocol import Attempt
from featuremill.workers.spark import SparkWorkers

pytestmark = pytest.mark.slow

ONLY_LINUX = pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="no Linux")
OWN_SCORE = Path("/proc/self/oom_score_adj")


@pytest.fixture
def this_machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes this machine one of so many cores and bytes of memory."""

    def be(cores: int, memory: int) -> None:
        monkeypatch.setattr(hardware, "usable_cores", lambda: cores)
        monkeypatch.setattr(hardware, "usable_memory", lambda: memory)

    return be


# How much memory there is


def test_memory_that_a_control_group_withholds_does_not_count(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/pod/container"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("2000000000\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/container\n")
    assert hardware.usable_memory(tmp_path) == 2_000_000_000


def test_memory_of_the_older_kind_of_control_group(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/memory/docker"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("1500000000\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("9:cpu:/\n4:memory:/docker\n")
    assert hardware.usable_memory(tmp_path) == 1_500_000_000


# What fits


@pytest.mark.parametrize(
    ("memory", "cores", "tasks"),
    [(1_500_000_000, 2, 1), (2_000_000_000, 2, 2), (4_000_000_000, 16, 7), (10**12, 16, 16)],
)
def test_every_core_is_taken_that_the_memory_is_enough_for(
    memory: int, cores: int, tasks: int, this_machine: Callable[[int, int], None]
) -> None:
    this_machine(cores, memory)
    assert sizing.local_tasks("local[*]") == tasks
    assert (f"{tasks} of {cores} cores" in sizing.shortage("local[*]")) == (tasks < cores)
    # what was asked for is not bargained with
    assert sizing.local_tasks(f"local[{cores}]") == cores
    assert sizing.local_tasks("local") == 1
    assert sizing.local_tasks("spark://host:7077") is None


def test_without_java_more_processes_fit(this_machine: Callable[[int, int], None]) -> None:
    this_machine(16, 3_000_000_000)
    assert PROCESSES.tasks() > sizing.local_tasks("local[*]")
    assert f"{PROCESSES.tasks()} of 16 cores" in PROCESSES.shortage(PROCESSES.tasks())
    this_machine(2, 500_000_000)
    assert PROCESSES.tasks() == 1


def test_java_gets_less_on_a_small_machine_and_its_default_on_others(
    this_machine: Callable[[int, int], None],
) -> None:
    this_machine(2, 2_000_000_000)
    assert sizing.java_heap() == "512m"
    this_machine(2, 8_000_000_000)
    assert sizing.java_heap() is None


def test_a_run_that_cannot_fit_is_refused_before_anything_starts(
    this_machine: Callable[[int, int], None], pictures: Path, tmp_path: Path
) -> None:
    this_machine(4, 1_200_000_000)
    words = ["run", str(pictures), str(tmp_path / "out"), "--model", "embedded"]
    refused = CliRunner().invoke(main, [*words, "--master", "local[4]"])
    assert refused.exit_code == 2
    assert "1.20 GB of memory are usable here, 4 tasks at once need at least 1.30 GB" in (
        refused.stderr
    )
    assert "--master 'local[3]'" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_more_memory_is_the_only_remedy_where_no_run_fits(
    this_machine: Callable[[int, int], None],
) -> None:
    this_machine(1, 512_000_000)
    with pytest.raises(ConfigError, match=r"1 task needs at least 0\.85 GB") as refused:
        sizing.check_memory("local[*]")
    assert refused.value.remedy == "Give the machine or container more memory."


def test_how_much_memory_a_cluster_has_is_not_ours_to_judge(
    this_machine: Callable[[int, int], None],
) -> None:
    this_machine(1, 1)
    sizing.check_memory("yarn")


# Who dies first


def own_score(_: bytes, attempt: Attempt) -> bytes:
    return OWN_SCORE.read_bytes()


def score_as_pixels(data: bytes, limits: Limits, target: object) -> Decoded:
    import numpy as np

    return Decoded(np.zeros((1, 1, 3), np.uint8), int(OWN_SCORE.read_text()), 1)


@ONLY_LINUX
def test_without_memory_a_decoder_dies_first_then_a_worker_and_not_the_driver(workers) -> None:
    workers.lend(__file__)
    driver = int(OWN_SCORE.read_text())
    with LocalWorkers(1) as here:
        them = SparkWorkers(workers.spark) if workers.spark else here
        [worker] = map(int, them.map([b""], own_score, "score"))
    with InChild(Limits(), decoder=f"{__name__}:score_as_pixels") as decoder:
        child = decoder.decode(b"").height
    assert driver < worker < child


# The whole job


@pytest.mark.parametrize(
    ("words", "enough"),
    [
        (["--workers", "2"], 1_400_000_000),
        pytest.param(["--master", "local[2]"], 2_000_000_000, marks=pytest.mark.long),
    ],
)
def test_a_run_of_500_images_fits_into_2_gb_and_less_without_java(
    pictures: Path, tmp_path: Path, words: list[str], enough: int
) -> None:
    from benchmarks.measure import run_measured

    source = tmp_path / "pictures"
    for number in range(9):
        for picture in [*pictures.rglob("*.jpg")]:
            copy = source / picture.parent.name / f"{number}-{picture.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(picture, copy)
    command = [Path(sys.executable).parent / "featuremill", "run", source, tmp_path / "out"]
    options = ["--model", "embedded", *words]
    measured = run_measured([*command, *options], samples_per_second=4)
    assert "540 embedded, 0 rejected" in measured.output
    assert measured.peak_bytes < enough
