"""What a run of these images costs on EMR Serverless, by the speed of the run itself."""

from dataclasses import dataclass, replace
from decimal import Decimal

from featuremill.cloud.aws.regions import DEFAULT_REGION, EU_REGIONS
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.pricing.bill import Bill, serverless_bill
from featuremill.cloud.pricing.prices import X86, Price, Prices, load
from featuremill.cloud.pricing.throughput import Throughput, of_record, vcpu_share
from featuremill.dataset.ledger import RunRecord
from featuremill.errors import CloudError

MILLION = 1_000_000


@dataclass(frozen=True)
class Cost:
    """What is known of the cost.

    Attributes
    ----------
    region : str
        Whose prices count.
    max_vcpu : int
    prices : tuple of Price
        Those that a run needs.
    share : Decimal
        Of what one core of the run did that a vCPU is taken to do.
    bill : Bill or None
        For as many images as there are; None where the run tells no speed.
    million : Bill or None
        For a million.
    """

    region: str
    max_vcpu: int
    prices: tuple[Price, ...]
    share: Decimal
    bill: Bill | None
    million: Bill | None

    @property
    def sources(self) -> list[tuple[str, str, str]]:
        """Name, date and region of every source of a price, each once."""
        said = ((price.source, price.date, price.region) for price in self.prices)
        return list(dict.fromkeys(said))


def cost_of(record: RunRecord, images: int, image_bytes: int, region: str | None) -> Cost:
    """Reckon what so many images cost.

    Parameters
    ----------
    record : RunRecord
        Its tasks tell how fast a vCPU is.
    images, image_bytes : int
        How many, and their size.
    region : str or None
        Whose prices count, where it is in the EU; else those of :data:`DEFAULT_REGION`.
    """
    where = region if region in EU_REGIONS else DEFAULT_REGION
    table = load(where)
    # tasks of a cluster run on vCPUs; on one machine, on cores
    local = str(record.config.get("master", "")).startswith("local")
    share = vcpu_share(X86, 1.0) if local else 1.0
    speed = _speed(record, share)
    if speed is None:
        return Cost(where, DEFAULT_VCPU, _prices(table), Decimal(str(share)), None, None)
    bill = serverless_bill(images, speed, table, X86, DEFAULT_VCPU, image_bytes)
    million = serverless_bill(
        MILLION, speed, table, X86, DEFAULT_VCPU, image_bytes * MILLION // images
    )
    return Cost(where, DEFAULT_VCPU, _prices(table), Decimal(str(share)), bill, million)


def _speed(record: RunRecord, share: float) -> Throughput | None:
    known = {**vars(record), "ledger": vars(record.ledger)}
    try:
        speed = of_record(known, "this run")
    except CloudError:
        return None
    return replace(speed, per_vcpu=speed.per_vcpu * share)


def _prices(table: Prices) -> tuple[Price, ...]:
    serverless = (table.serverless(X86, item) for item in ("vcpu_hour", "memory_gb_hour"))
    stored = (table.of(f"s3.{item}") for item in ("put_1000", "get_1000", "storage_gb_month"))
    return (*serverless, *stored)
