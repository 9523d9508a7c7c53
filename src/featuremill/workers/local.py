"""Workers that are processes of this machine, spawned and never forked; they need no Java.

Why this is no library's pool: docs/decisions/0018-processes-without-java.md.
"""

import os
import pickle
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self, TypeVar

from featuremill._utils.formatting import plural
from featuremill.errors import FeaturemillError, InputError, RunError, WorkerError
from featuremill.workers.failures import remedy, root_cause
from featuremill.workers.local_process import LocalProcess
from featuremill.workers.protocol import (
    TASK_ATTEMPTS,
    Attempt,
    Background,
    Function,
    WorkerDiedError,
)
from featuremill.workers.shared_file import Handle, SharedFile

T = TypeVar("T")

_TAIL_BYTES = 16_384
_END_SECONDS = 10.0
_LOOK_AT_MEMORY = "Look at memory first: fewer workers (--workers 1) or a larger machine."


@dataclass(eq=False)
class _Job:
    """The tasks of one call, and what has come of them."""

    group: str
    function: bytes
    payloads: Sequence[bytes]
    waiting: deque[Attempt]
    answers: dict[int, bytes] = field(default_factory=dict)
    error: FeaturemillError | None = None

    def message(self, attempt: Attempt) -> bytes:
        """What a worker is told."""
        return pickle.dumps((self.function, self.payloads[attempt.task], tuple(attempt)))


class LocalWorkers:
    """Processes of this machine; see :class:`Workers` for the methods of the protocol.

    They start at once, and load while the caller does other things. Each has a thread here that
    starts it, hands it one task after the other, and replaces it when it has died. In a ``with``
    block they end with the block.

    Parameters
    ----------
    count : int
        How many.
    modules : sequence of str
        What each imports before its first task.
    """

    def __init__(self, count: int, modules: Sequence[str] = ()) -> None:
        self._modules, self._shared = modules, SharedFile()
        # what decoders print about damaged images would bury what a run has to say
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115  (as long as the workers live)
        self._changed = threading.Condition()
        """Guards all that follows, and tells that some of it is another now."""
        self._jobs: list[_Job] = []
        self._busy: dict[LocalProcess, _Job] = {}
        self._processes: set[LocalProcess] = set()
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._employing, self._broken, self._closed = count, "", False
        self._threads = [threading.Thread(target=self._employ, daemon=True) for _ in range(count)]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:
            # the system gives no more threads
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def slots(self) -> int:
        """See :class:`Workers`."""
        return len(self._threads)

    @property
    def description(self) -> str:
        """See :class:`Workers`."""
        return f"{plural(self.slots, 'process', 'processes')} of this machine"

    @property
    def master(self) -> None:
        """See :class:`Workers`."""
        return

    def broadcast(self, value: T) -> Handle[T]:
        """See :class:`Workers`."""
        return self._shared.add(value)

    def map(self, payloads: Sequence[bytes], function: Function, group: str) -> list[bytes]:
        """See :class:`Workers`."""
        return list(self._answers(payloads, function, group))

    def reduce(
        self,
        payloads: Sequence[bytes],
        function: Function,
        merge: Callable[[Iterable[bytes]], bytes],
        group: str,
    ) -> bytes:
        """See :class:`Workers`; answers are merged here, in order, as they come."""
        return merge(self._answers(payloads, function, group))

    def is_submitted(self, group: str) -> bool:
        """See :class:`Workers`."""
        with self._changed:
            return any(job.group == group for job in self._jobs)

    def tasks_done(self, group: str) -> int:
        """See :class:`Workers`."""
        return self._done[group]

    def deaths(self, group: str) -> int:
        """See :class:`Workers`."""
        return self._failed[group]

    def cancel(self, group: str) -> None:
        """See :class:`Workers`; processes that do tasks of the group are killed and replaced."""
        with self._changed:
            for job in self._jobs.copy():
                if job.group == group:
                    self._fail(job, RunError(f"the tasks of {group} were cancelled"))

    def wait(self, groups: Iterable[str], seconds: float) -> None:
        """See :class:`Workers`."""
        names = set(groups)
        with self._changed:
            self._changed.wait_for(
                lambda: not any(job.group in names for job in self._busy.values()), seconds
            )

    def background(self, call: Callable[[], object]) -> Background:
        """See :class:`Workers`."""
        return Background(call)

    def close(self) -> None:
        """End all processes; what is under way is lost."""
        with self._changed:
            self._closed = True
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_END_SECONDS)
        self._shared.close()
        self._said.close()

    # What callers wait for

    def _answers(
        self, payloads: Sequence[bytes], function: Function, group: str
    ) -> Iterator[bytes]:
        """Answers in the payloads' order, each as soon as it and those before it are there."""
        job = self._submit(payloads, function, group)
        try:
            for task in range(len(payloads)):
                yield self._answer(job, task)
        finally:
            with self._changed:
                # of one that is done nothing is left to give up
                self._fail(job, RunError(f"the tasks of {group} were given up"))

    def _submit(self, payloads: Sequence[bytes], function: Function, group: str) -> _Job:
        try:
            pickled = pickle.dumps(function)
        except Exception as error:
            raise RunError(
                f"{function!r} cannot be sent to another process: {error}",
                "Make it a function of a module, and what it holds picklable.",
            ) from error
        waiting = deque(Attempt(task, 0) for task in range(len(payloads)))
        job = _Job(group, pickled, payloads, waiting)
        with self._changed:
            self._jobs.append(job)
            if self._broken or self._closed:
                self._fail(job, self._no_workers())
            self._changed.notify_all()
        return job

    def _answer(self, job: _Job, task: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: task in job.answers or job.error is not None)
            if job.error is not None:
                raise job.error
            return job.answers.pop(task)

    def _fail(self, job: _Job, error: FeaturemillError) -> None:
        """Give up a job: none of its tasks is begun any more, and none goes on."""
        if job not in self._jobs:
            return
        self._jobs.remove(job)
        job.error = job.error or error
        for process, busy_with in self._busy.items():
            if busy_with is job:
                process.kill()
        self._changed.notify_all()

    # What a process' thread does

    def _employ(self) -> None:
        try:
            self._serve()
        except Exception as error:
            # a defect of ours must not become a run that never ends
            self._leave(f"{type(error).__name__}: {error}")
            raise

    def _serve(self) -> None:
        """Let one process after another do tasks, until all is over."""
        while (process := self._started()) is not None:
            try:
                while (taken := self._take(process)) is not None:
                    job, attempt = taken
                    self._settle(process, job, attempt, process.ask(job.message(attempt)))
            finally:
                process.bury()
                with self._changed:
                    self._processes.discard(process)

    def _started(self) -> LocalProcess | None:
        """A process that is ready for tasks; None when there is to be none any more."""
        for _ in range(TASK_ATTEMPTS):
            try:
                process = LocalProcess(self._modules, self._shared.number, self._said.fileno())
            except OSError as error:
                problem = str(error)
                continue
            with self._changed:
                self._processes.add(process)
                if self._closed:
                    process.kill()
            if process.is_ready():
                return process
            process.bury()
            with self._changed:
                self._processes.discard(process)
                if self._closed:
                    return None
            problem = root_cause(self._last_words()) or "it ended without a word"
        self._leave(problem)
        return None

    def _leave(self, problem: str) -> None:
        """Have one worker less for good; without any, no task can be done any more."""
        with self._changed:
            self._employing -= 1
            if not self._employing:
                self._broken = problem
                for job in self._jobs.copy():
                    self._fail(job, self._no_workers())

    def _take(self, process: LocalProcess) -> tuple[_Job, Attempt] | None:
        """The next task, of the job that came first; None where the process has no future."""
        with self._changed:
            while not self._closed:
                if not process.lives:
                    # it died while it had nothing to do: that is no task's fault
                    return None
                for job in self._jobs:
                    if job.waiting:
                        self._busy[process] = job
                        return job, job.waiting.popleft()
                self._changed.wait()
        return None

    def _settle(
        self, process: LocalProcess, job: _Job, attempt: Attempt, answer: bytes | None
    ) -> None:
        outcome = _outcome(answer)
        if answer is None:
            process.bury()
        with self._changed:
            del self._busy[process]
            self._changed.notify_all()
            if job.error is not None:
                return
            if isinstance(outcome, bytes):
                job.answers[attempt.task] = outcome
                self._done[job.group] += 1
                return
            self._failed[job.group] += 1
            # what is refused once is refused again
            if attempt.number + 1 < TASK_ATTEMPTS and not isinstance(outcome, InputError):
                job.waiting.appendleft(Attempt(attempt.task, attempt.number + 1))
            else:
                self._fail(job, outcome)

    def _no_workers(self) -> FeaturemillError:
        if self._closed:
            return RunError("the workers have ended")
        return WorkerError(
            f"no worker process could be started: {self._broken}",
            remedy(self._broken) or _LOOK_AT_MEMORY,
        )

    def _last_words(self) -> str:
        """The end of what the processes have printed."""
        with suppress(OSError, ValueError):
            size = os.fstat(self._said.fileno()).st_size
            told = os.pread(self._said.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
            return told.decode(errors="replace").strip()
        return ""


def _outcome(answer: bytes | None) -> bytes | FeaturemillError:
    """What came of a task, as its process has told, or by dying has not."""
    if answer is None:
        return WorkerDiedError("a worker process died", _LOOK_AT_MEMORY)
    try:
        outcome: bytes | FeaturemillError = pickle.loads(answer)
    except Exception as error:
        return RunError(f"a worker's answer cannot be read: {error}")
    return outcome
