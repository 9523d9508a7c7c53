"""``featuremill doctor``: each thing that may be missing is named, with what to do about it."""

import importlib.util
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner

from featuremill import machine
from featuremill.cli import main
from featuremill.doctor import MEMORY_EACH_CORE, MEMORY_NEEDED, diagnose
from featuremill.findings import Finding

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


def test_without_java_it_says_how_to_get_one_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    answer = CliRunner().invoke(main, ["doctor", "--json"])
    assert answer.exit_code == 1
    [java] = (each for each in json.loads(answer.stdout) if each["what"] == "java")
    assert java["level"] == "fail"
    assert "apt-get install" in java["remedy"]


def test_with_little_memory_it_names_a_master_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 16)
    monkeypatch.setattr(machine, "usable_memory", lambda: MEMORY_NEEDED + 2 * MEMORY_EACH_CORE)
    memory = found("memory")
    assert memory.level == "warn"
    assert "local[4]" in memory.remedy


def test_memory_that_a_control_group_withholds_does_not_count(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/pod/container"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("2000000000\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/container\n")
    assert machine.usable_memory(tmp_path) == 2_000_000_000


def test_memory_of_the_older_kind_of_control_group(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/memory/docker"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("1500000000\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("9:cpu:/\n4:memory:/docker\n")
    assert machine.usable_memory(tmp_path) == 1_500_000_000


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
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert found("engines").level == "fail"


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
