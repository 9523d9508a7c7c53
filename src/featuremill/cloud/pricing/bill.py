"""What a run costs, as a bill: quantities with their arithmetic, times prices with their sources.

Money is decimal and exact; only what is shown is rounded.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, Inexact, InvalidOperation
from functools import reduce

from featuremill.cloud.aws.worker_size import DRIVER, Fleet, serverless
from featuremill.cloud.jobs.fleets import FAMILIES, SIZES, Machines
from featuremill.cloud.pricing.prices import Price, Prices
from featuremill.cloud.pricing.throughput import Throughput
from featuremill.errors import ConfigError
from featuremill.workflows.run.chunks import LARGEST, LONGEST_SECONDS, task_count
from featuremill.workflows.run.probe import SAMPLE_PER_SLOT

RUN, UPLOAD, MONTH = "run", "upload", "month"

_MINIMUM_SECONDS = 60
"""Every worker and every machine is billed for a minute at least."""
CLUSTER_SECONDS = 480.0
"""Assumed: until the machines of a cluster have installed everything; they are billed meanwhile."""

_LOG_UNREAD_AFTER = 100
"""Commits after which Delta sums its log up, so that earlier ones need not be read again."""

# what cannot be computed exactly is an error, not a rounded sum
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True)
class Currency:
    """What amounts are shown in.

    Parameters
    ----------
    code : str
        ``USD`` or ``EUR``.
    rate : Decimal
        How much of it one USD is.
    date : str
        Date of the rate.

    Raises
    ------
    ConfigError
        If there is no rate for another currency than USD, or it is not above 0.
    """

    code: str = "USD"
    rate: Decimal = Decimal(1)
    date: str = ""

    def __post_init__(self) -> None:
        if not (self.rate.is_finite() and self.rate > 0):
            raise ConfigError(
                f"--rate is {self.rate}, it must be above 0",
                f"Say how many {self.code} one USD is, such as --rate 0.9.",
            )

    def of(self, usd: Decimal) -> Decimal:
        """The amount in this currency, exactly."""
        return _EXACT.multiply(usd, self.rate)

    def shown(self, usd: Decimal) -> str:
        """An amount for people: to the cent, or with three digits below one."""
        amount = self.of(usd)
        digits = 2 if amount >= 1 or not amount else 2 - amount.adjusted()
        return f"{amount:,.{digits}f} {self.code}"


@dataclass(frozen=True)
class Line:
    """One position of a bill.

    Parameters
    ----------
    what : str
        What is paid for.
    quantity : Decimal
        In units of the price.
    price : Price
        Price of one unit.
    how : str
        Where the quantity comes from, as arithmetic.
    when : str
        For what one pays: ``run``, ``upload`` (once) or ``month`` (each, while all is kept).
    """

    what: str
    quantity: Decimal
    price: Price
    how: str
    when: str = RUN

    @property
    def usd(self) -> Decimal:
        """The amount, exactly."""
        return _EXACT.multiply(self.quantity, self.price.usd)


@dataclass(frozen=True)
class Bill:
    """What one run costs.

    Parameters
    ----------
    images : int
        Number of images of the run.
    throughput : Throughput
        The speed it counts with.
    seconds : int
        For which workers are billed.
    slots : int
        Tasks at a time.
    vcpu_hours : Decimal
        Sum over all workers.
    workers : str
        What they are, for people.
    lines : tuple of Line
        The positions.
    not_counted : tuple of str
        What is left out, and why.
    ready_seconds : float
        Those of them that are assumed to pass until the machines of a cluster are ready.
    usd_per_million : Decimal or None
        What a run of a million images like these would cost, where that was estimated: starting
        up, and the shortest time that is billed, weigh less then.
    """

    images: int
    throughput: Throughput
    seconds: int
    slots: int
    vcpu_hours: Decimal
    workers: str
    lines: tuple[Line, ...]
    not_counted: tuple[str, ...]
    ready_seconds: float = 0.0
    usd_per_million: Decimal | None = None

    def usd(self, when: str = RUN) -> Decimal:
        """What is paid for the run, for the upload or each month."""
        return total(line.usd for line in self.lines if line.when == when)

    @property
    def compute_usd(self) -> Decimal:
        """The run without S3: what AWS tells of a single run afterwards."""
        of_run = (line for line in self.lines if line.when == RUN)
        return total(line.usd for line in of_run if not line.price.item.startswith("s3."))


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Sum, exactly."""
    return reduce(_EXACT.add, amounts, Decimal(0))


def hours(seconds: int, times: Decimal | int = 1) -> Decimal:
    """So many times so many seconds as hours, rounded up to a millionth."""
    return _rounded_up(Decimal(times) * seconds / 3600)


def _rounded_up(quantity: Decimal) -> Decimal:
    return quantity.quantize(Decimal("0.000001"), ROUND_CEILING)


def serverless_bill(
    images: int,
    throughput: Throughput,
    prices: Prices,
    architecture: str,
    max_vcpu: int,
    image_bytes: int | None = None,
) -> Bill:
    """What a run on EMR Serverless costs.

    All executors are billed from start to end, which is an upper bound: idle ones are let go.

    Parameters
    ----------
    images : int
        Number of images, at least 1.
    throughput : Throughput
        Speed of a vCPU.
    prices : Prices
        Prices of the region.
    architecture : str
        ``x86_64`` or ``arm64``.
    max_vcpu : int
        As for ``featuremill cloud submit``.
    image_bytes : int, optional
        Size of all images, to count what keeping them costs.

    Raises
    ------
    ConfigError
        If an option is out of its bounds, or a price is not known.
    """
    fleet = serverless(max_vcpu)
    seconds = _billed_seconds(images, throughput, fleet)
    executor, count = fleet.executor, fleet.executors
    return Bill(
        images=images,
        throughput=throughput,
        seconds=seconds,
        slots=fleet.slots,
        vcpu_hours=hours(seconds, DRIVER.cores + fleet.slots),
        workers=f"driver of {DRIVER.cores} vCPU, {DRIVER.memory_gb:g} GB; {count} executors of"
        f" {executor.cores} vCPU, {executor.memory_gb:g} GB",
        lines=(
            *worker_lines(prices, architecture, fleet, seconds),
            *_storage_lines(images, throughput, prices, fleet, count + 1, image_bytes),
        ),
        not_counted=("workers' disks: 20 GB of each are free", *_never_counted(image_bytes)),
    )


def worker_lines(prices: Prices, architecture: str, fleet: Fleet, seconds: int) -> tuple[Line, ...]:
    """What driver and executors of a job on EMR Serverless cost in so many seconds.

    Raises
    ------
    ConfigError
        If a price is not known.
    """
    memory = DRIVER.memory_gb + fleet.executors * fleet.executor.memory_gb

    def line(name: str, item: str, amount: Decimal, unit: str) -> Line:
        how = f"{amount.normalize():f} {unit} x {seconds:,} s / 3,600"
        price = prices.serverless(architecture, item)
        return Line(f"EMR Serverless {name}", hours(seconds, amount), price, how)

    return (
        line("vCPU", "vcpu_hour", Decimal(DRIVER.cores + fleet.slots), "vCPU"),
        line("memory", "memory_gb_hour", Decimal(str(memory)), "GB"),
    )


def cluster_bill(
    images: int,
    throughput: Throughput,
    prices: Prices,
    machines: Machines,
    image_bytes: int | None = None,
) -> Bill:
    """What a run on a transient EMR-on-EC2 cluster costs, all machines on demand.

    Parameters
    ----------
    machines : Machines
        As for ``featuremill cloud submit --cluster``: counted with the most nodes.
    images, throughput, prices, image_bytes
        As for :func:`serverless_bill`.

    Raises
    ------
    ConfigError
        If an option is out of its bounds, or a price is not known: EC2's and EMR's both are needed.
    """
    fleet, nodes = machines.fleet, machines.nodes[1] + 1
    seconds = _billed_seconds(images, throughput, fleet, CLUSTER_SECONDS)
    machine, vcpu = _priced_machine(machines, prices), SIZES[machines.size]
    quantity, how = hours(seconds, nodes), f"{nodes} nodes x {seconds:,} s / 3,600"
    return Bill(
        images=images,
        throughput=throughput,
        seconds=seconds,
        slots=fleet.slots,
        vcpu_hours=hours(seconds, nodes * vcpu),
        workers=f"1 primary and {machines.nodes[1]} nodes of {vcpu} vCPU, {machine}",
        lines=(
            Line(f"EC2 {machine} on demand", quantity, prices.of(f"ec2.{machine}"), how),
            Line(f"EMR on {machine}", quantity, prices.of(f"emr.{machine}"), how),
            Line("public IPv4 addresses", quantity, prices.of("ipv4.address_hour"), how),
            *_storage_lines(images, throughput, prices, fleet, nodes, image_bytes),
        ),
        not_counted=(
            "what Spot machines save",
            "EBS volumes: no source here has their price",
            *_never_counted(image_bytes),
        ),
        ready_seconds=CLUSTER_SECONDS,
    )


def _billed_seconds(images: int, throughput: Throughput, fleet: Fleet, ready: float = 0.0) -> int:
    if images < 1:
        raise ConfigError(
            f"images are {images:,}, there must be at least 1", "Say how many with --images."
        )
    return max(_MINIMUM_SECONDS, math.ceil(ready + throughput.seconds(images, fleet.slots)))


def _priced_machine(machines: Machines, prices: Prices) -> str:
    """The first machine of the fleet whose prices are both known."""
    candidates = [f"{family}.{machines.size}" for family in FAMILIES[machines.architecture]]
    for machine in candidates:
        if f"ec2.{machine}" in prices and f"emr.{machine}" in prices:
            return machine
    raise ConfigError(
        f"no source here has both EC2's and EMR's price of {' or '.join(candidates)}",
        "Ask AWS' price list with --refresh-prices.",
    )


def _storage_lines(
    images: int,
    throughput: Throughput,
    prices: Prices,
    fleet: Fleet,
    workers: int,
    image_bytes: int | None,
) -> list[Line]:
    speed = fleet.slots * throughput.per_vcpu
    puts, gets = requests_of_run(images, fleet.slots, speed, workers)
    put, month = prices.of("s3.put_1000"), prices.of("s3.storage_gb_month")
    lines = [
        _counted("S3 upload, one PUT an image", images, put, UPLOAD),
        _counted("S3 PUT and LIST of the run", puts, put),
        _counted("S3 GET of the run", gets, prices.of("s3.get_1000")),
        _kept("S3 storage of the results", math.ceil(images * throughput.output_bytes), month),
    ]
    if image_bytes is not None:
        lines.append(_kept("S3 storage of the images", image_bytes, month))
    return lines


def requests_of_run(
    images: int, slots: int, images_per_second: float, workers: int
) -> tuple[int, int]:
    """What a run on a new destination asks of S3: requests billed as PUT, and as GET.

    A commit was counted at a server that speaks S3: 5 requests, and 8 besides one for each of its
    files; and Delta's log is read anew, 3 times what has not been summed up. A file of features is
    written once, and read 5 times by each of the two passes of the PCA. The run itself lists its
    images, samples, draws thumbnails and writes its outputs.

    Parameters
    ----------
    images : int
        Number of images, all of them new.
    slots : int
        Tasks at a time.
    images_per_second : float
        Speed of all slots together.
    workers : int
        Machines or containers, which fetch archive and entry point.
    """
    largest = min(LARGEST, max(1, round(images_per_second * LONGEST_SECONDS)))
    # the first ones are smaller
    commits = 4 + math.ceil(images / largest)
    files = min(commits * task_count(largest, slots), task_count(images, images))
    unread = commits * min(commits / 2, _LOG_UNREAD_AFTER)
    puts = math.ceil(images / 1_000) + 50 + 5 * commits + files
    once = 600 + 2 * SAMPLE_PER_SLOT * slots + 2 * workers
    return puts, images + once + 8 * commits + math.ceil(3 * unread) + (1 + 2 * 5) * files


def _counted(what: str, number: int, price: Price, when: str = RUN) -> Line:
    return Line(what, Decimal(number) / 1000, price, f"{number:,} / 1,000", when)


def _kept(what: str, size: int, price: Price) -> Line:
    gigabytes = _rounded_up(Decimal(size) / 2**30)
    return Line(what, gigabytes, price, f"{size:,} bytes / 2^30", MONTH)


def _never_counted(image_bytes: int | None) -> tuple[str, ...]:
    unknown = "storage of the images: their size is not known here"
    return (
        "CloudWatch: only the driver logs there, at about 0.57 USD a GB",
        "data transfer: into AWS and within the region is free, fetching results may not be",
        *((unknown,) if image_bytes is None else ()),
    )
