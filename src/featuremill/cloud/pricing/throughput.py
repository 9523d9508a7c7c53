"""How many images a vCPU embeds in a second, and how that is known.

There are three origins, and one is always named: measured on this machine, a probe of 500 images
on the cluster, or the last run there. The fourth is a number that someone gives.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.pricing.prices import ARM
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError

if TYPE_CHECKING:
    from featuremill.workflows.estimate.measure import Estimate

START_SECONDS = 20.0
"""From a job's start to its first image, and after its last one: Spark, engines, the report."""
SHIPPING_SECONDS = 40.0
"""Assumed: until a worker that is billed has fetched and unpacked the archive."""
AFTER_EACH = 1.6e-4
"""Seconds an image for PCA and outputs: 3.1 s of 20,000 images on two cores."""
LEAST_SECONDS = 60.0
"""Seconds of tasks below which a run tells no speed: what each worker does once, and small tasks,
weigh too much. On two cores it is the first four chunks, which begin at two seconds and double."""
OUTPUT_BYTES = 6_000
"""Bytes of an image in all outputs: 5,150 as features, 820 in the reduced table and the CSV."""

_HYPERTHREAD = 0.5
_DRY: Mapping[str, Any] = {"ledger": {"embedded": 1}}
_SHIPPING = f"{SHIPPING_SECONDS:.0f} s until the workers have unpacked the archive"


@dataclass(frozen=True)
class Throughput:
    """A speed, and how it is known.

    Parameters
    ----------
    per_vcpu : float
        Images a second that one vCPU embeds.
    origin : str
        How that is known, for people.
    assumptions : tuple of str
        What had to be assumed.
    start_seconds : float
        Seconds of a run that do not depend on its images, but for shipping.
    after_each : float
        Seconds an image for PCA and outputs, after all are embedded.
    output_bytes : float
        Bytes that an image adds to all outputs.

    Raises
    ------
    ConfigError
        If it is not above 0.
    """

    per_vcpu: float
    origin: str
    assumptions: tuple[str, ...] = (_SHIPPING,)
    start_seconds: float = START_SECONDS
    after_each: float = AFTER_EACH
    output_bytes: float = OUTPUT_BYTES

    def __post_init__(self) -> None:
        if not 0 < self.per_vcpu < float("inf"):
            raise ConfigError(
                f"throughput is {self.per_vcpu} images a second and vCPU, it must be above 0",
                "Leave --throughput out to have it measured here.",
            )

    def seconds(self, images: int, slots: int) -> float:
        """Seconds for which workers are billed, however many there are of them."""
        started = SHIPPING_SECONDS + self.start_seconds
        return started + images / (slots * self.per_vcpu) + images * self.after_each


def given(per_vcpu: float) -> Throughput:
    """A speed that someone says."""
    usual = (
        f"{_SHIPPING}, {START_SECONDS:.0f} s to start and end, and {1e6 * AFTER_EACH:.0f} s a"
        " million images for the PCA and the outputs"
    )
    return Throughput(per_vcpu, "given by --throughput", (usual,))


def measured(
    estimate: "Estimate", slots: int, share: float, architecture: str, what: str
) -> Throughput:
    """From what was measured on this machine.

    Parameters
    ----------
    estimate : Estimate
        What :func:`featuremill.estimate` found.
    slots : int
        Tasks that it ran at the same time.
    share : float
        Share of what one of them does here that a vCPU is taken to do.
    architecture : str
        Architecture of the vCPU.
    what : str
        Which images were measured with, for people.

    Raises
    ------
    CloudError
        If not one image could be embedded.
    """
    each = estimate.images_per_second / slots
    if not each or estimate.rejected == estimate.sample:
        raise CloudError(
            f"not one of {estimate.sample:,} sampled images could be embedded",
            "Try them with `featuremill estimate SRC`, or say --throughput.",
        )
    seconds, after = estimate.seconds, estimate.images * estimate.after_each
    kind = "a core of Graviton" if architecture == ARM else "a hyperthread"
    core = f"a vCPU of {architecture} is {kind} and does {share:g} of what a core here does"
    return Throughput(
        per_vcpu=each * share,
        origin=f"measured here on {estimate.sample:,} images {what}:"
        f" {estimate.images_per_second:,.1f} images/s by {slots} cores in {estimate.precision},"
        f" {each:,.1f} each",
        assumptions=(core, _SHIPPING),
        # what the PCA and the outputs take for however few images does not grow with more
        start_seconds=seconds["start"] + max(0.0, seconds["reduce"] + seconds["write"] - after),
        after_each=estimate.after_each,
        output_bytes=estimate.output_each,
    )


def vcpu_share(architecture: str, threads_per_core: float) -> float:
    """What a vCPU is taken to do of what one of this machine's cores, as Spark counts them, does.

    A vCPU of x86-64 is a hyperthread. One of Graviton is a whole core.

    Parameters
    ----------
    architecture : str
        Architecture of the vCPU.
    threads_per_core : float
        Threads of a core of this machine: 2 where what Spark counts are hyperthreads themselves.
    """
    return 1.0 if architecture == ARM or threads_per_core > 1 else _HYPERTHREAD


def of_record(record: Mapping[str, Any], origin: str, least: float = 0.0) -> Throughput:
    """From the record of a run on AWS: its tasks' own time, waiting for images included.

    Raises
    ------
    CloudError
        If that run embedded nothing new, or its tasks took less than so many seconds.
    """
    ledger, seconds = record["ledger"], record["seconds"]
    images, worked = ledger["embedded"] + ledger["rejected"], record["worker_seconds"]
    if not images or not worked:
        raise CloudError(
            f"run {record['run']} embedded nothing new, so it tells no throughput",
            "Name another one's results with --name, or estimate with --probe.",
        )
    if worked < least:
        raise CloudError(
            f"the tasks of run {record['run']} took {worked:,.1f} s; less than {least:g} s are too"
            " few to tell a throughput",
            "Leave --last-run out to have it measured here, or estimate with --probe.",
        )
    overall = record.get("images_per_second") or 0
    embedding = images / overall if overall else 0.0
    # most of it, in a small run, does not grow with the images: that counts as part of the start
    after = seconds.get("reduce", 0.0) + seconds.get("write", 0.0)
    each = min(AFTER_EACH, after / images)
    return Throughput(
        per_vcpu=images / worked,
        origin=f"{origin}: run {record['run']}, {images:,} images in {worked:,.0f} seconds of"
        " tasks, one vCPU each",
        start_seconds=max(0.0, seconds.get("extract", 0.0) - embedding) + after - each * images,
        after_each=each,
    )


def newest_record(aws: Aws, place: Place, name: str) -> Mapping[str, Any]:
    """Read the record of the last run of a name that embedded something.

    Of those in ``results/<name>/runs``; where none did, it is the newest.
    """
    bucket, below = place.output("Bucket"), f"results/{name}/runs/"
    aws.step(f"read the record of the last run in s3://{bucket}/{below}")
    keys = [entry["Key"] for entry in aws.objects(bucket, below)]
    found: list[Mapping[str, Any]] = []
    for key in aws.here(
        lambda: sorted((key for key in keys if key.endswith(".json")), reverse=True),
        [f"{below}{aws.told('newest')}.json"],
    ):
        answer = aws.call("s3", "get_object", Bucket=bucket, Key=key)
        # a file that is no record tells nothing
        with suppress(ValueError, KeyError, TypeError):
            found.append(aws.here(partial(json.load, answer["Body"]), _DRY))
            if found[-1]["ledger"]["embedded"]:
                return found[-1]
    if not found:
        raise CloudError(
            f"s3://{bucket}/{below} holds no record of a run",
            "Name the results with --name, submit a job, or estimate with --probe.",
        )
    return found[0]
