"""Failures of Spark, in terms of what happened."""

import re

from featuremill import errors
from featuremill.errors import FeaturemillError, RunError

_LOOK_AT_MEMORY = "Look at memory first: fewer tasks (--master 'local[1]') or a larger machine."


class WorkerDiedError(RunError):
    """A worker process died, as often as Spark tried."""


_DEATHS = (
    "Python worker exited unexpectedly",
    "Python worker failed to connect back",
    "ExecutorLostFailure",
    "Connection reset",
    "java.io.EOFException",
)


def is_gone(error: BaseException) -> bool:
    """Whether an error says that there is no Java to talk to any more."""
    from py4j.protocol import Py4JError, Py4JNetworkError

    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, ConnectionError | Py4JNetworkError):
            return True
        # a call that Java's end cut short: an answer with neither an exception nor a trace
        if type(chain) is Py4JError and "Trace:" not in str(chain):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def translated(error: Exception) -> FeaturemillError:
    """The error of a job, in terms of what happened on the worker."""
    text = str(error)
    raised = re.search(r"featuremill\.errors\.(\w+): (.*)(?:\n([A-Z].*\.)$)?", text, re.MULTILINE)
    if raised is not None:
        kind = getattr(errors, raised[1], RunError)
        if isinstance(kind, type) and issubclass(kind, FeaturemillError):
            return kind(raised[2].strip(), raised[3] or "")
    if is_gone(error):
        return RunError(
            "Spark's Java process died",
            f"{_LOOK_AT_MEMORY} What was committed is kept: the same command goes on there.",
        )
    if any(sign in text for sign in _DEATHS):
        return WorkerDiedError("a worker process died", _LOOK_AT_MEMORY)
    return RunError(f"a Spark job failed: {root_cause(error)}", "")


def root_cause(error: Exception) -> str:
    """The line of an error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*:", line)]
    return (causes or lines or [repr(error)])[-1]
