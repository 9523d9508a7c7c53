"""Chunks to workers and receipts back: the driver's side of extraction.

Images are decoded in the worker itself at a task's first attempt. If a worker dies, its task is
tried again, and from then on every image is decoded in a child process that can be lost
alone. Should even that not do, the chunk is halved until the image that kills is found.
"""

import pickle
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from featuremill.errors import PrecisionError, WorkerError
from featuremill.images.sandbox import InChild, InProcess
from featuremill.models.engines import Engine, open_engine
from featuremill.models.network import Network
from featuremill.storage.listing import Reference, Rejection, pack, unpack
from featuremill.workers.protocol import Attempt, Shared, WorkerDiedError, Workers
from featuremill.workflows.run.chunks import split
from featuremill.workflows.run.decoder_time import most_excess
from featuremill.workflows.run.task import SCHEMA_FINGERPRINT, Receipt, Task, run_task


@dataclass(frozen=True)
class EmbeddingWork:
    """What a worker needs to embed references; small and picklable, the network a broadcast."""

    task: Task
    network: Shared[Network]
    precision: str
    engine: str
    image_timeout: float
    decoder: str = "featuremill.images.decode:decode"

    def open_engine(self) -> Engine:
        """Engine of this process; fp32, which meets every contract, where ``mixed`` is refused."""
        try:
            return open_engine(self.network.value, self.precision, self.engine)
        except PrecisionError:
            if self.precision != "mixed":
                raise
            return open_engine(self.network.value, "fp32", self.engine)


class Deaths:
    """How many workers have died in a run, and how many may; chunks share it.

    Every attempt at a task that failed counts: a decoder that crashed the worker, one that hung
    until it was ended, a worker that the kernel killed for its memory, a lost machine.

    Parameters
    ----------
    limit : int
        The run stops above it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of_group: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Deaths in all chunks so far."""
        return sum(self._of_group.copy().values())

    def note(self, workers: Workers, group: str) -> None:
        """Take over what is known of a chunk's tasks."""
        self._of_group[group] = workers.deaths(group)

    def check(self) -> None:
        """Raise WorkerError if there are too many."""
        if self.total > self._limit:
            raise WorkerError(
                f"worker processes died {self.total} times, --max-worker-deaths is {self._limit}",
                "Look at memory first: fewer tasks at once (--workers 1) or a larger machine. If"
                " images crash their decoder, raise --max-worker-deaths: they become rejects."
                " What was committed is kept; run the same command again to resume.",
            )


@dataclass(frozen=True)
class EmbedReferences:
    """The function that runs on a worker: packed references in, a pickled receipt out."""

    work: EmbeddingWork
    chunk: int
    isolated: bool

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        """Embed the references of one task."""
        task = self.work.task
        references = [item for item in unpack(payload) if isinstance(item, Reference)]
        # the token keeps attempts apart that run at the same time
        name = (
            f"status=ok/{task.run}-{self.chunk:05d}-{attempt.task:04d}"
            f"-{attempt.number}-{secrets.token_hex(4)}.parquet"
        )
        isolated = self.isolated or attempt.number > 0
        make_decoder = InChild if isolated else InProcess
        timeout, function = self.work.image_timeout, self.work.decoder
        with make_decoder(task.limits, timeout, function, task.target) as decoder:
            receipt = run_task(
                *(task, references, name, self.work.open_engine(), decoder),
                patience=most_excess(timeout),
            )
        return pickle.dumps(receipt)


def embed_chunk(
    workers: Workers,
    work: EmbeddingWork,
    number: int,
    references: Sequence[Reference],
    group: str,
    deaths: Deaths,
) -> list[Receipt]:
    """Embed the references of one chunk.

    Raises
    ------
    WorkerError
        If more workers die than may, or they run another version of featuremill.
    """
    fatal: list[Rejection] = []
    function = EmbedReferences(work, number, False)
    receipts = _embed(workers, function, list(references), group, deaths, fatal)
    deaths.note(workers, group)
    for receipt in receipts:
        if receipt.schema != SCHEMA_FINGERPRINT:
            raise WorkerError(
                "a worker wrote other columns than this driver knows",
                "Install the same version of featuremill on every machine of the cluster.",
            )
    if fatal:
        receipts.append(Receipt(None, 0, 0, tuple(fatal), work.precision, 0.0, 0.0))
    return receipts


def _embed(
    workers: Workers,
    function: EmbedReferences,
    references: list[Reference],
    group: str,
    deaths: Deaths,
    fatal: list[Rejection],
) -> list[Receipt]:
    if not references:
        return []
    payloads = [pack(share) for share in split(references, workers.slots)]
    try:
        answers = workers.map(payloads, function, group)
        return [pickle.loads(answer) for answer in answers]
    except WorkerDiedError:
        deaths.note(workers, group)
        deaths.check()
        if len(references) == 1:
            fatal.append(Rejection(references[0], "worker", "the worker died on this image"))
            return []
    isolated = EmbedReferences(function.work, function.chunk, True)
    middle = len(references) // 2
    return [
        receipt
        for half in (references[:middle], references[middle:])
        for receipt in _embed(workers, isolated, half, group, deaths, fatal)
    ]
