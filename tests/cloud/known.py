"""What AWS takes, where cfn-lint and boto3 do not look: names, enumerations, bounds; and what
resources cost while nothing runs.

Enumerations are those of the API models that come with botocore; what stands in no model is from
AWS' documentation.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

RELEASES = ("emr-spark-8.1.0", "emr-spark-8.0.0", "emr-7.14.0")
"""Releases with Python 3.11 that jobs or clusters may use."""

_RETENTION = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192)

# bounds that stand in no model: (least, most)
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "AutoTerminationPolicy.IdleTimeout": (60, 604_800),
    "SpotSpecification.TimeoutDurationMinutes": (5, 1_440),
    "executionTimeoutMinutes": (5, 10_080),
    "MetadataOptions.HttpPutResponseHopLimit": (1, 64),
}

# keys of a security configuration, with what their values may be
_SECURITY: Mapping[str, Any] = {
    "InstanceMetadataServiceConfiguration": {
        "MinimumInstanceMetadataServiceVersion": (1, 2),
        "HttpPutResponseHopLimit": range(1, 65),
    },
    "EncryptionConfiguration": {
        "EnableInTransitEncryption": (True, False),
        "InTransitEncryptionConfiguration": {
            "TLSCertificateConfiguration": {
                "CertificateProviderType": ("PEM", "Custom"),
                "S3Object": str,
                "CertificateProviderClass": str,
            }
        },
        "EnableAtRestEncryption": (True, False),
        "AtRestEncryptionConfiguration": {
            "S3EncryptionConfiguration": {
                "EncryptionMode": ("SSE-S3", "SSE-KMS", "CSE-KMS", "CSE-Custom"),
                "AwsKmsKey": str,
            },
            "LocalDiskEncryptionConfiguration": {
                "EncryptionKeyProviderType": ("AwsKms", "Custom"),
                "AwsKmsKey": str,
                "EnableEbsEncryption": (True, False),
            },
        },
    },
}


def faults_of_call(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """What AWS would refuse in a call, as far as its model and the bounds above tell.

    The operation is named as boto3 names its method, or as the API does.
    """
    return list(_against(_input(service, operation), parameters, operation))


@cache
def _input(service: str, operation: str) -> Any:
    import boto3

    client = boto3.Session(region_name="eu-west-1").client(service)
    name = client.meta.method_to_api_mapping.get(operation, operation)
    return client.meta.service_model.operation_model(name).input_shape


def _against(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    yield from _measured(shape, value, path)
    if kind == "structure":
        for name, each in value.items():
            if name in shape.members:
                yield from _against(shape.members[name], each, f"{path}.{name}")
            else:
                yield f"{path}.{name} is no name"
    elif kind == "list":
        for number, each in enumerate(value):
            yield from _against(shape.member, each, f"{path}[{number}]")
    elif kind == "map":
        for name, each in value.items():
            yield from _against(shape.value, each, f"{path}.{name}")
    else:
        yield from _single(shape, value, path)


def _single(shape: Any, value: Any, path: str) -> Iterator[str]:
    enumerated = getattr(shape, "enum", [])
    if enumerated and value not in enumerated:
        yield f"{path} is {value}, not one of {', '.join(enumerated)}"
    known = [each for end, each in _BOUNDS.items() if re.sub(r"\[\d+\]", "", path).endswith(end)]
    for least, most in known:
        if not least <= value <= most:
            yield f"{path} is {value}, not from {least} to {most}"


def _measured(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Lengths and patterns, which boto3 leaves to AWS."""
    size = (
        value if isinstance(value, int | float) else len(value) if hasattr(value, "__len__") else 0
    )
    for bound, broken in (
        ("min", size < shape.metadata.get("min", size)),
        ("max", size > shape.metadata.get("max", size)),
    ):
        if broken:
            yield f"{path} is of {size}, its {bound} is {shape.metadata[bound]}"
    pattern = shape.metadata.get("pattern")
    if pattern and isinstance(value, str) and not _java(pattern).search(value):
        yield f"{path} is {value}, not like {pattern}"


@cache
def _java(pattern: str) -> re.Pattern[str]:
    """A pattern of AWS' models, which are Java's, as Python writes it.

    Some are anchored and some are not: AWS means the whole text either way.
    """
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    return re.compile(rf"\A(?:{pattern})\Z")


# part of a pattern as Java has it → as Python has it
_JAVA: Mapping[str, str] = {
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",
    "(?i)": "",
    "[\\w-_]": r"[\w\-_]",
    r"\p{L}": r"\w",
    r"\p{Z}": r"\s",
    r"\p{N}-_": r"\d\-_",
    r"\p{N}": r"\d",
}


def faults_of_template(stack: Any) -> list[str]:
    """What AWS would refuse in a template, resolved as :class:`tests.cloud.offline.Stack` does."""
    resources, found = stack.resources, list[str]()
    for name, resource in resources.items():
        check = _CHECKS.get(resource["Type"])
        if check is not None:
            found += [f"{name}: {each}" for each in check(resource["Properties"])]
    return found + list(_parameters(stack.template["Parameters"]))


def _security(wanted: Mapping[str, Any]) -> Iterator[str]:
    content = wanted["SecurityConfiguration"]
    yield from _known(_SECURITY, content, "SecurityConfiguration")
    encryption = content["EncryptionConfiguration"]
    for what in ("InTransit", "AtRest"):
        on = encryption[f"Enable{what}Encryption"]
        if on != (f"{what}EncryptionConfiguration" in encryption):
            yield f"Enable{what}Encryption is {on}, and its configuration says otherwise"


def _known(tree: Mapping[str, Any], value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, each in value.items():
        here, may_be = f"{path}.{name}", tree.get(name)
        if may_be is None:
            yield f"{here} is no name"
        elif isinstance(may_be, Mapping):
            yield from _known(may_be, each, here)
        elif isinstance(may_be, Sequence):
            if each not in may_be or type(each) is not type(may_be[0]):
                yield f"{here} is {each!r}, not one of {', '.join(map(str, may_be))}"
        elif not isinstance(each, may_be):
            yield f"{here} is {each!r}"


def _application(wanted: Mapping[str, Any]) -> Iterator[str]:
    if wanted["ReleaseLabel"] not in RELEASES:
        yield f"ReleaseLabel is {wanted['ReleaseLabel']}, not one of {', '.join(RELEASES)}"
    minutes = int(wanted["AutoStopConfiguration"]["IdleTimeoutMinutes"])
    if not 1 <= minutes <= 10_080:
        yield f"IdleTimeoutMinutes is {minutes}, not from 1 to 10080"
    if wanted["Type"] != "SPARK":
        yield f"Type is {wanted['Type']}, not SPARK"
    units = {"Cpu": "vCPU", "Memory": "GB", "Disk": "GB"}
    for name, most in wanted["MaximumCapacity"].items():
        if not re.fullmatch(rf"[1-9]\d* {units[name]}", most):
            yield f"MaximumCapacity.{name} is {most}, not such as 16 {units[name]}"


def _log_group(wanted: Mapping[str, Any]) -> Iterator[str]:
    if int(wanted["RetentionInDays"]) not in _RETENTION:
        yield f"RetentionInDays is {wanted['RetentionInDays']}, not one of {_RETENTION}"


def _studio(wanted: Mapping[str, Any]) -> Iterator[str]:
    asked = {name: wanted[name] for name in ("AuthMode", "Name")}
    yield from faults_of_call("emr", "create_studio", asked)


def _parameters(declared: Mapping[str, Any]) -> Iterator[str]:
    """Whatever a parameter may be must be something that AWS takes."""
    idle = declared["IdleMinutes"]
    if not 1 <= idle["MinValue"] <= idle["MaxValue"] <= 10_080:
        yield f"IdleMinutes may be from {idle['MinValue']} to {idle['MaxValue']}, not 1 to 10080"
    for days in declared["LogDays"]["AllowedValues"]:
        if days not in _RETENTION:
            yield f"LogDays may be {days}, which is no retention"
    if re.fullmatch(declared["ReleaseLabel"]["AllowedPattern"], "emr-99"):
        yield "ReleaseLabel may be emr-99, which is no label"


_CHECKS: Mapping[str, Any] = {
    "AWS::EMR::SecurityConfiguration": _security,
    "AWS::EMRServerless::Application": _application,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::EMR::Studio": _studio,
}


HOURS = 730
"""Of a month."""

# USD a month while nothing runs, beyond what is stored; eu-west-1, public price lists of 2026-11
_IDLE: Mapping[str, float] = {
    **dict.fromkeys(
        (
            "AWS::S3::Bucket",
            "AWS::S3::BucketPolicy",
            "AWS::Logs::LogGroup",
            "AWS::EC2::VPC",
            "AWS::EC2::InternetGateway",
            "AWS::EC2::VPCGatewayAttachment",
            "AWS::EC2::Subnet",
            "AWS::EC2::RouteTable",
            "AWS::EC2::Route",
            "AWS::EC2::SubnetRouteTableAssociation",
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::EC2::SecurityGroupEgress",
            "AWS::IAM::ManagedPolicy",
            "AWS::IAM::Role",
            "AWS::IAM::InstanceProfile",
            "AWS::IAM::User",
            "AWS::EMR::SecurityConfiguration",
            "AWS::EMR::Studio",
        ),
        0.0,
    ),
    "AWS::EC2::NatGateway": 0.048 * HOURS,
    "AWS::EC2::EIP": 0.005 * HOURS,
    "AWS::KMS::Key": 1.0,
    "AWS::CloudTrail::Trail": 2.0,
    "AWS::CloudWatch::Alarm": 0.10,
}
_INTERFACE_ENDPOINT = 0.011 * HOURS
_VCPU_HOUR = 0.052624


def idle_usd(resources: Mapping[str, Any]) -> float:
    """USD a month that resources cost while nothing runs, storage apart.

    Raises
    ------
    KeyError
        If there is a type of which that is not known.
    """
    return sum(_idle(each["Type"], each.get("Properties", {})) for each in resources.values())


def _idle(kind: str, wanted: Mapping[str, Any]) -> float:
    if kind == "AWS::EC2::VPCEndpoint":
        return 0.0 if wanted.get("VpcEndpointType") == "Gateway" else _INTERFACE_ENDPOINT
    if kind == "AWS::EMRServerless::Application":
        # workers that wait for jobs are billed as if they worked
        waiting = sum(each["Value"]["WorkerCount"] for each in wanted.get("InitialCapacity", ()))
        return float(waiting * _VCPU_HOUR * HOURS)
    return _IDLE[kind]
