"""What a run will take, from how many images there are and how fast a vCPU is known to be."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from featuremill._utils import paths
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.aws.worker_size import serverless as executors
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.jobs.job import DEFAULT_NAME
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.pricing import prices, probe, throughput
from featuremill.cloud.pricing.bill import Bill, cluster_bill, serverless_bill
from featuremill.cloud.pricing.prices import ARM
from featuremill.cloud.pricing.throughput import Throughput
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer.https import is_address
from featuremill.cloud.transfer.sources import Entry, open_source
from featuremill.config import DEFAULT_SAMPLE, RunConfig
from featuremill.errors import ConfigError
from featuremill.storage.ignored_files import why_no_image

GIVEN, MEASURED, PROBE, LAST_RUN = "--throughput", "--measure", "--probe", "--last-run"
"""Where a throughput may come from."""

_DRAWN_CLASSES = 20


@dataclass(frozen=True)
class Question:
    """An estimate that is asked for.

    Parameters
    ----------
    region : str
        Whose prices count.
    architecture : str
        ``x86_64`` or ``arm64``.
    source : str or None
        What ``featuremill cloud upload`` would take; pictures are drawn to measure with if it is
        no folder.
    images : int or None
        How many there are; those of the source are counted if None.
    origin : str
        ``--throughput``, ``--measure``, ``--probe`` or ``--last-run``.
    speed : float or None
        Images a second and vCPU, where it is given.
    cluster : bool
        Whether it runs on EMR on EC2 instead of EMR Serverless.
    max_vcpu : int
        Largest number of vCPUs on EMR Serverless.
    name : str
        Name of the last run's results.
    sample : int
        Number of images to measure with.
    model : str
        Name of the network.

    Raises
    ------
    ConfigError
        If an option is out of its bounds, or two contradict each other.
    """

    region: str
    architecture: str
    source: str | None = None
    images: int | None = None
    origin: str = MEASURED
    speed: float | None = None
    cluster: bool = False
    max_vcpu: int = DEFAULT_VCPU
    name: str = DEFAULT_NAME
    sample: int = DEFAULT_SAMPLE
    model: str = "mobilenetv2"

    def __post_init__(self) -> None:
        if self.images is None and self.source is None:
            raise ConfigError("neither SRC nor --images was given", "Give one of them.")
        for option, value, remedy in (
            ("--images", self.images, "Say how many there are."),
            ("--sample", self.sample, f"The default is {DEFAULT_SAMPLE}."),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"{option} is {value}, it must be at least 1", remedy)
        if self.origin == GIVEN:
            throughput.given(self.speed or 0.0)
        if self.source is not None:
            opened = open_source(self.source)
            if self.images is None and opened.kind == "tar" and is_address(opened.where):
                raise ConfigError(
                    f"{self.source} would have to be fetched whole to count its images",
                    "Say how many there are with --images.",
                )
        # what cannot be is refused before anything is counted
        machines = Machines(self.architecture)
        _ = machines.fleet if self.cluster else executors(self.max_vcpu)

    def check_stack(self, place: Place | None) -> None:
        """Refuse to ask a stack that is missing, or of another architecture.

        Raises
        ------
        ConfigError
            If it is.
        """
        if self.origin not in (PROBE, LAST_RUN):
            return
        if place is None:
            raise ConfigError(
                f"{self.origin} asks a stack, and this folder belongs to none",
                "Run `featuremill cloud deploy` here first, or leave it out to measure here.",
            )
        if place.output("Architecture") != self.architecture:
            raise ConfigError(
                f"{self.origin} tells of {place.output('Architecture')}, which stack"
                f" {place.stack} is, but --architecture is {self.architecture}",
                "Leave one of them out.",
            )


def estimate(
    aws: Aws, question: Question, place: Place | None, instances: tuple[str, ...] | None = None
) -> Bill:
    """Answer a question.

    Parameters
    ----------
    aws : Aws
        A connection, which only a probe, the last run and new prices use.
    question : Question
        What is asked.
    place : Place or None
        The stack, which a probe and the last run need.
    instances : tuple of str, optional
        Ask AWS' price list first, about these EC2 machines too.

    Raises
    ------
    ConfigError
        If the stack is needed and missing, or of another architecture.
    """
    question.check_stack(place)
    if instances is not None:
        prices.refresh(aws, question.region, instances)
    source = question.source
    aws.step("count " + (f"images of {source}" if source else f"{question.images:,} images"))
    images, size = aws.here(lambda: _count(question), (0, None))
    speed = _speed(aws, question, place)
    aws.step("estimate the cost")
    return aws.here(lambda: _bill(question, images, size, speed), None)


def _count(question: Question) -> tuple[int, int | None]:
    """How many images there are, and the size of all of them where it is known."""
    if question.source is None:
        return question.images or 0, None
    source = open_source(question.source)
    if question.images is not None and source.kind != "folder":
        # reading an archive takes time, one at an address even more
        return question.images, None
    sizes = [
        entry.size
        for entry in source.entries()
        if isinstance(entry, Entry) and not why_no_image(paths.of_place(entry.name))
    ]
    counted = question.images or len(sizes)
    return counted, sum(sizes) * counted // max(1, len(sizes))


def _speed(aws: Aws, question: Question, place: Place | None) -> Throughput:
    if question.origin == GIVEN:
        aws.step(f"take {question.speed:g} images/s for each vCPU")
        return throughput.given(question.speed or 0.0)
    if question.origin == MEASURED:
        aws.step(f"measure on this machine with {question.sample:,} images")
        return aws.here(lambda: _measured(question), None)
    assert place is not None
    if question.origin == PROBE:
        record = probe.probe(aws, place, JobLimits(question.max_vcpu), question.model)
        least, origin = 0.0, f"a probe of {probe.PROBED} images on AWS"
    else:
        record = throughput.newest_record(aws, place, question.name)
        least, origin = throughput.LEAST_SECONDS, "the last run on AWS"
    aws.step(f"learn from {origin}")
    return aws.here(lambda: throughput.of_record(record, origin, least), None)


def _measured(question: Question) -> Throughput:
    """Run a sample here, with the engine that the workers will have."""
    import psutil

    from featuremill._utils.hardware import usable_cores
    from featuremill.images.synth import SynthConfig, write
    from featuremill.workflows.estimate.measure import estimate as try_here

    # of Graviton's archive ONNX Runtime is part, not OpenVINO
    engine = "onnxruntime" if question.architecture == ARM else "auto"
    source, what = question.source, f"of {question.source}"
    with tempfile.TemporaryDirectory(prefix="featuremill-drawn-") as drawn:
        if source is None or open_source(source).kind != "folder":
            source, what = drawn, "drawn for it"
            write(Path(drawn), SynthConfig(_DRAWN_CLASSES, -(-question.sample // _DRAWN_CLASSES)))
        config = RunConfig(source, "", engine=engine, model=question.model)
        found = try_here(config, sample=question.sample)
    whole, threads = psutil.cpu_count(logical=False), psutil.cpu_count()
    share = throughput.vcpu_share(question.architecture, (threads or 1) / (whole or threads or 1))
    return throughput.measured(found, usable_cores(), share, question.architecture, what)


def _bill(question: Question, images: int, size: int | None, speed: Throughput) -> Bill:
    table, architecture = prices.load(question.region), question.architecture

    def of(images: int, size: int | None) -> Bill:
        if question.cluster:
            return cluster_bill(images, speed, table, Machines(architecture), size)
        return serverless_bill(images, speed, table, architecture, question.max_vcpu, size)

    return replace(of(images, size), usd_per_million=of(1_000_000, None).usd())
