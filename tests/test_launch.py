"""Spark starts on machines as people have them; where it does not, the message names the cause."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING
from urllib.parse import unquote

import psutil
import pytest

from featuremill.errors import ConfigError
from featuremill.workers import environment, launch
from featuremill.workers.environment import check_pyspark, own_environment, unused
from featuremill.workers.spark import spark_session

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.conftest import SharedSpark

OF_ANOTHER = {
    "PYSPARK_PYTHON": "python3.9",
    "PYSPARK_DRIVER_PYTHON": "jupyter",
    "PYSPARK_SUBMIT_ARGS": "--master local[2]",
    "SPARK_HOME": "/opt/spark-3.4",
    "SPARK_CONF_DIR": "/opt/spark-3.4/conf",
    "SPARK_REMOTE": "sc://localhost:15002",
    "SPARK_API_MODE": "connect",
    "MASTER": "spark://nowhere:7077",
    "HADOOP_CONF_DIR": "/etc/hadoop/conf",
    "HADOOP_TOKEN_FILE_LOCATION": "/no/such/tokens",
}
"""Variables that the set-up of a Spark leaves in people's environment."""

WITHOUT_A_NAME = (
    "setpriv --reuid 54321 --regid 54321 --clear-groups"
    " --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search"
)
"""As `docker --user` does; where root has its Python in its own folder, it can be read still."""

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("unshare") is None,
    reason="only root can take another machine name and user id, by setpriv and unshare",
)


def featuremill(
    *words: str | Path,
    before: Sequence[str] = (),
    environment: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own; a variable that is None is not set there."""
    wanted = {**os.environ, "COVERAGE_PROCESS_START": None, **(environment or {})}
    return subprocess.run(
        [*before, sys.executable, "-P", "-c", "from featuremill.cli import main; main()", *words],
        env={name: value for name, value in wanted.items() if value is not None},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def small(destination: Path) -> list[str | Path]:
    return [destination, "--model", "embedded", "--master", "local[1]", "--no-reduce"]


@pytest.fixture(scope="module")
def photos(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, in a folder whose name has a space, beside a random.py."""
    folder = tmp_path_factory.mktemp("as people") / "my photos"
    folder.mkdir()
    for picture in sorted(pictures.rglob("*.jpg"))[:3]:
        shutil.copy(picture, folder)
    (folder.parent / "random.py").write_text('print("my own random numbers")\n')
    return folder


@pytest.mark.long
def test_another_spark_and_modules_of_the_working_folder_are_ignored(
    photos: Path, tmp_path: Path
) -> None:
    ended = featuremill(
        "run", photos, *small(tmp_path / "out"), environment=OF_ANOTHER, cwd=photos.parent
    )
    assert ended.returncode == 0, ended.stderr
    assert "3 embedded" in ended.stdout
    told = featuremill("doctor", "--model", "embedded", environment=OF_ANOTHER)
    assert told.returncode == 0, told.stdout
    [spark] = (line for line in told.stdout.splitlines() if " spark " in line)
    assert all(name in spark for name in OF_ANOTHER)


@pytest.fixture
def place_of_all() -> Iterator[Path]:
    """A folder that every user may write to, unlike those of pytest."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@as_root
@pytest.mark.long
@pytest.mark.parametrize("threads", [40, 25])
def test_a_limit_on_threads_is_named(threads: int, photos: Path, place_of_all: Path) -> None:
    limited = [*WITHOUT_A_NAME.split(), "bash", "-c", f'ulimit -u {threads}; exec "$@"', "sh"]
    ended = featuremill("run", photos, *small(place_of_all / "out"), before=limited)
    assert ended.returncode != 0
    assert "ulimit -u" in ended.stderr
    assert "Traceback" not in ended.stderr


@as_root
@pytest.mark.long
def test_a_machine_whose_name_no_one_knows_and_a_user_without_one(
    photos: Path, place_of_all: Path
) -> None:
    odd = ["unshare", "--uts", "sh", "-c", 'hostname nosuch-host-xyz; exec "$@"', "sh"]
    surroundings = {"before": [*odd, *WITHOUT_A_NAME.split()], "environment": {"HOME": None}}
    told = featuremill(
        "doctor", photos, place_of_all / "out", "--model", "embedded", **surroundings
    )
    assert told.returncode == 0, told.stdout + told.stderr
    ended = featuremill("run", photos, *small(place_of_all / "out"), **surroundings)
    assert ended.returncode == 0, ended.stderr
    assert "3 embedded" in ended.stdout


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param("2>&-", marks=pytest.mark.long),
        pytest.param(">&-", marks=pytest.mark.long),
        pytest.param("<&- >&- 2>&-", marks=pytest.mark.long),
    ],
)
def test_standard_streams_that_are_closed(closed: str, photos: Path, tmp_path: Path) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    ended = featuremill("run", photos, *small(tmp_path / "out"), before=shell)
    assert ended.returncode == 0, ended.stderr
    log = tmp_path / "out" / "features" / "_delta_log"
    assert len(list(log.glob("*.json"))) == 2


@pytest.mark.parametrize(
    ("last_deed", "cause", "remedy"),
    [
        ("kill -9 $$", "Java ended while it started and said nothing", "memory"),
        (
            "echo 'java.lang.OutOfMemoryError: unable to create native thread' >&2; exit 1",
            "java.lang.OutOfMemoryError: unable to create native thread",
            "ulimit -u",
        ),
        (
            "echo 'Caused by: java.net.UnknownHostException: box: not known' >&2; exit 1",
            "java.net.UnknownHostException: box: not known",
            "/etc/hosts",
        ),
        (
            """echo 'Failed to start the native thread for java.lang.Thread "main"' >&2; exit 1""",
            'Java could start no more threads: "main" failed',
            "ulimit -u",
        ),
        (
            "echo 'Error: cannot find main class' >&2; exit 1",
            "Error: cannot find main class",
            "local[2]",
        ),
    ],
)
def test_a_java_that_dies_while_it_starts(
    last_deed: str, cause: str, remedy: str, photos: Path, tmp_path: Path
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    version = """echo 'openjdk version "17.0.1"' >&2; exit 0"""
    java.write_text(f'#!/bin/sh\ncase "$*" in -version) {version};; esac\n{last_deed}\n')
    java.chmod(0o755)
    words = ["run", photos, *small(tmp_path / "out")]
    ended = featuremill(*words, environment={"JAVA_HOME": str(tmp_path)})
    assert ended.returncode == 2, ended.stderr
    assert f"error: Spark did not start on master 'local[1]': {cause}" in ended.stderr
    assert remedy in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_java_that_lacks_a_thread_is_not_waited_for_any_longer() -> None:
    with TemporaryFile("a+b") as said:
        warning = "echo 'thread for java.lang.Thread \"dispatcher\"' >&2"
        warning = warning.replace("thread for", "Failed to start the native thread for")
        java = subprocess.Popen(["sh", "-c", f"{warning}; exec sleep 600"], stderr=said)
        launch._end_without_threads(java, os.dup(said.fileno()))
        assert java.wait() == -signal.SIGKILL


def test_variables_that_still_count_are_named_when_spark_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in os.environ:
        if name.startswith(("SPARK_", "PYSPARK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPARK_HOME", "/opt/spark-3.4")
    refusal = launch._refusal(
        "spark://head:7077", TypeError("'JavaPackage' object is not callable")
    )
    assert refusal.remedy == "Unset what is not meant for this Spark: SPARK_HOME=/opt/spark-3.4."
    assert "SPARK_HOME" not in launch._refusal("local[1]", TypeError("no")).remedy


def test_a_start_that_few_open_files_prevent_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.resource, "getrlimit", lambda _: (64, 4096))
    refusal = launch._refusal("local[1]", RuntimeError("too many open files"))
    assert "ulimit -n" in refusal.remedy


def test_the_environment_is_afterwards_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OF_ANOTHER.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with own_environment("local[*]"):
        assert os.environ["PYSPARK_PYTHON"] == sys.executable
        assert unused("local[*]") == []
        assert "HADOOP_CONF_DIR" not in os.environ
    assert dict(os.environ) == before
    # a cluster has a Spark and a Python of its own, but the master is named
    assert unused("yarn") == ["MASTER", "SPARK_REMOTE", "SPARK_API_MODE"]


@pytest.mark.parametrize(
    ("package", "version", "says"),
    [("pyspark", "2.4.8", "needs 3.5 to 4.x"), ("py4j", "0.10.7", "but py4j 0.10.7 from")],
)
def test_packages_of_another_spark_on_the_path_of_python(
    package: str, version: str, says: str, tmp_path: Path, photos: Path
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise SyntaxError('too old')\n")
    (tmp_path / package / "version.py").write_text(f'__version__ = "{version}"\n')
    surroundings = {"environment": {"PYTHONPATH": str(tmp_path)}}
    ended = featuremill("run", photos, *small(tmp_path / "out"), **surroundings)
    told = featuremill("doctor", "--model", "embedded", **surroundings)
    assert (ended.returncode, told.returncode) == (2, 1), ended.stderr + told.stdout
    for said in (ended.stderr, told.stdout):
        assert says in said
        assert "unset PYTHONPATH" in said


def test_the_pyspark_of_this_python_is_fine() -> None:
    assert check_pyspark() == environment._version("pyspark")


def test_a_session_that_was_stopped_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stopped:
        class sparkContext:  # noqa: N801  (Spark's own name)
            _jsc = None

    with pytest.raises(ConfigError, match="was stopped") as refused, spark_session("", Stopped()):
        pass
    assert "or none" in refused.value.remedy


@pytest.mark.long
def test_a_java_that_died_tells_how_and_the_next_one_serves_this_process(
    spark: "SharedSpark",
) -> None:
    java = launch._gateway_process()
    os.write(launch._said.fileno(), b"java.lang.OutOfMemoryError: Java heap space\n")
    java.kill()
    java.wait()
    words = spark.renewed()
    assert words == "killed by SIGKILL; its last words: java.lang.OutOfMemoryError: Java heap space"
    assert spark.range(3).count() == 3


def test_whoever_has_no_secret_cannot_give_a_local_spark_commands(spark: "SharedSpark") -> None:
    java = psutil.Process(launch._gateway_process().pid)
    lines = [each for each in java.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert all(each.laddr.ip.endswith("127.0.0.1") for each in lines)
    answers = {each.laddr.port: _without_secret(each.laddr.port) for each in lines}
    assert any(b"SaslMessage" in answer for answer in answers.values()), answers
    assert not any(b"RequestMessage" in answer for answer in answers.values()), answers
    assert "secret" not in " ".join(java.cmdline()).lower()


def _without_secret(port: int) -> bytes:
    """What a Spark answers to a message from a stranger: a request, with nothing in it."""
    body = b"hello"
    frame = struct.pack(">bqi", 3, 1, len(body)) + body
    with socket.create_connection(("127.0.0.1", port), 3) as line:
        line.sendall(struct.pack(">q", 8 + len(frame)) + frame)
        try:
            return line.recv(65_536)
        except OSError:
            return b""


def test_what_java_logs_is_configured_by_a_file_that_is_there() -> None:
    """Else Java writes two errors into the first lines of every run."""
    settings = launch._settings("local[2]")
    [named] = re.findall(
        r"log4j2\.configurationFile=file://(\S+)", settings["spark.driver.extraJavaOptions"]
    )
    assert Path(unquote(named)).is_file()
