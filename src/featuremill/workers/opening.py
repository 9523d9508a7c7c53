"""Which workers a run has: processes of this machine, or Spark's."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from featuremill._utils.formatting import plural
from featuremill._utils.progress import Progress
from featuremill.config import RunConfig
from featuremill.errors import ConfigError
from featuremill.workers.memory import PROCESSES
from featuremill.workers.protocol import Opening

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def on_spark(config: RunConfig, session: "SparkSession | None" = None) -> bool:
    """Whether a run has Spark's workers.

    It has if a master is named or a session is handed in, or if this process has a session and
    the run does not say how many processes it wants.
    """
    if session is not None or config.master is not None:
        return True
    return config.workers is None and _has_session()


def _has_session() -> bool:
    # who never imported it has none
    if "pyspark" not in sys.modules:
        return False
    from featuremill.workers.spark import running_session

    return running_session() is not None


def _check(config: RunConfig, session: "SparkSession | None") -> None:
    if session is not None:
        if config.workers is not None:
            raise ConfigError(
                f"--workers {config.workers} was given, but the session handed in has its own",
                "Leave one of them out.",
            )
        return
    if not on_spark(config):
        PROCESSES.check(config.workers or PROCESSES.tasks())
    elif config.master is not None:
        from featuremill.workers.spark import check_spark

        check_spark(config.master)


@contextmanager
def opening(
    config: RunConfig,
    session: "SparkSession | None",
    modules: Sequence[str],
    progress: Progress,
) -> Iterator[Opening]:
    """How a run comes by its workers; processes of this machine start here, Spark when asked.

    Parameters
    ----------
    modules : sequence of str
        What a worker of this machine imports before it has work.

    Raises
    ------
    JavaError
        If the run needs Spark and no suitable Java is there.
    ConfigError
        If the PySpark is not ours, the memory is too small, or a session was handed in along with
        a number of processes.
    """
    _check(config, session)
    if on_spark(config, session):
        from featuremill.workers.spark import spark_opening

        yield spark_opening(config.master, session)
        return
    from featuremill.workers.local import LocalWorkers

    count = config.workers or PROCESSES.tasks()
    left_idle = "" if config.workers else PROCESSES.shortage(count)
    progress.say(f"starting {plural(count, 'worker')}{left_idle}")
    try:
        workers = LocalWorkers(count, modules)
    except OSError as error:
        raise ConfigError(
            f"the temporary folder cannot be written: {error.strerror}",
            "Make room there, or name another one in TMPDIR.",
        ) from error
    with workers:
        # when the work is done their memory is free for the outputs
        yield Opening(lambda: closing(workers))
