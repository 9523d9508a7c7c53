"""Java is looked for before anything starts, and the error says what to install."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from featuremill.errors import JavaError
from featuremill.workers import java
from featuremill.workers.java import check_java


def fake_java(home: Path, script: str) -> Path:
    """A Java home whose ``java`` is a shell script."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return home


def says(version: str) -> str:
    return f"""echo 'openjdk version "{version}" 2025-04-15' >&2"""


@pytest.fixture(autouse=True)
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Java."""
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("JAVA_HOME", raising=False)


def refusal() -> JavaError:
    with pytest.raises(JavaError) as refused:
        check_java()
    assert "apt-get install openjdk-17-jre-headless" in refused.value.remedy
    assert "JAVA_HOME" in refused.value.remedy
    return refused.value


def test_no_java_at_all():
    assert "no Java was found" in refusal().problem


def test_a_java_home_without_java(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert refusal().problem == f"JAVA_HOME is {tmp_path}, but there is no {tmp_path}/bin/java"


def test_java_home_goes_before_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "old", says("11.0.2")) / "bin"))
    assert "is Java 11" in refusal().problem
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "new", says("21.0.1"))))
    assert check_java() == 21


@pytest.mark.parametrize(
    ("version", "major"), [("17", 17), ("17.0.15", 17), ("17-ea", 17), ("21.0.7", 21)]
)
def test_a_java_that_can_run_spark(tmp_path, monkeypatch, version, major):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", says(version))))
    assert check_java() == major


@pytest.mark.parametrize(
    ("version", "major"),
    [("1.8.0_392", 8), ("11.0.2", 11), ("16.0.1", 16), ("22", 22), ("25-ea", 25), ("25.0.1", 25)],
)
def test_a_java_that_cannot(tmp_path, monkeypatch, version, major):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", says(version))))
    assert f"java is Java {major}, Spark needs 17 to 21" in refusal().problem


def test_a_java_without_room_says_so(tmp_path, monkeypatch):
    said = "There is insufficient memory for the Java Runtime Environment to continue."
    java = fake_java(tmp_path / "java", f"echo '#'; echo '# {said}'; exit 1")
    monkeypatch.setenv("JAVA_HOME", str(java))
    with pytest.raises(JavaError) as refused:
        check_java()
    assert refused.value.problem == f"{java}/bin/java does not start: {said}"
    assert "ulimit -v" in refused.value.remedy
    assert "Install" not in refused.value.remedy


@pytest.mark.parametrize(
    "script",
    ["echo hello", "exit 1", r"printf '\377\376 \200' >&2", "echo 'version seventeen'"],
    ids=["other words", "no words", "not even text", "no number"],
)
def test_a_java_that_answers_garbage(tmp_path, monkeypatch, script):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", script)))
    assert refusal().problem == f"{tmp_path}/java/bin/java -version gave no version"


def test_a_java_that_does_not_run(tmp_path, monkeypatch):
    home = fake_java(tmp_path / "java", "")
    (home / "bin" / "java").write_text("#!/no/such/shell\n")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert f"{home}/bin/java does not run: " in refusal().problem


def test_options_that_java_repeats_do_not_hide_its_version(tmp_path, monkeypatch):
    script = f"echo 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g' >&2; {says('17.0.15')}"
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", script)))
    assert check_java() == 17


@pytest.mark.parametrize("option", ["-Xmx1t", "-XX:MaxPermSize=256m"])
def test_an_option_for_every_java_that_this_one_refuses_is_named(tmp_path, monkeypatch, option):
    script = f"""echo 'Picked up _JAVA_OPTIONS: {option}' >&2
echo "Unrecognized VM option '{option}'" >&2; exit 1"""
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", script)))
    monkeypatch.setenv("_JAVA_OPTIONS", option)
    with pytest.raises(JavaError) as refused:
        check_java()
    assert refused.value.problem.endswith(f"does not start: Unrecognized VM option '{option}'")
    assert f"_JAVA_OPTIONS={option}" in refused.value.remedy


def test_where_no_more_processes_may_be_started_that_is_the_cause(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", "")))
    monkeypatch.setattr(java, "subprocess", SimpleNamespace(run=refuse))
    with pytest.raises(JavaError, match="temporarily unavailable") as refused:
        check_java()
    assert "ulimit -u" in refused.value.remedy
