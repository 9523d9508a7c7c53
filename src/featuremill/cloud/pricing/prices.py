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
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import DEFAULT_REGION
from featuremill.errors import CloudError, ConfigError
from featuremill.models.download import cache_dir

X86 = "x86_64"
ARM = "arm64"

_PRICE_LIST_REGION = "us-east-1"
"""Where AWS answers questions about the prices of all regions; no data of anyone is sent there."""

_EVERYWHERE = "all"


@dataclass(frozen=True)
class Price:
    """One price, and how it is known.

    Parameters
    ----------
    item : str
        Such as ``serverless.vcpu_hour`` or ``ec2.m5.xlarge``.
    usd : Decimal
        US dollars for one unit.
    region : str
        Region of which the source speaks.
    date : str
        Date of the source, as ``YYYY-MM-DD`` or ``YYYY-MM``.
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
        return str(_content()["units"].get(self.item.rpartition(".")[2], "hour"))


@dataclass(frozen=True)
class Prices:
    """Prices of a region.

    Parameters
    ----------
    region : str
        The region.
    refreshed : mapping of str to Price
        AWS' own prices, by item; they go before the table.
    """

    region: str
    refreshed: Mapping[str, Price]

    def __contains__(self, item: str) -> bool:
        return item in self.refreshed or item in _table()

    def of(self, item: str) -> Price:
        """The best known price of an item.

        Raises
        ------
        ConfigError
            If no source has one.
        """
        if item in self.refreshed:
            return self.refreshed[item]
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


def refresh(aws: Aws, region: str, instances: tuple[str, ...] = ()) -> None:
    """Ask AWS' price list, and keep the answer in the user's cache.

    Only real AWS shows that these questions find these products: unverified here.

    Parameters
    ----------
    aws : Aws
        A connection.
    region : str
        Whose prices are asked for.
    instances : tuple of str
        EC2 machines whose prices are wanted as well.
    """
    aws.step(f"ask AWS' price list (in {_PRICE_LIST_REGION}) for prices of {region}")
    there = replace(aws, region=_PRICE_LIST_REGION)
    found = [price for each in _questions(instances) for price in _asked(there, region, each)]
    aws.here(lambda: _keep(region, {price.item: price for price in found}), None)


def _questions(instances: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    yield from _content()["questions"]
    for machine in instances:
        for question in _content()["machine_questions"]:
            yield json.loads(json.dumps(question).replace("{}", machine))


def _asked(aws: Aws, region: str, question: Mapping[str, Any]) -> Iterator[Price]:
    filters = {"regionCode": region, **question["filters"]}
    wanted = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()
    ]
    service = question["service"]
    for page in aws.pages("pricing", "get_products", ServiceCode=service, Filters=wanted):
        for product in map(json.loads, page["PriceList"]):
            usage = product["product"]["attributes"].get("usagetype", "")
            # its prefix is the region's, and not to be derived from the region's name
            bare = re.sub(r"^[A-Z]{2,4}\d?-(?!SERVERLESS)", "", usage)
            if item := question["items"].get(bare):
                yield from _listed(product, item, region)


def _listed(product: Mapping[str, Any], item: str, region: str) -> Iterator[Price]:
    """What the price list says of one product."""
    asked = datetime.now(UTC).date().isoformat()
    day = str(product.get("publicationDate", ""))[:10] or asked
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            # above the first tier it gets cheaper
            if dimension.get("beginRange", "0") == "0":
                usd = Decimal(dimension["pricePerUnit"]["USD"])
                usd *= 1000 if item.endswith("_1000") else 1
                yield Price(item, usd, region, day, f"AWS' price list, asked on {asked}")


def _keep(region: str, prices: Mapping[str, Price]) -> None:
    if not prices:
        raise CloudError(
            f"AWS' price list has none of the prices of {region} that were asked for",
            "Leave --refresh-prices out: the table that comes with featuremill is used.",
        )
    file = _refreshed_file(region)
    file.parent.mkdir(parents=True, exist_ok=True)
    # what was asked for earlier and not now, such as other machines, stays
    kept = {**load(region).refreshed, **prices}
    content = [{**vars(price), "usd": str(price.usd)} for price in kept.values()]
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(file)


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
            known = (row["region"], source["date"], source["name"], source["note"])
            for name, usd in row.items():
                if name != "region":
                    price = Price(f"{kind}.{name}", Decimal(usd), *known)
                    table.setdefault(price.item, {})[price.region] = price
    return table
