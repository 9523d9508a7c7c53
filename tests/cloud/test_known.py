"""What no linter sees: the template and the calls hold only what AWS takes.

Each check is itself tried on a copy that is wrong in one place.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from featuremill.cloud.aws.regions import RELEASE, SERVERLESS_RELEASE
from featuremill.cloud.jobs import certificates, job_cluster, serverless
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.notebooks import clusters, server
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig
from tests.cloud.known import RELEASES, faults_of_call, faults_of_template, idle_usd
from tests.cloud.offline import Stack
from tests.cloud.stack import Asked, asked_by, described, flow_of

KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b"
EVERYTHING = {"Studio": "true"}
CONFIG = RunConfig("s3://pictures/input", "s3://pictures/results/main")


def changed(stack: Stack, path: str, value: Any) -> Stack:
    """The same with another value in one place; ``None`` takes it out."""
    other = copy.copy(stack)
    other.template = copy.deepcopy(stack.template)
    *way, last = path.split("/")
    place = other.template
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return other


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        EVERYTHING,
        {"KmsKeyArn": KEY},
        {"EncryptInTransit": "false"},
        {"Architecture": "arm64", "ReleaseLabel": "emr-7.14.0", "MaximumVcpu": "4000"},
    ],
    ids=lambda each: ", ".join(each),
)
def test_the_template_holds_only_what_aws_takes(parameters: dict[str, str]) -> None:
    assert faults_of_template(Stack(**parameters)) == []


SECURITY = "Resources/SecurityConfiguration/Properties/SecurityConfiguration"
ENCRYPTION = f"{SECURITY}/EncryptionConfiguration"
APPLICATION = "Resources/Application/Properties"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (f"{SECURITY}/Encryption", {}, "Encryption is no name"),
        (f"{SECURITY}/InstanceMetadataServiceConfiguration/Version", 2, "Version is no name"),
        (
            f"{SECURITY}/InstanceMetadataServiceConfiguration/HttpPutResponseHopLimit",
            65,
            "HopLimit is 65",
        ),
        (
            f"{SECURITY}/InstanceMetadataServiceConfiguration/MinimumInstanceMetadataServiceVersion",
            "2",
            "Version is '2'",
        ),
        (f"{ENCRYPTION}/EnableAtRestEncryption", "yes", "EnableAtRestEncryption is 'yes'"),
        (f"{ENCRYPTION}/EnableInTransitEncryption", False, "its configuration says otherwise"),
        (f"{ENCRYPTION}/AtRestEncryptionConfiguration", None, "its configuration says otherwise"),
        (
            f"{ENCRYPTION}/InTransitEncryptionConfiguration/Fn::If/1/TLSCertificateConfiguration"
            "/CertificateProviderType",
            "X509",
            "CertificateProviderType is 'X509'",
        ),
        (
            f"{ENCRYPTION}/AtRestEncryptionConfiguration/S3EncryptionConfiguration/Fn::If/2"
            "/EncryptionMode",
            "AES256",
            "EncryptionMode is 'AES256'",
        ),
        (f"{APPLICATION}/ReleaseLabel", "emr-99", "ReleaseLabel is emr-99"),
        (f"{APPLICATION}/Type", "Spark", "Type is Spark"),
        (f"{APPLICATION}/AutoStopConfiguration/IdleTimeoutMinutes", 0, "IdleTimeoutMinutes is 0"),
        (f"{APPLICATION}/MaximumCapacity/Memory", "160GB", "Memory is 160GB"),
        ("Parameters/IdleMinutes/MaxValue", 20_000, "IdleMinutes may be from 1 to 20000"),
        ("Parameters/IdleMinutes/MinValue", 0, "IdleMinutes may be from 0"),
        ("Parameters/LogDays/AllowedValues", [30, 100], "LogDays may be 100"),
        ("Parameters/ReleaseLabel/AllowedPattern", "emr-.*", "may be emr-99"),
        ("Resources/LogGroup/Properties/RetentionInDays", 31, "RetentionInDays is 31"),
        ("Resources/StudioWithIam/Properties/AuthMode", "SAML", "AuthMode is SAML"),
    ],
    ids=lambda each: each.rpartition("/")[2] if isinstance(each, str) else "",
)
def test_what_is_wrong_in_one_place_is_found(path: str, value: Any, fault: str) -> None:
    found = faults_of_template(changed(Stack(**EVERYTHING), path, value))
    assert fault in "; ".join(found)


def test_the_releases_in_use_are_known() -> None:
    assert Stack().template["Parameters"]["ReleaseLabel"]["Default"] == SERVERLESS_RELEASE
    assert {SERVERLESS_RELEASE, RELEASE} <= set(RELEASES)


# What it costs while nothing runs


@pytest.mark.parametrize("parameters", [{}, EVERYTHING | {"KmsKeyArn": KEY}])
def test_an_idle_stack_costs_next_to_nothing_beyond_storage(parameters: dict[str, str]) -> None:
    assert idle_usd(Stack(**parameters).resources) < 0.10


@pytest.mark.parametrize(
    "added",
    [
        {"Type": "AWS::EC2::NatGateway"},
        {"Type": "AWS::EC2::EIP"},
        {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface"}},
        {"Type": "AWS::KMS::Key"},
        {
            "Type": "AWS::EMRServerless::Application",
            "Properties": {"InitialCapacity": [{"Key": "Driver", "Value": {"WorkerCount": 1}}]},
        },
    ],
    ids=lambda each: each["Type"].rpartition("::")[2],
)
def test_what_would_cost_by_the_hour_would_be_noticed(added: dict[str, Any]) -> None:
    assert idle_usd({**Stack().resources, "Added": added}) > 0.10


def test_of_a_type_that_nobody_knows_the_price_of_nothing_is_said() -> None:
    with pytest.raises(KeyError):
        idle_usd({"Added": {"Type": "AWS::Redshift::Cluster"}})


# The calls of the commands


def calls() -> list[Asked]:
    """Every call with much in it, for each architecture."""
    place = described()
    found: list[Asked] = []
    for architecture in ("x86_64", "arm64"):
        machines = Machines(architecture, key_pair="ada")
        found += asked_by(lambda aws: serverless.submit(aws, place, CONFIG, "main"))
        found += asked_by(partial(job_cluster.submit, **about(place), machines=machines))
        found += asked_by(partial(clusters.up, place=place, machines=machines, notebooks={}))
        found += asked_by(lambda aws: server.up(aws, place, key_pair="ada"))
    return found


def about(place: Place) -> dict[str, Any]:
    return {"place": place, "config": CONFIG, "name": "main"}


def test_every_call_holds_only_what_aws_takes() -> None:
    asked = calls()
    assert {"run_job_flow", "start_job_run", "run_instances"} <= {each.operation for each in asked}
    for call in asked:
        assert faults_of_call(call.service, call.operation, call.parameters) == []


def test_the_longest_and_the_shortest_that_options_allow_are_taken() -> None:
    place = described()
    for hours in (60 / 3600, 168.0):
        machines = Machines("x86_64", idle_hours=hours)
        flow = flow_of(partial(clusters.up, place=place, machines=machines, notebooks={}))
        assert faults_of_call("emr", "run_job_flow", flow) == []
    for minutes in (5, 10_080):
        limits = serverless.JobLimits(timeout=minutes)
        submit = partial(serverless.submit, **about(place), limits=limits)
        start = flow_of(submit, "start_job_run")
        assert faults_of_call("emr-serverless", "start_job_run", start) == []


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "fault"),
    [
        (
            "emr",
            "run_job_flow",
            {"AutoTerminationPolicy": {"IdleTimeout": 10}},
            "IdleTimeout is 10, not from 60 to 604800",
        ),
        ("emr", "run_job_flow", {"ScaleDownBehavior": "NEVER"}, "ScaleDownBehavior is NEVER"),
        (
            "emr",
            "run_job_flow",
            {"Instances": {"InstanceGroups": [{"Market": "ONDEMAND"}]}},
            "Market is ONDEMAND, not one of ON_DEMAND, SPOT",
        ),
        (
            "emr",
            "run_job_flow",
            {
                "Instances": {
                    "InstanceFleets": [
                        {
                            "LaunchSpecifications": {
                                "SpotSpecification": {"TimeoutDurationMinutes": 1}
                            }
                        }
                    ]
                }
            },
            "TimeoutDurationMinutes is 1, not from 5 to 1440",
        ),
        (
            "emr",
            "run_job_flow",
            {"Steps": [{"ActionOnFailure": "STOP"}]},
            "ActionOnFailure is STOP",
        ),
        (
            "emr-serverless",
            "start_job_run",
            {"executionTimeoutMinutes": 1},
            "executionTimeoutMinutes is 1, not from 5",
        ),
        (
            "ec2",
            "run_instances",
            {"InstanceInitiatedShutdownBehavior": "delete"},
            "ShutdownBehavior is delete",
        ),
        ("ec2", "run_instances", {"HttpTokens": "required"}, "HttpTokens is no name"),
        ("budgets", "create_budget", {"Budget": {"BudgetType": "COSTS"}}, "BudgetType is COSTS"),
        ("budgets", "create_budget", {"Budget": {"TimeUnit": "MONTH"}}, "TimeUnit is MONTH"),
        ("budgets", "create_budget", {"Budget": {"BudgetName": "a:b"}}, "BudgetName is a:b, not"),
        ("emr", "run_job_flow", {"Name": "x" * 257}, "Name is of 257, its max is 256"),
        (
            "emr-serverless",
            "start_job_run",
            {"applicationId": "00F"},
            "applicationId is 00F, not like",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) and " " in each else "",
)
def test_what_is_wrong_in_a_call_is_found(
    service: str, operation: str, parameters: Mapping[str, Any], fault: str
) -> None:
    (found,) = faults_of_call(service, operation, parameters)
    assert fault in found


def test_a_tls_object_is_where_the_certificate_is_put() -> None:
    content = Stack().properties("SecurityConfiguration")["SecurityConfiguration"]
    tls = content["EncryptionConfiguration"]["InTransitEncryptionConfiguration"]
    assert tls["TLSCertificateConfiguration"]["S3Object"] == f"s3://pictures/{certificates.KEY}"
