"""Which precision to take and how fast it will be, found out on the run's own first images.

It also readies every worker: the network is compiled when the first chunk comes.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from featuremill.errors import PrecisionError
from featuremill.images.raw_pixels import Pixels
from featuremill.images.sandbox import InChild, InProcess
from featuremill.models.engines import (
    BATCH,
    Engine,
    FeatureBatch,
    native_bf16,
    open_engine,
    smallest_cosine,
)
from featuremill.models.network import BOUNDS
from featuremill.storage.listing import Reference, pack, unpack
from featuremill.workers.protocol import Attempt, Workers
from featuremill.workflows.run.dispatch import EmbeddingWork
from featuremill.workflows.run.task import Picture, decode, fetch

SAMPLE_PER_SLOT = 2 * BATCH

_WORTHWHILE = 1.1
"""A fast precision has to beat fp32 by that much: some CPUs only emulate it."""


@dataclass(frozen=True)
class Verdict:
    """The precision of a run and the evidence for it.

    ``smallest_cosine`` compares what was tried (an engine, or JPEGs decoded smaller) with fp32 on
    every pixel over ``compared`` images; it is None where nothing was tried or no image could be
    decoded. ``every_pixel`` tells whether large JPEGs are to be decoded at their full size.
    """

    precision: str
    tried: str
    every_pixel: bool
    smallest_cosine: float | None
    compared: int
    images_per_second: float
    warning: str = ""


@dataclass(frozen=True)
class Answer:
    """What one worker found; ``refusal`` is why it cannot serve the precision, if so."""

    refusal: str | None
    native_bf16: bool
    compared: int
    cosine: float | None
    decode_seconds: float
    """For one image, resizing and fetching included."""
    embed_seconds: float
    """For one image: by the engine that was tried, or in fp32 where that was refused."""
    fp32_seconds: float


@dataclass(frozen=True)
class Examine:
    """The function that runs on a worker: compare a fast way to features with the exact one."""

    work: EmbeddingWork

    def __call__(self, payload: bytes, attempt: Attempt) -> bytes:
        """Answer, as JSON, what this worker can do."""
        references = [item for item in unpack(payload) if isinstance(item, Reference)]
        exact = self._open("fp32")
        refusal = None
        try:
            fast = self._open(self.work.precision)
        except PrecisionError as error:
            refusal, fast = error.problem, exact
        every_pixel, decoding = self._decoded(references, None, attempt)
        pixels = every_pixel
        if not self.work.task.every_pixel:
            smaller, decoding = self._decoded(references, self.work.task.target, attempt)
            pixels = every_pixel if np.array_equal(smaller, every_pixel) else smaller
        features, embedding = _timed(fast, pixels)
        expected, in_fp32 = features, embedding
        if fast is not exact or pixels is not every_pixel:
            expected, in_fp32 = _timed(exact, every_pixel)
        tried = len(pixels) > 0 and expected is not features
        answer = Answer(
            refusal=refusal,
            native_bf16=native_bf16(),
            compared=len(pixels) if tried else 0,
            cosine=smallest_cosine(features, expected) if tried else None,
            decode_seconds=decoding,
            embed_seconds=embedding,
            fp32_seconds=in_fp32,
        )
        return json.dumps(asdict(answer)).encode()

    def _open(self, precision: str) -> Engine:
        return open_engine(self.work.network.value, precision, self.work.engine)

    def _decoded(
        self, references: list[Reference], target: tuple[int, int] | None, attempt: Attempt
    ) -> tuple[Pixels, float]:
        """Pixels (n, H, W, 3) of the images that can be decoded, and seconds for one of them."""
        task, work = self.work.task, self.work
        pixels: list[Pixels] = []
        moments: list[float] = []
        # as in a task: in a child once a worker has died, so that no image can end the probe
        make_decoder = InChild if attempt.number > 0 else InProcess
        with make_decoder(task.limits, work.image_timeout, work.decoder, target) as decoder:
            for item in decode(
                fetch(references, task.source, task.limits), decoder, task.preprocessing
            ):
                moments.append(time.perf_counter())
                if isinstance(item, Picture):
                    pixels.append(item.pixels)
        # the first one waits for the child's start
        seconds = (moments[-1] - moments[0]) / (len(moments) - 1) if len(moments) > 1 else 0.0
        return np.array(pixels, np.uint8).reshape(-1, *task.preprocessing.size, 3), seconds


def _timed(engine: Engine, pixels: Pixels) -> tuple[FeatureBatch, float]:
    """Features, and seconds for one image of a full batch; without images, of black ones."""
    embed = engine.embed
    if not len(pixels):
        # a batch as such: an engine may treat black pictures in a way of their own
        pixels, embed = np.zeros((engine.batch, *pixels.shape[1:]), np.uint8), engine.embed_batch
    embed(pixels)  # what compiles late does so here
    start = time.perf_counter()
    features = embed(pixels)
    batches = -(-len(pixels) // engine.batch)
    return features, (time.perf_counter() - start) / (batches * engine.batch)


def examine(
    workers: Workers, work: EmbeddingWork, wanted: str, sample: Sequence[Reference]
) -> Verdict:
    """Decide the precision of a run.

    Parameters
    ----------
    work : EmbeddingWork
        With the fast precision that is to be tried.
    wanted : str
        ``auto``, ``fp32``, ``mixed`` or ``bf16``, as asked for.
    sample : sequence of Reference
        First images of the run.

    Raises
    ------
    PrecisionError
        If ``mixed`` or ``bf16`` was asked for and a worker refuses it, or ``mixed`` misses the
        contract on these images.
    """
    count = workers.slots
    payloads = [pack(sample[slot::count][:SAMPLE_PER_SLOT]) for slot in range(count)]
    answers = [Answer(**json.loads(a)) for a in workers.map(payloads, Examine(work), "probe")]
    smallest, compared = _evidence(answers)
    verdict = Verdict(
        precision=work.precision,
        tried=work.precision,
        every_pixel=work.task.every_pixel,
        smallest_cosine=smallest,
        compared=compared,
        images_per_second=_speed(answers),
    )
    return _kept(_affordable(verdict, wanted, answers), wanted, answers)


def _evidence(answers: Sequence[Answer]) -> tuple[float | None, int]:
    """Smallest cosine, if any was found, and over how many images."""
    cosines = [answer.cosine for answer in answers if answer.cosine is not None]
    return min(cosines, default=None), sum(answer.compared for answer in answers)


def _speed(answers: Sequence[Answer], *, fp32: bool = False) -> float:
    """Images a second of all workers together, decoding included."""
    return sum(
        1 / (answer.decode_seconds + (answer.fp32_seconds if fp32 else answer.embed_seconds))
        for answer in answers
    )


def _affordable(verdict: Verdict, wanted: str, answers: Sequence[Answer]) -> Verdict:
    """Take fp32 where a worker refuses the precision that was tried, or it does not pay."""
    in_fp32 = replace(verdict, precision="fp32", images_per_second=_speed(answers, fp32=True))
    refusals = [answer for answer in answers if answer.refusal]
    if refusals:
        # that a CPU has no bf16 is nothing to be warned of: it computes as fast as it can
        unexpected = next((each for each in refusals if each.native_bf16), None)
        refusal = (unexpected or refusals[0]).refusal
        if wanted != "auto":
            raise PrecisionError(
                f"--precision is {wanted}, but a worker refuses it: {refusal}",
                "Choose --precision fp32 or auto.",
            )
        warning = f"{refusal} This run computes in fp32." if unexpected else ""
        # what other workers found of the refused precision says nothing of what will run
        smallest, compared = _evidence(refusals)
        return replace(
            in_fp32,
            tried="fp32",
            smallest_cosine=smallest,
            compared=compared,
            warning=warning,
        )
    gain = sum(a.fp32_seconds for a in answers) / sum(a.embed_seconds for a in answers)
    if wanted == "auto" and gain < _WORTHWHILE:
        return in_fp32
    return verdict


def _kept(verdict: Verdict, wanted: str, answers: Sequence[Answer]) -> Verdict:
    """Take fp32 on every pixel where the contract was missed."""
    bound, cosine = BOUNDS["auto"], verdict.smallest_cosine
    if verdict.tried == "bf16" or bound is None or cosine is None or cosine >= bound:
        return verdict
    what = "decoding large JPEGs at a part of their size"
    if verdict.tried != "fp32":
        what = f"computing in {verdict.tried} precision"
    problem = (
        f"On the worst of the first {verdict.compared} images, {what} gives features of cosine"
        f" {cosine:.6f} to those of every pixel in float32; the contract is {bound}"
    )
    if wanted == "mixed":
        raise PrecisionError(problem, "Choose --precision fp32 or auto.")
    return replace(
        verdict,
        precision="fp32",
        every_pixel=True,
        images_per_second=_speed(answers, fp32=True),
        warning=f"{problem}. This run does neither: it decodes every pixel and computes in float32,"
        " which takes longer. Nothing needs to be done; --precision fp32 saves the attempt.",
    )
