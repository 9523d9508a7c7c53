"""The Spark session, and the one way in which work is handed to it.

Spark carries small payloads out and small answers back (:func:`map_tasks`); images and features
never pass through it.
"""

import logging
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import pyarrow as pa

from featuremill import interrupts
from featuremill.errors import ConfigError
from featuremill.failures import is_gone, root_cause, translated
from featuremill.jvm import check_java
from featuremill.oom import die_first
from featuremill.reuse import ease_reuse
from featuremill.sizing import java_heap, local_tasks

if TYPE_CHECKING:
    from pyspark import SparkStageInfo
    from pyspark.sql import DataFrame, Row, SparkSession

T = TypeVar("T")

TASK_ATTEMPTS = 4
"""How often Spark tries a task; the attempts after the first decode in a process of their own."""

# one task slot is one core; nested thread pools would fight for it
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
FAN_IN = 16
"""Answers that are merged at a time where a job has one result."""

_WORKERS_DIE_FIRST = 500
_USUAL_FILES = 1024
"""Open files that a process may have by default on Linux."""

_GROUP_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")
_POLL_SECONDS = 0.2
_ANSWER = "task int, answer binary"


class Attempt(NamedTuple):
    """Which task this is, and how often it was tried before."""

    task: int
    number: int


@contextmanager
def spark_session(master: str, existing: "SparkSession | None" = None) -> Iterator["SparkSession"]:
    """The session handed in, else the one this process has, else our own that ends with the block.

    Raises
    ------
    JavaError
        If a session has to be started and no suitable Java is there.
    ConfigError
        If the session handed in is a Spark Connect session, or the master does not answer.
    """
    existing = existing or _running_session()
    if existing is not None:
        if not hasattr(existing, "sparkContext"):
            raise ConfigError(
                "the session is a Spark Connect session", "Hand in a classic SparkSession."
            )
        yield existing
        return
    check_java()
    with tempfile.TemporaryFile() as log:
        spark = _start(master, log)
        # PySpark's own handler calls Java from inside whatever call the signal met
        interrupts.rearm()
        try:
            interrupts.check()
            _silence_tracebacks(spark)
            yield spark
        except Exception as error:
            raise translated(error) if is_gone(error) else error from error
        finally:
            # Java may be gone, which is then the failure under way
            with suppress(Exception):
                spark.stop()


def _running_session() -> "SparkSession | None":
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # a process has one Spark: to start ours would be to get this one, and then to stop it
    running = SparkContext._active_spark_context is not None
    return SparkSession.builder.getOrCreate() if running else None


def _start(master: str, log: BinaryIO) -> "SparkSession":
    from pyspark.sql import SparkSession

    for name, value in _ONE_THREAD.items():
        os.environ.setdefault(name, value)
    os.environ["PYSPARK_PYTHON"] = os.environ.get("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(_with_attempts(master)).appName("featuremill")
    for name, value in _settings(master).items():
        builder = builder.config(name, value)
    try:
        with _stderr_to(log):
            return builder.getOrCreate()
    except Exception as error:
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        said = [line for line in lines if not line.startswith("\tat ")][-3:]
        raise ConfigError(
            f"Spark did not start on master {master!r}: {root_cause(error)}\n" + "\n".join(said),
            _remedy(),
        ) from error


def _remedy() -> str:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < _USUAL_FILES:
        return f"Raise `ulimit -n`: {files} files may be open, {_USUAL_FILES:,} are usual."
    return "Name a master such as local[*], local[2], spark://host:7077 or yarn."


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


@contextmanager
def _stderr_to(log: BinaryIO) -> Iterator[None]:
    """Give processes started in this block another standard error.

    The JVM and the workers keep it: what decoders and the JVM print about every damaged image
    would otherwise bury what a run has to say.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _with_attempts(master: str) -> str:
    """Local masters try a task once unless told otherwise, and then a crash ends the job."""
    tasks = local_tasks(master)
    return master if tasks is None or "," in master else f"local[{tasks},{TASK_ATTEMPTS}]"


def _settings(master: str) -> dict[str, str]:
    # a URI, since Java splits its options at spaces
    log4j = Path(str(resources.files("featuremill") / "log4j2.properties")).as_uri()
    java = f"-Dlog4j2.configurationFile={log4j}"
    if master.startswith("local"):
        # this Java only hands out work: what the second compiler gains it never earns back
        java += " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    settings = {
        "spark.task.maxFailures": str(TASK_ATTEMPTS),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": java,
        "spark.python.worker.reuse": "true",
        "spark.sql.shuffle.partitions": "8",
        **{f"spark.executorEnv.{name}": value for name, value in _ONE_THREAD.items()},
    }
    if master.startswith("local"):
        if heap := java_heap():
            settings["spark.driver.memory"] = heap
        # a machine whose own name cannot be resolved must still be able to run
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return settings


def slots(spark: "SparkSession") -> int:
    """How many tasks run at the same time."""
    return max(1, spark.sparkContext.defaultParallelism)


def map_tasks(
    spark: "SparkSession",
    payloads: Sequence[bytes],
    function: Callable[[bytes, Attempt], bytes],
    group: str,
) -> list[bytes]:
    """Run one Spark task per payload and return the answers in the payloads' order.

    Payloads travel as one broadcast, so that task i always gets payload i, also when it is
    tried again, and no shuffle moves them.

    Parameters
    ----------
    function : callable
        Called on a worker with a payload; must be picklable.
    group : str
        Spark job group under which the job can be cancelled.

    Raises
    ------
    WorkerDiedError
        If a worker process died each time a task was tried.
    FeaturemillError
        Whatever the function raised on purpose.
    RunError
        For any other failure of the job.
    """
    with _mapped(spark, payloads, function) as answers:
        rows = _collect(answers, group)
    in_order = {row["task"]: bytes(row["answer"]) for row in rows}
    return [in_order[task] for task in range(len(payloads))]


def reduce_tasks(
    spark: "SparkSession",
    payloads: Sequence[bytes],
    function: Callable[[bytes, Attempt], bytes],
    merge: Callable[[Iterable[bytes]], bytes],
    group: str,
) -> bytes:
    """Like :func:`map_tasks`, with the answers merged to one.

    Workers merge in a tree of fan-in ``FAN_IN``, so that the driver never holds more answers.
    """

    def merge_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        merged = merge(value.as_py() for batch in batches for value in batch.column("answer"))
        yield _answer_batch(0, merged)

    with _mapped(spark, payloads, function) as answers:
        remaining = len(payloads)
        while remaining > FAN_IN:
            remaining = -(-remaining // FAN_IN)
            answers = answers.repartition(remaining).mapInArrow(merge_batches, _ANSWER)
        rows = _collect(answers, group)
    return merge(bytes(row["answer"]) for row in rows)


@contextmanager
def _mapped(
    spark: "SparkSession", payloads: Sequence[bytes], function: Callable[[bytes, Attempt], bytes]
) -> Iterator["DataFrame"]:
    broadcast = spark.sparkContext.broadcast(list(payloads))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        # a task that is lost is done again; a lost driver or Java ends the run
        die_first(_WORKERS_DIE_FIRST)
        current = TaskContext.get()
        number = current.attemptNumber() if current else 0
        for batch in batches:
            for task in batch.column(0).to_pylist():
                yield _answer_batch(task, function(broadcast.value[task], Attempt(task, number)))
        ease_reuse(type(function).__name__)

    try:
        yield spark.range(0, len(payloads), 1, len(payloads)).mapInArrow(run, _ANSWER)
    finally:
        with suppress(Exception):
            broadcast.destroy()


def _collect(answers: "DataFrame", group: str) -> "list[Row]":
    context = answers.sparkSession.sparkContext
    context.setJobGroup(group, f"featuremill {group}", interruptOnCancel=False)
    try:
        return answers.collect()
    except Exception as error:
        raise translated(error) from error
    finally:
        with suppress(Exception):
            for name in _GROUP_PROPERTIES:
                context.setLocalProperty(name, None)  # type: ignore[arg-type]


def _answer_batch(task: int, answer: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"task": pa.array([task], pa.int32()), "answer": pa.array([answer], pa.binary())}
    )


def is_submitted(spark: "SparkSession", group: str) -> bool:
    """Whether a job of the group is known to Spark, so that later ones come after it."""
    return bool(spark.sparkContext.statusTracker().getJobIdsForGroup(group))


def tasks_done(spark: "SparkSession", group: str) -> int:
    """How many tasks of a job group have ended."""
    return sum(stage.numCompletedTasks for stage in _stages(spark, group))


def tasks_failed(spark: "SparkSession", group: str) -> int:
    """How many attempts at tasks of a job group have failed; those that Spark gave up do not."""
    return sum(stage.numFailedTasks for stage in _stages(spark, group))


def _stages(spark: "SparkSession", group: str) -> Iterator["SparkStageInfo"]:
    tracker = spark.sparkContext.statusTracker()
    for job in tracker.getJobIdsForGroup(group):
        if (info := tracker.getJobInfo(job)) is not None:
            for number in info.stageIds:
                if (stage := tracker.getStageInfo(number)) is not None:
                    yield stage


def cancel(spark: "SparkSession", group: str) -> None:
    """Cancel the jobs of a group, as far as Java is still there to do so."""
    with suppress(Exception):
        spark.sparkContext.cancelJobGroup(group)


def wait_for_tasks(spark: "SparkSession", groups: Iterable[str], seconds: float) -> None:
    """Wait at most so long until no task of the groups runs, as far as Java is there to tell."""
    until = time.monotonic() + seconds
    with suppress(Exception):
        while any(stage.numActiveTasks for group in groups for stage in _stages(spark, group)):
            if time.monotonic() > until:
                return
            time.sleep(_POLL_SECONDS)


class Background:
    """A call that runs in a thread of its own, with a JVM thread of its own behind it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._ended = threading.Event()
        self._outcome: Any = None
        self._error: BaseException | None = None
        from pyspark import InheritableThread

        thread = InheritableThread(target=self._keep, args=(call,), daemon=True)
        # it talks to Java before it comes to the call: what fails there is the outcome too
        thread.run = partial(self._run, thread.run)  # type: ignore[method-assign]
        thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; tells whether the call has ended."""
        interrupts.check()
        return self._ended.wait(seconds)

    def join(self, seconds: float) -> None:
        """Wait at most so long for the end, whatever the user does meanwhile."""
        self._ended.wait(seconds)

    def result(self) -> Any:
        """What the call returned or raised."""
        while not self.wait(_POLL_SECONDS):
            continue
        if self._error is not None:
            raise self._error
        return self._outcome

    def _keep(self, call: Callable[[], T]) -> None:
        self._outcome = call()

    def _run(self, begin: Callable[[], None]) -> None:
        try:
            begin()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()
