"""The prices: each with date and source, none made up, and AWS' own before the table.

That AWS' price list answers in the shape recorded here is unverified: moto does not know it.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import EU_REGIONS
from featuremill.cloud.pricing import prices
from featuremill.cloud.pricing.prices import Prices
from featuremill.errors import CloudError, ConfigError
from tests.cloud.answers import answering
from tests.cloud.stack import dry_run

NEEDED = [
    *(f"serverless.{what}" for what in ("vcpu_hour", "memory_gb_hour", "storage_gb_hour")),
    *(f"s3.{what}" for what in ("put_1000", "get_1000", "storage_gb_month")),
    *("ec2.m5.xlarge", "emr.m5.xlarge", "ipv4.address_hour"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, so that no price asked for earlier is found."""
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path))
    return tmp_path


# The table


@pytest.mark.parametrize("region", EU_REGIONS)
@pytest.mark.parametrize("item", NEEDED)
def test_every_price_has_a_date_a_source_and_a_word_on_another_region(
    region: str, item: str
) -> None:
    price = prices.load(region).of(item)
    assert price.usd > 0
    assert price.date
    assert price.source
    if price.region not in (region, "all"):
        assert price.note.startswith(f"that of {price.region}: no source here has one for {region}")


def test_ireland_has_its_own_prices() -> None:
    known = prices.load("eu-west-1")
    assert known.of("serverless.vcpu_hour").usd == Decimal("0.052624")
    assert known.of("serverless.memory_gb_hour").usd == Decimal("0.0057785")
    assert known.of("ec2.m6g.xlarge").usd == Decimal("0.172")
    assert known.of("s3.get_1000").unit == "1,000 GET"
    assert "no source" not in known.of("serverless.vcpu_hour").note


def test_a_region_without_a_source_uses_irelands_price_and_says_so() -> None:
    price = prices.load("eu-south-2").of("serverless.vcpu_hour")
    assert price.usd == Decimal("0.052624")
    assert "that of eu-west-1: no source here has one for eu-south-2" in price.note


def test_frankfurt_is_dearer_by_its_own_source() -> None:
    price = prices.load("eu-central-1").of("serverless.vcpu_hour")
    assert (price.usd, price.region) == (Decimal("0.060528"), "eu-central-1")


def test_arm64_is_inferred_and_says_so() -> None:
    price = prices.load("eu-west-1").serverless("arm64", "vcpu_hour")
    # 0.052624 x 0.8
    assert price.usd == Decimal("0.0420992")
    assert price.note.startswith("inferred: arm64 at 80 % of x86-64")


@pytest.mark.parametrize("region", EU_REGIONS)
@pytest.mark.parametrize("what", ["vcpu_hour", "memory_gb_hour"])
def test_arm64_is_four_fifths_of_the_regions_x86_64(region: str, what: str) -> None:
    known = prices.load(region)
    x86, arm = (known.serverless(architecture, what) for architecture in ("x86_64", "arm64"))
    assert (arm.usd, arm.region) == (x86.usd * Decimal("0.8"), x86.region)


def test_disks_cost_the_same_on_both_architectures() -> None:
    known = prices.load("eu-west-1")
    assert known.serverless("arm64", "storage_gb_hour") == known.of("serverless.storage_gb_hour")


def test_what_no_source_has_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no source here has a price of emr\.m6g\.xlarge") as no:
        prices.load("eu-west-1").of("emr.m6g.xlarge")
    assert "known: emr.m5.xlarge" in no.value.problem
    assert "--refresh-prices" in no.value.remedy


# AWS' own price list


def product(usage: str, *tiers: tuple[str, str]) -> str:
    """A product as AWS lists it: JSON within JSON."""
    dimensions = {
        f"SKU.JRTCKXETXF.{number}": {
            "unit": "Hrs",
            "beginRange": begin,
            "endRange": "Inf",
            "description": f"USD {usd} per unit",
            "appliesTo": [],
            "rateCode": f"SKU.JRTCKXETXF.{number}",
            "pricePerUnit": {"USD": usd},
        }
        for number, (begin, usd) in enumerate(tiers)
    }
    term = {
        "priceDimensions": dimensions,
        "sku": "SKU",
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    attributes = {"regionCode": "eu-west-1", "usagetype": usage, "locationType": "AWS Region"}
    content = {
        "product": {"productFamily": "any", "attributes": attributes, "sku": "SKU"},
        "serviceCode": "any",
        "terms": {"OnDemand": {"SKU.JRTCKXETXF": term}},
        "version": "20261115000000",
        "publicationDate": "2026-11-15T08:00:00Z",
    }
    return json.dumps(content)


LISTED = {
    "EMR Serverless": [
        product("EU-EMR-SERVERLESS-vCPUHours", ("0", "0.0530000000")),
        product("EU-EMR-SERVERLESS-MemoryGBHours", ("0", "0.0058000000")),
        product("EU-EMR-SERVERLESS-ARM-vCPUHours", ("0", "0.0424000000")),
        product("EU-EMR-SERVERLESS-ARM-MemoryGBHours", ("0", "0.0046000000")),
        product("EU-EMR-SERVERLESS-StorageGBHours", ("0", "0.0001220000")),
    ],
    "Storage": [
        product("EU-TimedStorage-ByteHrs", ("0", "0.0230000000"), ("51200", "0.0220000000")),
        product("EU-TimedStorage-SIA-ByteHrs", ("0", "0.0125000000")),
    ],
    "API Request": [
        product("EU-Requests-Tier1", ("0", "0.0000050000")),
        product("EU-Requests-Tier2", ("0", "0.0000004000")),
    ],
    "EMR": [product("EU-BoxUsage:m6g.xlarge", ("0", "0.0430000000"))],
    "EC2": [product("EU-BoxUsage:m6g.xlarge", ("0", "0.1720000000"))],
}


def get_products(content: dict[str, Any]) -> dict[str, Any]:
    """AWS' answer to a question, by what is filtered for."""
    wanted = {each["Field"]: each["Value"] for each in content["Filters"]}
    assert wanted["regionCode"] == "eu-west-1"
    machine = "EMR" if "softwareType" in wanted else "EC2"
    return {
        "FormatVersion": "aws_v1",
        "PriceList": LISTED[wanted.get("productFamily", machine)],
    }


def refreshed(*instances: str) -> Prices:
    """Prices of Ireland after AWS was asked."""
    with answering({"GetProducts": get_products}) as (endpoint, came):
        prices.refresh(Aws("eu-west-1", endpoint_url=endpoint), "eu-west-1", instances)
    # the price list of all regions is asked for in one of a few
    assert {request.region for request in came} == {"us-east-1"}
    return prices.load("eu-west-1")


def test_what_aws_says_goes_before_the_table_and_carries_its_date() -> None:
    price = refreshed().of("serverless.vcpu_hour")
    assert (price.usd, price.date) == (Decimal("0.053"), "2026-11-15")
    assert price.source.startswith("AWS' price list, asked on ")


def test_arm64_is_no_longer_inferred() -> None:
    price = refreshed().serverless("arm64", "vcpu_hour")
    assert (price.usd, price.note) == (Decimal("0.0424"), "")


def test_requests_are_listed_singly_and_storage_in_tiers() -> None:
    known = refreshed()
    # 0.000005 x 1,000 and 0.0000004 x 1,000
    assert known.of("s3.put_1000").usd == Decimal("0.005")
    assert known.of("s3.get_1000").usd == Decimal("0.0004")
    # of the first 50 TB
    assert known.of("s3.storage_gb_month").usd == Decimal("0.023")


def test_machines_are_asked_for_by_name_and_stay_known() -> None:
    assert refreshed("m6g.xlarge").of("emr.m6g.xlarge").usd == Decimal("0.043")
    assert refreshed().of("ec2.m6g.xlarge").source.startswith("AWS' price list")


def test_what_was_not_asked_comes_from_the_table() -> None:
    assert refreshed().of("emr.m5.xlarge").source.startswith("a third party")


def test_an_empty_price_list_is_an_error_and_changes_nothing(cache: Path) -> None:
    with (
        answering({"GetProducts": {"FormatVersion": "aws_v1", "PriceList": []}}) as (endpoint, _),
        pytest.raises(CloudError, match="none of the prices of eu-west-1"),
    ):
        prices.refresh(Aws("eu-west-1", endpoint_url=endpoint), "eu-west-1")
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_says_what_to_do() -> None:
    refreshed()
    file = prices._refreshed_file("eu-west-1")
    file.write_text('[{"item": 1}]')
    with pytest.raises(ConfigError, match="is damaged") as damaged:
        prices.load("eu-west-1")
    assert "Delete it" in damaged.value.remedy


def test_a_dry_run_asks_nothing() -> None:
    arguments = ("--images", "1000", "--throughput", "60", "--refresh-prices")
    assert "pricing.get_products" in dry_run("cloud", "estimate", *arguments)
