"""The Spark session, and the one way in which work is handed to it.

Spark carries small payloads out and small answers back (:func:`map_tasks`); images and features
never pass through it.
"""

import gc
import sys
import threading
import time
import zipimport
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa

from featuremill._utils import signals
from featuremill._utils.hardware import die_first
from featuremill.errors import ConfigError
from featuremill.workers.environment import own_environment
from featuremill.workers.failures import AnswersLostError, is_gone, translated
from featuremill.workers.java import check_java
from featuremill.workers.launch import end, forget, is_alive, last_words, launch

if TYPE_CHECKING:
    from pyspark import SparkStageInfo
    from pyspark.sql import DataFrame, Row, SparkSession


T = TypeVar("T")

FAN_IN = 16
"""Answers that are merged at a time where a job has one result."""

_WORKERS_DIE_FIRST = 500
_GROUP_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")
_POLL_SECONDS = 0.2
_ANSWER = "task int, tasks int, answer binary"


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
        If the session handed in is a Spark Connect session or stopped, another Spark's packages
        would be loaded, or the master does not answer.
    """
    existing = _usable(existing) if existing is not None else _running_session()
    if existing is not None:
        yield existing
        return
    check_java()
    # PySpark looks for a session again whenever it has to name one
    with own_environment(master):
        spark = launch(master)
        # PySpark's own handler calls Java from inside whatever call the signal met
        signals.rearm()
        try:
            signals.check()
            yield spark
        except Exception as error:
            # a store's connection may be what broke
            if not is_gone(error) or is_alive(spark.sparkContext):
                raise
            raise translated(error, last_words()) from error
        finally:
            end(spark)


def _usable(session: "SparkSession") -> "SparkSession":
    if not hasattr(session, "sparkContext"):
        raise ConfigError(
            "the session is a Spark Connect session", "Hand in a classic SparkSession."
        )
    if not is_alive(session.sparkContext):
        raise ConfigError(
            "the session handed in was stopped, or its Java has ended",
            "Hand in a session that runs, or none: then one is started for this run alone.",
        )
    return session


def _running_session() -> "SparkSession | None":
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # a process has one Spark: to start ours would be to get this one, and then to stop it
    running = SparkContext._active_spark_context
    if running is not None and is_alive(running):
        with own_environment(running.master or ""):
            return SparkSession.builder.getOrCreate()
    if running is not None:
        forget()
    return None


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
    AnswersLostError
        If answers are missing although the job ended without an error.
    FeaturemillError
        Whatever the function raised on purpose.
    RunError
        For any other failure of the job.
    """
    with _mapped(spark, payloads, function) as answers:
        rows = _collect(answers, group, len(payloads))
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
        rows = [row for batch in batches for row in batch.to_pylist()]
        if rows:
            tasks = sum(row["tasks"] for row in rows)
            yield _answer_batch(0, merge(row["answer"] for row in rows), tasks)

    with _mapped(spark, payloads, function) as answers:
        remaining = len(payloads)
        while remaining > FAN_IN:
            remaining = -(-remaining // FAN_IN)
            answers = answers.repartition(remaining).mapInArrow(merge_batches, _ANSWER)
        rows = _collect(answers, group, len(payloads))
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


def _collect(answers: "DataFrame", group: str, tasks: int) -> "list[Row]":
    context = answers.sparkSession.sparkContext
    context.setJobGroup(group, f"featuremill {group}", interruptOnCancel=False)
    try:
        rows = answers.collect()
    except Exception as error:
        raise translated(error) from error
    finally:
        with suppress(Exception):
            for name in _GROUP_PROPERTIES:
                context.setLocalProperty(name, None)  # type: ignore[arg-type]
    # where Java ends while it sends them, PySpark takes what came for all there is
    came = sum(row["tasks"] for row in rows)
    if came != tasks:
        if not is_alive(context):
            lost = ConnectionResetError("Java ended while it sent the answers")
            raise translated(lost) from lost
        raise AnswersLostError(group, tasks, came)
    return rows


def _answer_batch(task: int, answer: bytes, tasks: int = 1) -> pa.RecordBatch:
    """One row: an answer, of which task it is, and of how many it is the sum."""
    return pa.RecordBatch.from_pydict(
        {
            "task": pa.array([task], pa.int32()),
            "tasks": pa.array([tasks], pa.int32()),
            "answer": pa.array([answer], pa.binary()),
        }
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
        signals.check()
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


_eased: set[str] = set()


def ease_reuse(work: str) -> None:
    """Spare a worker what PySpark repeats with every task.

    Around each one it collects garbage among all that the libraries hold, and reads the
    directories of the Python archives on the path anew: 0.15 s, for a task of one second or sixty.

    Parameters
    ----------
    work : str
        What the worker did; the first time, what it loaded for that is taken to be there for good.
    """
    if work not in _eased:
        _eased.add(work)
        gc.collect()
        gc.freeze()
    # an import that needs them makes them again
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[path]
