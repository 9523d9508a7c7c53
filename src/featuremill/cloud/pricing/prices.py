"""What AWS charges: a table with dates and sources, and AWS' own price list on request.

No price here is more than its source says: where a region has none, another region's is used and
the note says so; where no source has one, there is no estimate.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Plan, Work
from featuremill.cloud.aws.regions import DEFAULT_REGION
from featuremill.errors import CloudError, ConfigError
from featuremill.models.download import cache_dir

X86 = "x86_64"
ARM = "arm64"

_PRICE_LIST_REGION = "us-east-1"
"""Where AWS answers questions about the prices of all regions; no data of anyone is sent there."""

_EVERYWHERE = "all"

_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "vcpu_hour": "vCPU-hour",
        "memory_gb_hour": "GB-hour",
        "storage_gb_hour": "GB-hour",
        "storage_gb_month": "GB-month",
        "put_1000": "1,000 PUT, COPY or LIST",
        "get_1000": "1,000 GET",
        "address_hour": "address-hour",
    }
)


@dataclass(frozen=True)
class Price:
    """One price, and how it is known.

    Parameters
    ----------
    item : str
        Such as ``serverless.vcpu_hour`` or ``ec2.m5.xlarge``.
    usd : Decimal
        For one unit.
    region : str
        Of which the source speaks.
    date : str
        Of the source, as ``YYYY-MM-DD`` or ``YYYY-MM``.
    source : str
        Where it is from.
    note : str
        What was done to it, or is to be borne in mind.
    """

    item: str
    usd: Decimal
    region: str
    date: str
    source: str
    note: str = ""

    @property
    def unit(self) -> str:
        """What it is for."""
        return _UNITS.get(self.item.rpartition(".")[2], "hour")


@dataclass(frozen=True)
class Prices:
    """Prices of a region.

    Parameters
    ----------
    region : str
        The region.
    refreshed : mapping of str to Price
        AWS' own, by item; they go before the table.
    """

    region: str
    refreshed: Mapping[str, Price]

    def of(self, item: str) -> Price:
        """The best known price of an item.

        Raises
        ------
        ConfigError
            If no source has one.
        """
        if item in self.refreshed:
            return self.refreshed[item]
        if item.startswith(f"serverless.{ARM}."):
            return self._inferred(item)
        found = _table().get(item, {})
        for region in (self.region, _EVERYWHERE, DEFAULT_REGION, *found):
            if region in found:
                return self._used_here(found[region])
        known = [name for name in _table() if name.startswith(item.partition(".")[0] + ".")]
        raise ConfigError(
            f"no source here has a price of {item} for {self.region}; known: {', '.join(known)}",
            "Ask AWS' price list with --refresh-prices, or choose another machine.",
        )

    def serverless(self, architecture: str, what: str) -> Price:
        """Price of EMR Serverless: ``vcpu_hour``, ``memory_gb_hour`` or ``storage_gb_hour``."""
        part = "" if architecture == X86 or what == "storage_gb_hour" else f"{architecture}."
        return self.of(f"serverless.{part}{what}")

    def _inferred(self, item: str) -> Price:
        x86 = self.of(item.replace(f"{ARM}.", ""))
        share = _content()["arm64_share"]
        note = "; ".join(filter(None, (str(share["note"]), x86.note)))
        return replace(x86, item=item, usd=x86.usd * Decimal(share["share"]), note=note)

    def _used_here(self, price: Price) -> Price:
        if price.region in (self.region, _EVERYWHERE):
            return price
        other = f"that of {price.region}: no source here has one for {self.region}"
        return replace(price, note="; ".join(filter(None, (other, price.note))))


def load(region: str) -> Prices:
    """Prices of a region: what AWS was last asked for, and the table for the rest."""
    file = _refreshed_file(region)
    if not file.exists():
        return Prices(region, {})
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        prices = [Price(**{**each, "usd": Decimal(each["usd"])}) for each in content]
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise ConfigError(
            f"{file} is damaged: {error}", "Delete it, or ask anew with --refresh-prices."
        ) from error
    return Prices(region, {price.item: price for price in prices})


def refresh(region: str, instances: tuple[str, ...] = ()) -> Plan:
    """Plan that asks AWS' price list, and keeps the answer in the user's cache.

    Only real AWS shows that these questions find these products: unverified here.

    Parameters
    ----------
    region : str
        Whose prices are asked for.
    instances : tuple of str
        EC2 machines whose prices are wanted as well.
    """

    def ask(aws: Aws, _: Answers) -> Path:
        there = replace(aws, region=_PRICE_LIST_REGION)
        found = [price for each in _questions(region, instances) for price in each.ask(there)]
        if not found:
            raise CloudError(
                f"AWS' price list has none of the prices of {region} that were asked for",
                "Leave --refresh-prices out: the table that comes with featuremill is used.",
            )
        return _keep(region, {price.item: price for price in found})

    return [
        Work(
            f"ask AWS' price list (in {_PRICE_LIST_REGION}) for prices of {region}",
            ask,
            calls=("pricing.get_products",),
            changes=False,
        )
    ]


@dataclass(frozen=True)
class _Question:
    """One question to the price list.

    ``items`` maps the end of a usage type to an item and to how many make its unit: the prefix of
    a usage type is the region's, and not to be derived from its name.
    """

    service: str
    region: str
    filters: Mapping[str, str]
    items: Mapping[str, tuple[str, int]]

    def ask(self, aws: Aws) -> Iterator[Price]:
        filters = {"regionCode": self.region, **self.filters}
        wanted = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in filters.items()
        ]
        for page in aws.pages("pricing", "get_products", ServiceCode=self.service, Filters=wanted):
            for text in page["PriceList"]:
                yield from self._prices(json.loads(text))

    def _prices(self, product: Mapping[str, Any]) -> Iterator[Price]:
        usage = product["product"]["attributes"].get("usagetype", "")
        bare = re.sub(r"^[A-Z]{2,4}\d?-(?!SERVERLESS)", "", usage)
        if bare not in self.items:
            return
        item, makes_unit = self.items[bare]
        dimensions = (
            dimension
            for term in product["terms"].get("OnDemand", {}).values()
            for dimension in term["priceDimensions"].values()
            # above the first tier it gets cheaper
            if dimension.get("beginRange", "0") == "0"
        )
        for dimension in dimensions:
            usd = Decimal(dimension["pricePerUnit"]["USD"]) * makes_unit
            day = str(product.get("publicationDate", ""))[:10]
            asked = datetime.now(UTC).date().isoformat()
            source = f"AWS' price list, asked on {asked}"
            yield Price(item, usd, self.region, day or asked, source)


def _questions(region: str, instances: tuple[str, ...]) -> Iterator[_Question]:
    serverless = {
        f"EMR-SERVERLESS-{part}{usage}": (f"serverless.{name}{what}", 1)
        for part, name in (("", ""), ("ARM-", f"{ARM}."))
        for usage, what in (("vCPUHours", "vcpu_hour"), ("MemoryGBHours", "memory_gb_hour"))
    }
    serverless["EMR-SERVERLESS-StorageGBHours"] = ("serverless.storage_gb_hour", 1)
    family = {"productFamily": "EMR Serverless"}
    yield _Question("ElasticMapReduce", region, family, serverless)
    storage = {"TimedStorage-ByteHrs": ("s3.storage_gb_month", 1)}
    yield _Question("AmazonS3", region, {"productFamily": "Storage"}, storage)
    requests = {
        "Requests-Tier1": ("s3.put_1000", 1000),
        "Requests-Tier2": ("s3.get_1000", 1000),
    }
    yield _Question("AmazonS3", region, {"productFamily": "API Request"}, requests)
    plain = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA"}
    for machine in instances:
        of_it, used = {"instanceType": machine}, f"BoxUsage:{machine}"
        ec2 = {**of_it, **plain, "capacitystatus": "Used"}
        yield _Question("AmazonEC2", region, ec2, {used: (f"ec2.{machine}", 1)})
        emr = {**of_it, "softwareType": "EMR"}
        yield _Question("ElasticMapReduce", region, emr, {used: (f"emr.{machine}", 1)})


def _keep(region: str, prices: Mapping[str, Price]) -> Path:
    file = _refreshed_file(region)
    file.parent.mkdir(parents=True, exist_ok=True)
    # what was asked for earlier and not now, such as other machines, stays
    kept = {**load(region).refreshed, **prices} if file.exists() else prices
    content = [{**vars(price), "usd": str(price.usd)} for price in kept.values()]
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(file)
    return file


def _refreshed_file(region: str) -> Path:
    return cache_dir() / "prices" / f"{region}.json"


@cache
def _content() -> Mapping[str, Any]:
    file = resources.files("featuremill.cloud.pricing") / "prices.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


@cache
def _table() -> Mapping[str, Mapping[str, Price]]:
    """The table that comes with this version, by item and region."""
    content, table = _content(), dict[str, dict[str, Price]]()
    for kind, source in content["sources"].items():
        for row in content[kind]:
            for name, usd in row.items():
                if name == "region":
                    continue
                known = (row["region"], source["date"], source["name"], source["note"])
                price = Price(f"{kind}.{name}", Decimal(usd), *known)
                table.setdefault(price.item, {})[price.region] = price
    return table
