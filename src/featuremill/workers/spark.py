"""The Spark session, and the one way in which work is handed to it."""

import gc
import sys
import time
import zipimport
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from featuremill._utils import signals
from featuremill._utils.extras import require
from featuremill._utils.hardware import die_first
from featuremill.errors import ConfigError
from featuremill.workers.environment import check_pyspark, own_environment
from featuremill.workers.failures import AnswersLostError, is_gone, translated
from featuremill.workers.java import check_java
from featuremill.workers.launch import end, forget, is_alive, last_words, launch
from featuremill.workers.memory import check_memory, shortage
from featuremill.workers.protocol import (
    WORKERS_DIE_FIRST,
    Attempt,
    Background,
    Function,
    Opening,
)

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkStageInfo
    from pyspark.sql import DataFrame, Row, SparkSession


T = TypeVar("T")

FAN_IN = 16
"""Answers that are merged at a time where a job has one result."""

_GROUP_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")
_POLL_SECONDS = 0.2
_ANSWER = "task int, tasks int, answer binary"


@contextmanager
def spark_session(
    master: str | None, existing: "SparkSession | None" = None
) -> Iterator["SparkSession"]:
    """The session handed in, else the one this process has, else our own that ends with the block.

    Raises
    ------
    JavaError
        If a session has to be started and no suitable Java is there.
    ConfigError
        If the session handed in is a Spark Connect session or stopped, another Spark's packages
        would be loaded, or the master does not answer.
    """
    require("spark", "Spark")
    existing = _usable(existing) if existing is not None else running_session()
    if existing is not None:
        yield existing
        return
    if master is None:
        raise ConfigError("the session of this process has ended", "Name a --master.")
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


def check_spark(master: str) -> None:
    """Refuse a master whose Spark cannot be started here; see ``check_workers``."""
    check_pyspark()
    check_java()
    check_memory(master)


def spark_opening(master: str | None, existing: "SparkSession | None" = None) -> Opening:
    """How a run comes by :func:`spark_workers`; without a master a session has to be there."""
    starting = ""
    if existing is None and master is not None:
        starting = f"starting Spark on {master}{shortage(master)}"
    return Opening(partial(spark_workers, master, existing), starting)


@contextmanager
def spark_workers(
    master: str | None, existing: "SparkSession | None" = None
) -> Iterator["SparkWorkers"]:
    """The workers of :func:`spark_session`."""
    with spark_session(master, existing) as session:
        yield SparkWorkers(session)


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


def running_session() -> "SparkSession | None":
    """The session that this process has, if its Java is there."""
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


def cluster_session() -> "SparkSession":
    """The session that the cluster's own settings describe."""
    from pyspark.sql import SparkSession

    return SparkSession.builder.appName("featuremill").getOrCreate()


def slots(spark: "SparkSession") -> int:
    """How many tasks a session runs at the same time."""
    return max(1, spark.sparkContext.defaultParallelism)


class SparkWorkers:
    """The Python workers of a Spark session; see :class:`Workers` for the methods.

    Payloads travel as one broadcast, so that task i always gets payload i, also when it is tried
    again, and no shuffle moves them.
    """

    def __init__(self, session: "SparkSession") -> None:
        self._spark = session

    @property
    def slots(self) -> int:
        """See :class:`Workers`."""
        return slots(self._spark)

    @property
    def description(self) -> str:
        """See :class:`Workers`."""
        return f"Spark {self._spark.version} on {self.master}"

    @property
    def master(self) -> str | None:
        """See :class:`Workers`."""
        return self._spark.sparkContext.master

    def broadcast(self, value: T) -> "Broadcast[T]":
        """See :class:`Workers`."""
        return self._spark.sparkContext.broadcast(value)

    def map(self, payloads: Sequence[bytes], function: Function, group: str) -> list[bytes]:
        """See :class:`Workers`.

        Raises
        ------
        AnswersLostError
            If answers are missing although the job ended without an error.
        """
        with _mapped(self._spark, payloads, function) as answers:
            rows = _collect(answers, group, len(payloads))
        in_order = {row["task"]: bytes(row["answer"]) for row in rows}
        return [in_order[task] for task in range(len(payloads))]

    def reduce(
        self,
        payloads: Sequence[bytes],
        function: Function,
        merge: Callable[[Iterable[bytes]], bytes],
        group: str,
    ) -> bytes:
        """See :class:`Workers`.

        Workers merge in a tree of fan-in ``FAN_IN``, so that the driver never holds more answers.
        """

        def merge_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            rows = [row for batch in batches for row in batch.to_pylist()]
            if rows:
                tasks = sum(row["tasks"] for row in rows)
                yield _answer_batch(0, merge(row["answer"] for row in rows), tasks)

        with _mapped(self._spark, payloads, function) as answers:
            remaining = len(payloads)
            while remaining > FAN_IN:
                remaining = -(-remaining // FAN_IN)
                answers = answers.repartition(remaining).mapInArrow(merge_batches, _ANSWER)
            rows = _collect(answers, group, len(payloads))
        return merge(bytes(row["answer"]) for row in rows)

    def is_submitted(self, group: str) -> bool:
        """See :class:`Workers`: whether a job of the group is known to Spark."""
        return bool(self._spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    def tasks_done(self, group: str) -> int:
        """See :class:`Workers`."""
        return sum(stage.numCompletedTasks for stage in self._stages(group))

    def deaths(self, group: str) -> int:
        """See :class:`Workers`; attempts that Spark gave up itself do not count."""
        return sum(stage.numFailedTasks for stage in self._stages(group))

    def cancel(self, group: str) -> None:
        """See :class:`Workers`; as far as Java is still there to do so."""
        with suppress(Exception):
            self._spark.sparkContext.cancelJobGroup(group)

    def wait(self, groups: Iterable[str], seconds: float) -> None:
        """See :class:`Workers`; as far as Java is there to tell."""
        until = time.monotonic() + seconds
        with suppress(Exception):
            while any(stage.numActiveTasks for group in groups for stage in self._stages(group)):
                if time.monotonic() > until:
                    return
                time.sleep(_POLL_SECONDS)

    def background(self, call: Callable[[], object]) -> Background:
        """See :class:`Workers`; the thread has a thread of Java's of its own behind it."""
        from pyspark import InheritableThread

        return Background(call, InheritableThread)

    def _stages(self, group: str) -> Iterator["SparkStageInfo"]:
        tracker = self._spark.sparkContext.statusTracker()
        for job in tracker.getJobIdsForGroup(group):
            if (info := tracker.getJobInfo(job)) is not None:
                for number in info.stageIds:
                    if (stage := tracker.getStageInfo(number)) is not None:
                        yield stage


@contextmanager
def _mapped(
    spark: "SparkSession", payloads: Sequence[bytes], function: Function
) -> Iterator["DataFrame"]:
    broadcast = spark.sparkContext.broadcast(list(payloads))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        die_first(WORKERS_DIE_FIRST)
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
