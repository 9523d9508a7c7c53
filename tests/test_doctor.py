"""``featuremill doctor``: each thing that may be missing is named, with what to do about it."""

import importlib
import importlib.util
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner

from featuremill._utils import hardware
from featuremill.cli import main
from featuremill.models import registry
from featuremill.models.engines import ENGINES
from featuremill.workflows.doctor import Finding, diagnose

Usage = namedtuple("Usage", "total used free")


def found(what: str, *places: str, model: str = "embedded") -> Finding:
    """The one finding about something."""
    [finding] = (finding for finding in diagnose(*places, model=model) if finding.what == what)
    return finding


def test_on_a_machine_that_has_everything_nothing_stands_in_the_way(
    pictures: Path, tmp_path: Path
) -> None:
    answer = CliRunner().invoke(
        main, ["doctor", str(pictures), str(tmp_path / "out"), "--model", "embedded"]
    )
    assert answer.exit_code == 0, answer.output
    assert "fail" not in answer.output
    assert not (tmp_path / "out").exists()


def test_without_java_it_says_what_needs_one_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    answer = CliRunner().invoke(main, ["doctor", "--json"])
    assert answer.exit_code == 0
    [java] = (each for each in json.loads(answer.stdout) if each["what"] == "java")
    assert java["level"] == "warn"
    assert "only --master needs it" in java["said"]
    assert "apt-get install" in java["remedy"]


def test_memory_for_fewer_tasks_than_cores_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 16)
    monkeypatch.setattr(hardware, "usable_memory", lambda: 2_700_000_000)
    memory = found("memory")
    assert memory.level == "warn"
    assert "16 tasks at once want 5.4 GB; 7 tasks at once fit" in memory.said


def test_memory_for_no_run_at_all_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_memory", lambda: 500_000_000)
    memory = found("memory")
    assert (memory.level, memory.remedy) == (
        "fail",
        "Give the machine or container more memory.",
    )


@pytest.mark.parametrize(
    ("most", "level"), [(None, "ok"), (10_000, "ok"), (40, "warn"), (20, "fail")]
)
def test_a_limit_of_threads_that_a_run_would_meet(
    most: int | None, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 2)
    monkeypatch.setattr(hardware, "usable_threads", lambda: most)
    threads = found("threads")
    assert threads.level == level
    assert ("ulimit -u" in threads.remedy) == (level != "ok")


def test_threads_that_a_control_group_withholds_do_not_count(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/pod"
    group.mkdir(parents=True)
    (group / "pids.max").write_text("77\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod\n")
    assert hardware.usable_threads(tmp_path) == 77


@pytest.mark.parametrize(("free", "level"), [(0, "fail"), (10_000_000, "warn"), (10**12, "ok")])
def test_a_disk_that_is_full_or_nearly_so(
    free: int, level: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))
    assert found("temporary folder").level == level
    assert found("destination", str(tmp_path), str(tmp_path / "not/there/yet")).level == level


def test_a_destination_that_may_not_be_written(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    # permissions do not bind root, who may run these tests
    monkeypatch.setattr(os, "access", lambda *_: False)
    destination = found("destination", str(pictures), str(tmp_path))
    assert destination.level == "fail"
    assert str(tmp_path) in destination.said


@pytest.mark.parametrize("place", ["missing", "empty", "file"])
def test_a_source_that_is_none(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    assert found("source", str(tmp_path / place)).level == "fail"


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ENGINES else find(name)
    )
    assert found("engines").level == "fail"


def test_an_engine_that_is_there_but_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        if name == "openvino":
            raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", load)
    engines = found("engines")
    assert engines.level == "warn"
    assert "onnxruntime; precision fp32" in engines.said
    assert "openvino does not load: libtbb" in engines.said


def test_weights_that_came_only_in_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path))
    weights = registry.get("mobilenetv2").weights
    (tmp_path / weights.file).write_bytes(b"half")
    damaged = found("weights", model="mobilenetv2")
    assert damaged.level == "warn"
    assert "has 4 bytes" in damaged.said


def test_published_weights_that_are_not_there_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path))
    weights = found("weights", model="mobilenetv2")
    assert weights.level == "warn"
    assert "--model embedded" in weights.remedy


def test_credentials_are_needed_only_for_s3_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found("credentials").said == "of AWS: there, by env"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert found("credentials").level == "ok"
    answer = CliRunner().invoke(
        main, ["doctor", "s3://fruits/training", "--endpoint-url", "http://127.0.0.1:9", "--json"]
    )
    levels = {each["what"]: each["level"] for each in json.loads(answer.stdout)}
    assert levels["credentials"] == levels["source"] == "fail"


def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    credentials = found("credentials")
    assert credentials.level == "warn"
    assert "nobody" in credentials.said
