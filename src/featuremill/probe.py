"""Which precision to take and how fast it will be, found out on the run's own first images.

It also readies every worker: the network is compiled when the first chunk comes.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featuremill.dispatch import Work
from featuremill.errors import PrecisionError
from featuremill.extract import Picture, decode, fetch
from featuremill.isolation import InChild
from featuremill.models.engines import BATCH, native_bf16, open_engine
from featuremill.models.network import BOUNDS
from featuremill.models.parity import smallest_cosine
from featuremill.references import Reference, pack, unpack
from featuremill.session import Attempt, map_tasks, slots

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SAMPLE_PER_SLOT = 2 * BATCH


@dataclass(frozen=True)
class Verdict:
    """The precision of a run and the evidence for it.

    ``smallest_cosine`` compares the fast precision that was tried with fp32 over ``compared``
    images; it is None where nothing was tried or no image could be decoded.
    """

    precision: str
    tried: str
    smallest_cosine: float | None
    compared: int
    images_per_second: float
    warning: str = ""


@dataclass(frozen=True)
class Examine:
    """The function that runs on a worker: compare a fast precision with fp32 on some images."""

    work: Work

    def __call__(self, payload: bytes, _: Attempt) -> bytes:
        """Answer, as JSON, what this worker can do."""
        task, work = self.work.task, self.work
        references = [item for item in unpack(payload) if isinstance(item, Reference)]
        # a child, so that an image that kills its decoder cannot end the probe
        with InChild(task.limits, work.image_timeout, work.decoder) as decoder:
            fetched = fetch(references, task.source, task.limits)
            pictures = list(decode(fetched, decoder, task.input_size))
        stack = [picture.pixels for picture in pictures if isinstance(picture, Picture)]
        answer: dict[str, Any] = {"refusal": None, "compared": 0, "cosine": None}
        try:
            engine = open_engine(work.network.value, work.precision, work.engine)
        except PrecisionError as error:
            answer |= {"refusal": error.problem, "native_bf16": native_bf16()}
            engine = open_engine(work.network.value, "fp32", work.engine)
        pixels = np.stack(stack or [np.zeros((*task.input_size, 3), np.uint8)])  # (n, H, W, 3)
        engine.embed(pixels[:1])
        start = time.perf_counter()
        fast = engine.embed(pixels)
        batches = -(-len(pixels) // BATCH)
        answer["images_per_second"] = batches * BATCH / (time.perf_counter() - start)
        if stack and engine.precision != "fp32":
            exact = open_engine(work.network.value, "fp32", work.engine).embed(pixels)
            answer |= {"compared": len(stack), "cosine": smallest_cosine(fast, exact)}
        return json.dumps(answer).encode()


def examine(spark: "SparkSession", work: Work, wanted: str, sample: Sequence[Reference]) -> Verdict:
    """Decide the precision of a run.

    Parameters
    ----------
    work : Work
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
    count = slots(spark)
    payloads = [pack(sample[slot::count][:SAMPLE_PER_SLOT]) for slot in range(count)]
    answers = [json.loads(a) for a in map_tasks(spark, payloads, Examine(work), "probe")]
    cosines = [answer["cosine"] for answer in answers if answer["cosine"] is not None]
    verdict = Verdict(
        precision=work.precision,
        tried=work.precision,
        smallest_cosine=min(cosines, default=None),
        compared=sum(answer["compared"] for answer in answers),
        images_per_second=sum(answer["images_per_second"] for answer in answers),
    )
    refusals = [answer for answer in answers if answer["refusal"]]
    if refusals:
        return _without(verdict, wanted, refusals)
    return _decide(verdict, wanted)


def _without(verdict: Verdict, wanted: str, refusals: Sequence[dict[str, Any]]) -> Verdict:
    """Verdict where a worker refuses the precision that was tried."""
    # that a CPU has no bf16 is nothing to be warned of: it computes as fast as it can
    unexpected = next((each for each in refusals if each["native_bf16"]), None)
    refusal = (unexpected or refusals[0])["refusal"]
    if wanted != "auto":
        raise PrecisionError(
            f"--precision is {wanted}, but a worker refuses it: {refusal}",
            "Choose --precision fp32 or auto.",
        )
    warning = f"{refusal} This run computes in fp32." if unexpected else ""
    return Verdict("fp32", "fp32", None, 0, verdict.images_per_second, warning)


def _decide(verdict: Verdict, wanted: str) -> Verdict:
    if verdict.tried == "fp32":
        return verdict
    remedy = "Choose --precision fp32 or auto."
    bound = BOUNDS["auto"]
    cosine = verdict.smallest_cosine
    if verdict.tried == "bf16" or bound is None or cosine is None or cosine >= bound:
        return verdict
    problem = (
        f"mixed precision comes to cosine {cosine:.6f} of fp32 on the first {verdict.compared}"
        f" images, the contract is {bound}"
    )
    if wanted == "mixed":
        raise PrecisionError(problem, remedy)
    return Verdict(
        "fp32",
        verdict.tried,
        cosine,
        verdict.compared,
        verdict.images_per_second,
        warning=f"{problem}; this run computes in fp32",
    )
