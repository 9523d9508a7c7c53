"""Failures of Spark, in terms of what happened."""

import re

from featuremill import errors
from featuremill.errors import FeaturemillError, RunError
from featuremill.workers.java import MAKE_ROOM
from featuremill.workers.protocol import WorkerDiedError

_LOOK_AT_MEMORY = "Look at memory first: fewer tasks (--master 'local[1]') or a larger machine."
_KEPT = "What was committed is kept; run the same command again to resume."


class AnswersLostError(RunError):
    """A Spark job ended without an error and gave fewer answers than it had tasks."""

    def __init__(self, group: str, tasks: int, answers: int) -> None:
        super().__init__(
            f"Spark's job {group} had {tasks:,} tasks and gave {answers:,} answers, without an"
            " error",
            f"{_LOOK_AT_MEMORY} {_KEPT}",
        )


_DEATHS = (
    "Python worker exited unexpectedly",
    "Python worker failed to connect back",
    "ExecutorLostFailure",
    "Connection reset",
    "java.io.EOFException",
)
_ANOTHER = "During handling of the above exception, another exception occurred:"
_FOLLOWING = "The above exception was the direct cause of the following exception:"
_CAUSE = re.compile(
    r'^\s*(?:Caused by: |Exception in thread "[^"]*" |: )?'
    r"((?:[\w$]+\.)*\w*(?:[Ee]rror|Exception): +\S.*)",
    re.MULTILINE,
)
_LACK_OF_THREADS = (
    "unable to create native thread",
    "can't start new thread",
    "Resource temporarily unavailable",
    "could start no more threads",
    "Failed to start the native thread for java.lang.Thread",
)
_NO_THREAD = re.compile(rf'{_LACK_OF_THREADS[-1]} ("[^"\n]*")')


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


def translated(error: Exception, last_words: str = "") -> FeaturemillError:
    """The error of a job, in terms of what happened on the worker.

    Parameters
    ----------
    last_words : str
        How Java ended, where that is known.
    """
    text = str(error)
    raised = re.search(r"featuremill\.errors\.(\w+): (.*)(?:\n([A-Z].*\.)$)?", text, re.MULTILINE)
    if raised is not None:
        kind = getattr(errors, raised[1], RunError)
        if isinstance(kind, type) and issubclass(kind, FeaturemillError):
            return kind(raised[2].strip(), raised[3] or "")
    if is_gone(error):
        return RunError(
            "Spark's Java process died" + (f" ({last_words})" if last_words else ""),
            f"{remedy(last_words) or _LOOK_AT_MEMORY} {_KEPT}",
        )
    if any(sign in text for sign in _DEATHS):
        return WorkerDiedError("a worker process died", _LOOK_AT_MEMORY)
    return RunError(f"a Spark job failed: {root_cause(text)}", remedy(text))


def root_cause(text: str) -> str:
    """Of an error with all that it came from, the deepest that says something.

    Parameters
    ----------
    text : str
        What Java or Python printed of it.
    """
    worker = re.search(r"Error from python worker:\n(.*?)(?:\nPYTHONPATH was:|\Z)", text, re.DOTALL)
    pieces = re.split("^(?=Caused by: )", worker[1] if worker else text, flags=re.MULTILINE)
    for piece in reversed(pieces):
        # of Python's errors the first is the one that the others came of
        first = piece.rsplit(_ANOTHER, 1)[-1].split(_FOLLOWING, 1)[0]
        if causes := _CAUSE.findall(first):
            return str(causes[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ([line for line in lines if not line.startswith("at ")] or [""])[-1]


def lack_of_threads(text: str) -> str:
    """Which thread of Spark's Java could not start, if it says so; else nothing.

    It does without some of its own, such as those that collect garbage.
    """
    found = _NO_THREAD.findall(text)
    return f"Java could start no more threads: {found[-1]} failed" if found else ""


def remedy(text: str) -> str:
    """What to do about an error, where its text tells."""
    if any(sign in text for sign in _LACK_OF_THREADS):
        return MAKE_ROOM
    if "No module named" in text:
        return "Install the same packages for the Python of every worker."
    return ""
