"""Starts Spark's Java on whatever machine this is, and tells how it ended."""

import atexit
import logging
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from featuremill.errors import ConfigError
from featuremill.workers.environment import check_pyspark, give_home, suspects
from featuremill.workers.failures import is_gone, lack_of_threads, remedy, root_cause
from featuremill.workers.memory import java_heap, local_tasks
from featuremill.workers.protocol import ONE_THREAD, TASK_ATTEMPTS

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

_USUAL_FILES = 1024
"""Open files that a process may have by default on Linux."""

_TAIL_BYTES = 65_536
_STUMBLED = re.compile(r".*(?:/spark-class: line \d+: (?:CMD|\[): |adjust logging level).*\n?")
"""What Spark says of no cause: its script where the Java that it asks dies without a word."""

_OUT_OF_MEMORY = 52
"""Exit code of a Spark that may have no more memory, or start no more threads."""

_END_SECONDS = 5.0
"""How long a Java whose connection broke may take to be gone."""

_LOOK_SECONDS = 0.5


def launch(master: str) -> "SparkSession":
    """Start the Spark of this process; other Sparks must have left the environment.

    Raises
    ------
    ConfigError
        With the root cause, where it does not start.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    check_pyspark()
    give_home()
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    if _gateway_process() is not None and not _runs():
        forget()
    builder = SparkSession.builder.master(_with_attempts(master)).appName("featuremill")
    settings = _settings(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        if SparkContext._gateway is None:
            _start_java(master, settings)
        spark = builder.getOrCreate()
    except Exception as error:
        refusal = _refusal(master, error)
        forget()
        raise refusal from error
    _silence_tracebacks(spark)
    return spark


def _start_java(master: str, settings: dict[str, str]) -> None:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    global _said
    # Java and the workers keep it: what decoders and Java print about every damaged image would
    # otherwise bury what a run has to say. Appended to, since it is read meanwhile
    _said = tempfile.TemporaryFile("a+b")  # noqa: SIM115  (as long as Java lives)
    conf = SparkConf(loadDefaults=False).setMaster(_with_attempts(master))
    conf.setAll(list(settings.items()))
    gateway = launch_gateway(conf, {"stderr": _said})  # type: ignore[no-untyped-call]
    watch = threading.Thread(
        target=_end_without_threads, args=(gateway.proc, os.dup(_said.fileno())), daemon=True
    )
    watch.start()
    SparkContext._ensure_initialized(gateway=gateway)
    if not _has_name():
        # Hadoop asks the system for the user's name, and gives up where the id has none
        users = gateway.jvm.org.apache.hadoop.security.UserGroupInformation
        users.setLoginUser(users.createRemoteUser(str(os.geteuid())))


def _end_without_threads(java: "subprocess.Popen[bytes]", said: int) -> None:
    """Kill a Java in which a thread of Spark's could not start: it would wait for it for ever.

    Parameters
    ----------
    said : int
        Descriptor of what it writes to its standard error; closed at the end.
    """
    position = 0
    with os.fdopen(said, "rb"):
        while java.poll() is None:
            news = os.pread(said, _TAIL_BYTES, position)
            # the last line may be half written
            position += news.rfind(b"\n") + 1 or len(news) // _TAIL_BYTES * _TAIL_BYTES
            if lack_of_threads(news.decode(errors="replace")):
                java.kill()
            time.sleep(_LOOK_SECONDS)


_hosts: "tempfile._TemporaryFileWrapper[str] | None" = None
"""The machine's name for the Java of this process, where nobody else knows it."""


def _hosts_needed() -> bool:
    """Whether Java would ask in vain for the machine's address.

    With AWS keys in the environment Spark notes from which machine they are, whatever it was told.
    """
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        return False
    try:
        return not socket.gethostbyname(socket.gethostname())
    except OSError:
        return True


def _hosts_file() -> str:
    global _hosts
    if _hosts is None:
        _hosts = tempfile.NamedTemporaryFile("w", suffix=".hosts")  # noqa: SIM115  (as above)
        _hosts.write(f"127.0.0.1 {socket.gethostname()} localhost\n")
        _hosts.flush()
    return _hosts.name


def _has_name() -> bool:
    try:
        return bool(pwd.getpwuid(os.geteuid()))
    except KeyError:
        return False


_said: BinaryIO | None = None
"""What the Java of this process wrote to its standard error."""


def _tail() -> str:
    """The end of what Java wrote."""
    if _said is None:
        return ""
    _said.seek(max(0, os.fstat(_said.fileno()).st_size - _TAIL_BYTES))
    return _STUMBLED.sub("", _said.read().decode(errors="replace")).strip()


@atexit.register
def _close() -> None:
    global _said, _hosts
    for file in (_said, _hosts):
        if file is not None:
            file.close()
    _said = _hosts = None


def _refusal(master: str, error: Exception) -> ConfigError:
    said = _tail()
    to_do = _remedy(said) or suspects(master)
    cause = lack_of_threads(said) or root_cause(said)
    if not cause and (is_gone(error) or "JAVA_GATEWAY_EXITED" in str(error)):
        cause = "Java ended while it started and said nothing"
        to_do = to_do or "Look at memory first: something may have killed it for that."
    return ConfigError(
        f"Spark did not start on master {master!r}: {cause or root_cause(str(error))}",
        to_do or "Name a master such as local[*], local[2], spark://host:7077 or yarn.",
    )


def _remedy(said: str) -> str:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < _USUAL_FILES:
        return f"Raise `ulimit -n`: {files} files may be open, {_USUAL_FILES:,} are usual."
    if "UnknownHostException" in said:
        return "Give the machine's name an address in /etc/hosts, or set SPARK_LOCAL_IP."
    return remedy(said)


def _gateway_process() -> "subprocess.Popen[bytes] | None":
    from pyspark import SparkContext

    return getattr(SparkContext._gateway, "proc", None)


def _runs() -> bool:
    process = _gateway_process()
    return process is not None and process.poll() is None


def ending() -> str:
    """How the Java of this process ended, as its exit code tells; it is waited for a little."""
    process = _gateway_process()
    if process is None:
        return "its exit code is not known"
    with suppress(subprocess.TimeoutExpired):
        code = process.wait(_END_SECONDS)
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}" + (
            ": out of memory or threads" if code == _OUT_OF_MEMORY else ""
        )
    return "it still runs, but does not answer"


def last_words() -> str:
    """How Java ended and what it said last, for an error."""
    said = _tail()
    if lack := lack_of_threads(said):
        return lack
    return f"{ending()}; its last words: {root_cause(said)}" if said else ending()


def is_alive(context: "SparkContext") -> bool:
    """Whether a session's context was not stopped, and its Java answers."""
    try:
        return not context._jsc.sc().isStopped()
    except Exception:
        # of one that was stopped Java's half is not there any more, and of Java no connection
        return False


def end(spark: "SparkSession") -> None:
    """Stop a session; where its Java is gone, let this process start another one."""
    if is_alive(spark.sparkContext):
        with suppress(Exception):
            spark.stop()
            return
    forget()


def forget() -> None:
    """Take leave of a Java that is gone, so that this process can start another one."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    context = SparkContext._active_spark_context
    server = getattr(context, "_accumulatorServer", None)
    if server is not None:
        server.shutdown()
    process = _gateway_process()
    if process is not None:
        # at the end of its input Java ends, if it has not yet
        with suppress(OSError, subprocess.TimeoutExpired):
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(_END_SECONDS)
    if SparkContext._gateway is not None:
        with suppress(Exception):
            SparkContext._gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None
    if hasattr(SparkSession, "_activeSession"):
        SparkSession._activeSession = None
    _close()


def _silence_tracebacks(spark: "SparkSession") -> None:
    """When Java dies, the libraries that talk to it print what the run then says in a line."""
    # a server of counters, which nobody uses
    server = getattr(spark.sparkContext, "_accumulatorServer", None)
    if server is not None:
        server.handle_error = lambda *_: None
    # Py4J writes to the root logger
    logging.getLogger().addFilter(_is_not_of_py4j)


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    return Path(record.pathname).parent.name != "py4j"


def _with_attempts(master: str) -> str:
    """Local masters try a task once unless told otherwise, and then a crash ends the job."""
    tasks = local_tasks(master)
    return master if tasks is None or "," in master else f"local[{tasks},{TASK_ATTEMPTS}]"


def _settings(master: str) -> dict[str, str]:
    # a URI, since Java splits its options at spaces
    log4j = Path(str(resources.files("featuremill.workers") / "log4j2.properties")).as_uri()
    # of itself Java would warn where nobody reads: of threads that could not start, for example
    java = f"-Dlog4j2.configurationFile={log4j} -Xlog:disable -Xlog:all=warning:stderr"
    if master.startswith("local"):
        # this Java only hands out work: what the second compiler gains it never earns back
        java += " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
        if _hosts_needed():
            java += f' "-Djdk.net.hosts.file={_hosts_file()}"'
    if not _has_name():
        # where the system knows no home of this user, Java's is "?", which is no folder
        java += " -Duser.home=/"
    settings = {
        "spark.task.maxFailures": str(TASK_ATTEMPTS),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": java,
        "spark.python.worker.reuse": "true",
        "spark.sql.shuffle.partitions": "8",
        # workers need nothing of the working folder, where a random.py may lie
        "spark.executorEnv.PYTHONSAFEPATH": "1",
        **{f"spark.executorEnv.{name}": value for name, value in ONE_THREAD.items()},
    }
    if master.startswith("local"):
        if heap := java_heap():
            settings["spark.driver.memory"] = heap
        settings |= {
            # a machine whose own name cannot be resolved must still be able to run
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            # else every user of this machine can have its Spark run commands; the secret is one
            # that Spark draws and keeps in memory
            "spark.authenticate": "true",
        }
    return settings
