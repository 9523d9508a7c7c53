"""Checks before anything is paid for: who is signed in, where, and what the account allows."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import EU_REGIONS, RELEASE, SERVERLESS_RELEASE
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.stack.confirm import check_signed_in, confirmed
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError
from featuremill.workflows.doctor import Finding

# quota codes stand in no API model; these are read from public lists and unverified here
_SERVERLESS_VCPU = ("emr-serverless", "L-D05C8A75")
_EC2_VCPU = ("ec2", "L-1216C47A")
_SPOT_VCPU = ("ec2", "L-34B43A08")
_CLUSTER_VCPU = 12
"""Of the smallest default cluster: three machines of 4 vCPU."""

_ARCHIVE = re.compile(r"code/featuremill-.+-(x86_64|arm64)-[0-9a-f]{12}\.tar\.gz")


def doctor(
    aws: Aws, region: str, place: Place | None = None, max_vcpu: int = DEFAULT_VCPU
) -> list[Finding]:
    """Check account, region and stack.

    Parameters
    ----------
    aws : Aws
        The connection.
    region : str
        Where things are to be.
    place : Place, optional
        The stack of this folder, if there is one.
    max_vcpu : int
        vCPUs that a job is to use at once.
    """
    aws.step("check account, region and stack")
    identity = _asked("identity", lambda: _identity(aws))
    if identity.level == "fail":
        # whatever else is asked would fail for the same reason
        return [identity]
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("region", lambda: _region(aws, region)),
        ("EMR Serverless vCPU", lambda: _serverless_quota(aws, max_vcpu)),
        ("EC2 vCPU", lambda: _ec2_quota(aws, "EC2 vCPU", "on-demand", _EC2_VCPU)),
        ("EC2 Spot vCPU", lambda: _ec2_quota(aws, "EC2 Spot vCPU", "Spot", _SPOT_VCPU)),
        ("block public access", lambda: _public_access(aws)),
        ("release", lambda: _release(aws, region)),
    ]
    if place is not None:
        checks += [
            ("stack", lambda: _stack(aws, place)),
            ("archive", lambda: _archive(aws, confirmed(place, aws))),
        ]
    return [identity, *(_asked(what, look) for what, look in checks)]


def _asked(what: str, look: Callable[[], Finding]) -> Finding:
    """One check; where AWS does not answer, that is the finding."""
    try:
        return look()
    except (CloudError, ConfigError) as error:
        return Finding("fail", what, error.problem, error.remedy)


def _identity(aws: Aws) -> Finding:
    answer = aws.call("sts", "get_caller_identity", why="see who is signed in")
    said = f"{answer['Arn']} in account {answer['Account']}"
    if answer["Arn"].endswith(":root"):
        return Finding(
            "warn",
            "identity",
            f"{said}: the owner of the account, who may do everything",
            "Make a user or role for daily work, and keep the owner's keys unused.",
        )
    return Finding("ok", "identity", said)


def _region(aws: Aws, region: str) -> Finding:
    there = aws.call("ec2", "describe_regions", why="look at the regions", AllRegions=True)
    found = {each["RegionName"]: each["OptInStatus"] for each in there["Regions"]}
    if found.get(region, "not-opted-in") == "not-opted-in":
        return Finding(
            "fail",
            "region",
            f"{region} is not switched on in this account",
            f"`aws account enable-region --region-name {region}`, or choose another.",
        )
    if region not in EU_REGIONS:
        return Finding(
            "warn",
            "region",
            f"{region} is outside the EU",
            "Allowed on purpose; otherwise leave --allow-region out.",
        )
    return Finding("ok", "region", f"{region}, in the EU")


def _quota(aws: Aws, service: str, code: str) -> float | None:
    """Value of a quota; None where AWS does not tell it."""
    unknown = ("NoSuchResourceException", "AccessDeniedException")
    names: dict[str, Any] = {"ServiceCode": service, "QuotaCode": code}
    answer = aws.call("service-quotas", "get_service_quota", forgives=unknown, **names)
    return float(answer["Quota"]["Value"]) if answer else None


def _unknown_quota(what: str, service: str, code: str) -> Finding:
    return Finding(
        "warn",
        what,
        f"the quota is unknown: {service} {code} cannot be read",
        f"See it in the Service Quotas console; new accounts often have {DEFAULT_VCPU} vCPU.",
    )


def _serverless_quota(aws: Aws, max_vcpu: int) -> Finding:
    what, quota = "EMR Serverless vCPU", _quota(aws, *_SERVERLESS_VCPU)
    if quota is None:
        return _unknown_quota(what, *_SERVERLESS_VCPU)
    if quota < max_vcpu:
        service, code = _SERVERLESS_VCPU
        return Finding(
            "fail",
            what,
            f"the account may use {quota:,.0f} vCPU at once, jobs are to use {max_vcpu:,}",
            f"Lower --max-vcpu to {quota:.0f}, or ask for more: `aws service-quotas"
            f" request-service-quota-increase --service-code {service} --quota-code {code}"
            f" --desired-value {max_vcpu}`.",
        )
    return Finding("ok", what, f"{quota:,.0f} at once, {max_vcpu:,} wanted")


def _ec2_quota(aws: Aws, what: str, kind: str, code: tuple[str, str]) -> Finding:
    quota = _quota(aws, *code)
    if quota is None:
        return _unknown_quota(what, *code)
    if quota < _CLUSTER_VCPU:
        return Finding(
            "warn",
            what,
            f"the account may use {quota:,.0f} {kind} vCPU at once, a cluster takes"
            f" {_CLUSTER_VCPU}",
            "Only --cluster and `cluster up` need them: ask for more in the Service Quotas"
            " console, or use EMR Serverless.",
        )
    return Finding("ok", what, f"{quota:,.0f} {kind} at once")


def _public_access(aws: Aws) -> Finding:
    answer = aws.call("emr", "get_block_public_access_configuration", why="ask what EMR blocks")
    blocks = answer.get("BlockPublicAccessConfiguration", {})
    if blocks.get("BlockPublicSecurityGroupRules"):
        return Finding("ok", "block public access", "EMR refuses clusters open to the world")
    return Finding(
        "warn",
        "block public access",
        "EMR lets clusters be opened to the world in this region",
        "Switch it on: `aws emr put-block-public-access-configuration"
        " --block-public-access-configuration BlockPublicSecurityGroupRules=true`.",
    )


def _release(aws: Aws, region: str) -> Finding:
    labels = set(_labels(aws))
    remedy = "Choose another region, or install a newer featuremill."
    if RELEASE not in labels:
        return Finding("fail", "release", f"EMR offers no {RELEASE} in {region}", remedy)
    if SERVERLESS_RELEASE not in labels:
        # whether the list names what only Serverless has is not documented
        return Finding("warn", "release", f"EMR does not list {SERVERLESS_RELEASE}", remedy)
    return Finding("ok", "release", f"{SERVERLESS_RELEASE} and {RELEASE} are offered")


def _labels(aws: Aws) -> Iterator[str]:
    """All labels; boto3 has no paginator for them."""
    token: dict[str, Any] = {}
    while True:
        page = aws.call("emr", "list_release_labels", why="list the releases", **token)
        yield from page.get("ReleaseLabels", ())
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _stack(aws: Aws, place: Place) -> Finding:
    check_signed_in(place, aws)
    stack = aws.stack(place.stack)
    if stack is None:
        return Finding(
            "fail",
            "stack",
            f"{place.stack} does not exist in {place.region}",
            "`featuremill cloud deploy` makes it.",
        )
    state = stack["StackStatus"]
    if state.endswith("_COMPLETE") and state != "ROLLBACK_COMPLETE":
        return Finding("ok", "stack", f"{place.stack} is {state}")
    return Finding(
        "fail",
        "stack",
        f"{place.stack} is {state}",
        "`featuremill cloud deploy` says why, and what to do.",
    )


def _archive(aws: Aws, place: Place) -> Finding:
    wanted, bucket = place.output("Architecture"), place.output("Bucket")
    keys = [entry["Key"] for entry in aws.objects(bucket, "code/")]
    built = {match[1] for key in keys if (match := _ARCHIVE.fullmatch(key))}
    remedy = f"`featuremill cloud package --architecture {wanted}` builds it."
    if wanted in built:
        return Finding("ok", "archive", f"there is one for {wanted}")
    if built:
        there = ", ".join(sorted(built))
        return Finding(
            "fail", "archive", f"the application is {wanted}, the archive is for {there}", remedy
        )
    return Finding("warn", "archive", "there is none yet", remedy)
