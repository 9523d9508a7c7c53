"""Estimates what a run of these images costs on EMR Serverless, by the speed of a run."""

from dataclasses import dataclass, replace
from decimal import Decimal

from featuremill.cloud.aws.regions import DEFAULT_REGION, EU_REGIONS
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.pricing.bill import Bill, serverless_bill
from featuremill.cloud.pricing.prices import X86, Price, Prices, load
from featuremill.cloud.pricing.throughput import (
    LEAST_SECONDS,
    Throughput,
    of_record,
    vcpu_share,
)
from featuremill.dataset.ledger import RunRecord
from featuremill.errors import CloudError

MILLION = 1_000_000

USUAL_SPEED = 106.4
"""Images a second and core: 212.8 on two, JPEGs of 100x100 pixels in fp32 (benchmarks/RESULTS.md,
"Feature stage against bare processes"). In fp32, since not all processors compute bf16."""


@dataclass(frozen=True)
class Cost:
    """The estimated cost, and what it rests on.

    Attributes
    ----------
    region : str
        Whose prices count.
    max_vcpu : int
    prices : tuple of Price
        Those that a run needs.
    share : Decimal
        Part of the work of one core that a vCPU is taken to do.
    run : str
    worked : float
        Seconds that its tasks took.
    is_usual : bool
        Whether they are too few to tell a speed, so that :data:`USUAL_SPEED` counts.
    bill : Bill or None
        For as many images as there are; None where no run embedded.
    million : Bill or None
        For a million.
    """

    region: str
    max_vcpu: int
    prices: tuple[Price, ...]
    share: Decimal
    run: str
    worked: float
    is_usual: bool
    bill: Bill | None = None
    million: Bill | None = None

    @property
    def sources(self) -> list[tuple[str, str, str]]:
        """Name, date and region of every source of a price, each once."""
        said = ((price.source, price.date, price.region) for price in self.prices)
        return list(dict.fromkeys(said))


def cost_of(record: RunRecord, images: int, image_bytes: int, region: str | None) -> Cost:
    """Estimate what a number of images costs.

    Parameters
    ----------
    record : RunRecord
        Its tasks tell how fast a vCPU is, where they took :data:`LEAST_SECONDS`; for less, what a
        run does once weighs too much, and :data:`USUAL_SPEED` counts.
    images, image_bytes : int
        How many, and their size.
    region : str or None
        Whose prices count, where it is in the EU; else those of :data:`DEFAULT_REGION`.
    """
    where = region if region in EU_REGIONS else DEFAULT_REGION
    table = load(where)
    # tasks of a cluster run on vCPUs; on one machine, and where the usual speed is from, on cores
    is_usual = record.worker_seconds < LEAST_SECONDS
    on_cores = is_usual or record.was_here
    share = vcpu_share(X86, 1.0) if on_cores else 1.0
    known = Cost(
        region=where,
        max_vcpu=DEFAULT_VCPU,
        prices=_prices(table),
        share=Decimal(str(share)),
        run=record.run,
        worked=record.worker_seconds,
        is_usual=is_usual,
    )
    speed = _speed(record, is_usual)
    if speed is None:
        return known
    of_vcpu = replace(speed, per_vcpu=speed.per_vcpu * share)

    def of(count: int) -> Bill:
        size = image_bytes * count // images
        return serverless_bill(count, of_vcpu, table, X86, DEFAULT_VCPU, size)

    return replace(known, bill=of(images), million=of(MILLION))


def _speed(record: RunRecord, is_usual: bool) -> Throughput | None:
    """Speed of a core or a vCPU, as the tasks had; None where the run embedded nothing."""
    try:
        own = of_record({**vars(record), "ledger": vars(record.ledger)}, "this run")
    except CloudError:
        return None
    return Throughput(USUAL_SPEED, "benchmarks/RESULTS.md") if is_usual else own


def _prices(table: Prices) -> tuple[Price, ...]:
    serverless = (table.serverless(X86, item) for item in ("vcpu_hour", "memory_gb_hour"))
    stored = (table.of(f"s3.{item}") for item in ("put_1000", "get_1000", "storage_gb_month"))
    return (*serverless, *stored)
