"""A real Spark cluster of two workers on this machine, from the jars that pyspark brings."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyspark

from soak import processes

_HOSTS = ("127.0.0.1", "127.0.0.2")
"""Of the two workers: Spark does not try a slow task a second time on the same host."""
_START_SECONDS = 60.0
_SPECULATION = """\
spark.speculation true
spark.speculation.interval 50ms
spark.speculation.quantile 0.1
spark.speculation.multiplier 1.01
spark.speculation.minTaskRuntime 0ms
spark.speculation.task.duration.threshold 2s
spark.executor.memory 512m
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
"""
"""A task that seems slow beside others of its stage is started twice, and so is one of 2 s."""


class ClusterError(Exception):
    """The cluster did not start."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    ``environment`` is what a driver needs for speculative execution and small executors.
    """

    master: str
    environment: Mapping[str, str]
    pids: tuple[int, ...]

    def tasks(self) -> list[psutil.Process]:
        """What runs in it for the time of a run: executors and their Python workers."""
        return [task for pid in self.pids for task in processes.family(pid)[1:]]


@contextmanager
def standalone_cluster() -> Iterator[Cluster]:
    """A master and two workers of one core each, for as long as the block lasts.

    Only Linux has the second worker's address without being asked for it.

    Raises
    ------
    ClusterError
        If one of them does not come up within a minute.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        configuration = folder / "conf"
        configuration.mkdir()
        (configuration / "spark-defaults.conf").write_text(_SPECULATION)
        master = _start(stack, folder, "master.Master", "--host", "127.0.0.1", "--port", "0")
        url = _said(folder / "master.Master.log", r"(spark://127\.0\.0\.1:\d+)", master)
        pids = [master.pid]
        for number, host in enumerate(_HOSTS):
            options = ["--host", host, "--cores", "1", "--memory", "1g"]
            options += ["--work-dir", str(folder / f"work{number}"), url]
            worker = _start(stack, folder, "worker.Worker", *options, log=f"worker{number}")
            _said(folder / f"worker{number}.log", "(registered with master)", worker)
            pids.append(worker.pid)
        yield Cluster(url, {"SPARK_CONF_DIR": str(configuration)}, tuple(pids))


def _start(
    stack: ExitStack, folder: Path, role: str, *options: str, log: str = ""
) -> "subprocess.Popen[bytes]":
    home = Path(pyspark.__file__).parent
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{role}"]
    output = stack.enter_context((folder / f"{log or role}.log").open("wb"))
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    process = subprocess.Popen(
        [*command, "--webui-port", "0", *options],
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    stack.callback(_end, process)
    return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    for each in processes.family(process.pid):
        processes.strike(each)
    process.wait()


def _said(log: Path, pattern: str, process: "subprocess.Popen[bytes]") -> str:
    """What the log says of a pattern, once it does."""
    for _ in range(round(_START_SECONDS / 0.05)):
        found = re.search(pattern, log.read_text(errors="replace"))
        if found is not None:
            return found[1]
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise ClusterError(f"Spark's standalone cluster did not start: {log.read_text()[-1000:]}")
