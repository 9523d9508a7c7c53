"""What a run asks of its workers, whether they are processes of this machine or Spark's.

Work is small payloads out and small answers back; images and features never pass through here.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from featuremill._utils import signals
from featuremill.errors import RunError

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

TASK_ATTEMPTS = 4
"""How often a task is tried; the attempts after the first decode in a process of their own."""

WORKERS_DIE_FIRST = 500
"""A task that is lost is done again; a lost driver ends the run."""

# one worker is one core; nested thread pools would fight for it
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Environment of every worker."""

_POLL_SECONDS = 0.2


class WorkerDiedError(RunError):
    """A worker process died, as often as a task was tried."""


class Attempt(NamedTuple):
    """Which task this is, and how often it was tried before."""

    task: int
    number: int


class Shared(Protocol[T_co]):
    """A value that travels to every worker once, and not with each task."""

    @property
    def value(self) -> T_co:
        """The value, on a worker."""

    def destroy(self) -> None:
        """Let go of it, on the driver."""


Function = Callable[[bytes, Attempt], bytes]
"""What a worker does: a payload in, an answer out. It must be picklable."""


class Workers(Protocol):
    """Those who do the tasks of a run. Every method may be called from any thread."""

    @property
    def slots(self) -> int:
        """How many tasks run at the same time."""

    @property
    def description(self) -> str:
        """Who they are, for people."""

    @property
    def master(self) -> str | None:
        """Of the Spark that they belong to; None where they are processes of this machine."""

    def broadcast(self, value: T) -> Shared[T]:
        """Hand a picklable value to all workers at once."""

    def map(self, payloads: Sequence[bytes], function: Function, group: str) -> list[bytes]:
        """Do one task for each payload; returns the answers in the payloads' order.

        Task i has payload i whenever it is tried. Of two groups under way, the tasks of the one
        that came first are begun first.

        Parameters
        ----------
        group : str
            Name under which the tasks are counted and can be cancelled.

        Raises
        ------
        WorkerDiedError
            If a worker died each time a task was tried.
        FeaturemillError
            Whatever the function raised on purpose.
        RunError
            For any other failure.
        """

    def reduce(
        self,
        payloads: Sequence[bytes],
        function: Function,
        merge: Callable[[Iterable[bytes]], bytes],
        group: str,
    ) -> bytes:
        """Like :meth:`map`, with the answers merged to one; few are in memory at a time."""

    def is_submitted(self, group: str) -> bool:
        """Whether tasks of the group are known, so that those of later groups come after them."""

    def tasks_done(self, group: str) -> int:
        """How many tasks of a group have ended."""

    def deaths(self, group: str) -> int:
        """How many attempts at tasks of a group have failed."""

    def cancel(self, group: str) -> None:
        """Give up the tasks of a group."""

    def wait(self, groups: Iterable[str], seconds: float) -> None:
        """Wait at most so long until no task of these groups runs, and so none writes any more."""

    def background(self, call: Callable[[], object]) -> "Background":
        """Run a call that uses these workers in a thread of its own."""


@dataclass(frozen=True)
class Opening:
    """How a run comes by its workers, once it has work for them.

    Parameters
    ----------
    start : callable
        Gives the workers for a block.
    starting : str
        What is waited for meanwhile, for people; empty where they are there already.
    """

    start: Callable[[], AbstractContextManager[Workers]]
    starting: str = ""

    @classmethod
    def of(cls, workers: Workers) -> "Opening":
        """Workers that are there, and stay when the block has ended."""
        return cls(lambda: nullcontext(workers))


class Background:
    """A call that runs in a thread of its own.

    Parameters
    ----------
    call : callable
    thread : callable
        Makes the thread, as ``threading.Thread`` does.
    """

    def __init__(
        self,
        call: Callable[[], object],
        thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        self._ended = threading.Event()
        self._outcome: Any = None
        self._error: BaseException | None = None
        made = thread(target=self._keep, args=(call,), daemon=True)
        begin = made.run
        # a thread may do things of its own before the call: what fails there is the outcome too
        made.run = lambda: self._run(begin)  # type: ignore[method-assign]
        made.start()

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

    def _keep(self, call: Callable[[], object]) -> None:
        self._outcome = call()

    def _run(self, begin: Callable[[], None]) -> None:
        try:
            begin()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()
