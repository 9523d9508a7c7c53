"""`cloud doctor`: what stands in the way, before anything is paid for."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws, explained
from featuremill.cloud.aws.regions import RELEASE, SERVERLESS_RELEASE
from featuremill.cloud.stack import project_file as places
from featuremill.cloud.stack.doctor import Finding, doctor
from featuremill.cloud.stack.project_file import Place
from tests.cloud.scripted import Scripted

PLACE = Place(
    "featuremill", "eu-west-1", "123456789012", {"Bucket": "pictures", "Architecture": "arm64"}
)
OUTPUTS = [{"OutputKey": key, "OutputValue": value} for key, value in PLACE.outputs.items()]
ARCHIVE = "code/featuremill-0.4.0-mobilenetv2-{}-0123456789ab.tar.gz"


def account(**other: list[Any]) -> Scripted:
    """An account with nothing in the way, but for what is said."""
    answers: dict[str, list[Any]] = {
        "get_caller_identity": [
            {"Arn": "arn:aws:iam::123456789012:user/ada", "Account": "123456789012"}
        ],
        "describe_regions": [
            {
                "Regions": [
                    {"RegionName": "eu-west-1", "OptInStatus": "opt-in-not-required"},
                    {"RegionName": "eu-south-2", "OptInStatus": "not-opted-in"},
                    {"RegionName": "us-east-1", "OptInStatus": "opt-in-not-required"},
                ]
            }
        ],
        "get_service_quota": [{"Quota": {"Value": 16.0}}],
        "get_block_public_access_configuration": [
            {"BlockPublicAccessConfiguration": {"BlockPublicSecurityGroupRules": True}}
        ],
        "list_release_labels": [
            {"ReleaseLabels": [RELEASE], "NextToken": "more"},
            {"ReleaseLabels": [SERVERLESS_RELEASE]},
        ],
        "describe_stacks": [{"Stacks": [{"StackStatus": "UPDATE_COMPLETE", "Outputs": OUTPUTS}]}],
        "list_objects_v2": [{"Contents": [{"Key": ARCHIVE.format("arm64")}]}],
    }
    return Scripted(**(answers | other))


def refusal(code: str) -> Exception:
    return explained(ClientError({"Error": {"Code": code, "Message": "no"}}, "Call"), "ask")


def findings(aws: Aws, region: str = "eu-west-1", max_vcpu: int = 16) -> dict[str, Finding]:
    found = doctor(aws, region, PLACE, max_vcpu)
    return {each.what: each for each in found}


def test_an_account_with_nothing_in_the_way_is_ok_in_every_line() -> None:
    found = findings(account())
    assert {each.level for each in found.values()} == {"ok"}
    assert list(found) == [
        "identity",
        "region",
        "EMR Serverless vCPU",
        "EC2 vCPU",
        "EC2 Spot vCPU",
        "block public access",
        "release",
        "stack",
        "archive",
    ]


@pytest.mark.parametrize(
    ("what", "answers", "level", "said", "remedy"),
    [
        (
            "identity",
            {"get_caller_identity": [{"Arn": "arn:aws:iam::1:root", "Account": "1"}]},
            "warn",
            "the owner of the account",
            "user or role for daily work",
        ),
        (
            "EMR Serverless vCPU",
            {"get_service_quota": [{"Quota": {"Value": 8.0}}]},
            "fail",
            "may use 8 vCPU at once, jobs are to use 16",
            "Lower --max-vcpu to 8, or ask for more",
        ),
        (
            "EMR Serverless vCPU",
            {"get_service_quota": [None]},
            "warn",
            "the quota is unknown",
            "Service Quotas console",
        ),
        (
            "EC2 vCPU",
            {"get_service_quota": [{"Quota": {"Value": 16.0}}, {"Quota": {"Value": 5.0}}]},
            "warn",
            "5 on-demand vCPU at once, a cluster takes 12",
            "or use EMR Serverless",
        ),
        (
            "EC2 Spot vCPU",
            {"get_service_quota": [*({"Quota": {"Value": 16.0}},) * 2, {"Quota": {"Value": 0.0}}]},
            "warn",
            "0 Spot vCPU at once, a cluster takes 12",
            "or use EMR Serverless",
        ),
        (
            "block public access",
            {"get_block_public_access_configuration": [{}]},
            "warn",
            "opened to the world",
            "put-block-public-access-configuration",
        ),
        (
            "release",
            {"list_release_labels": [{"ReleaseLabels": ["emr-7.1.0"]}]},
            "fail",
            f"EMR offers no {RELEASE} in eu-west-1",
            "Choose another region",
        ),
        (
            "release",
            {"list_release_labels": [{"ReleaseLabels": [RELEASE]}]},
            "warn",
            f"EMR does not list {SERVERLESS_RELEASE}",
            "newer featuremill",
        ),
        (
            "stack",
            {"describe_stacks": [{"Stacks": [{"StackStatus": "ROLLBACK_COMPLETE"}]}]},
            "fail",
            "featuremill is ROLLBACK_COMPLETE",
            "says why",
        ),
        ("stack", {"describe_stacks": [None]}, "fail", "does not exist", "cloud deploy"),
        (
            "archive",
            {"list_objects_v2": [{"Contents": [{"Key": ARCHIVE.format("x86_64")}]}]},
            "fail",
            "the application is arm64, the archive is for x86_64",
            "cloud package --architecture arm64",
        ),
        (
            "stack",
            {"get_caller_identity": [{"Arn": "arn:aws:iam::999:user/eve", "Account": "999"}]},
            "fail",
            "is in account 123456789012, but you are signed in to account 999",
            "delete featuremill-cloud.json",
        ),
        ("archive", {"list_objects_v2": [{}]}, "warn", "there is none yet", "cloud package"),
    ],
)
def test_what_stands_in_the_way_is_said_with_the_remedy(
    what: str, answers: dict[str, list[Any]], level: str, said: str, remedy: str
) -> None:
    finding = findings(account(**answers))[what]
    assert finding.level == level
    assert said in finding.said
    assert remedy in finding.remedy


def test_a_region_that_is_not_switched_on_is_a_failure() -> None:
    finding = findings(account(), "eu-south-2")["region"]
    assert (finding.level, "enable-region" in finding.remedy) == ("fail", True)


def test_a_region_outside_the_eu_is_a_warning() -> None:
    assert findings(account(), "us-east-1")["region"].level == "warn"


def test_without_a_valid_identity_nothing_else_is_asked() -> None:
    found = findings(account(get_caller_identity=[refusal("ExpiredToken")]))
    assert list(found) == ["identity"]
    assert found["identity"].level == "fail"
    assert "Sign in again" in found["identity"].remedy


def test_a_question_that_is_refused_is_a_failure_of_its_own_line() -> None:
    refused = refusal("AccessDeniedException")
    found = findings(account(get_block_public_access_configuration=[refused]))
    assert found["block public access"].level == "fail"
    assert "operator policy" in found["block public access"].remedy
    assert found["release"].level == "ok"


def examined(aws: Aws, *options: str) -> Result:
    command = ["cloud", "doctor", "--endpoint-url", str(aws.endpoint_url), *options]
    return CliRunner().invoke(main, command)


def test_the_command_prints_a_line_each_and_exits_with_1_on_a_failure(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places.save(PLACE, tmp_path)
    aws.client("s3").create_bucket(
        Bucket="pictures", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    result = examined(aws)
    assert result.exit_code == 1
    assert "ok    identity" in result.stdout
    assert "arn:aws:" in result.stdout
    assert "ok    region                   eu-west-1, in the EU" in result.stdout
    # moto knows no quota of EMR Serverless, as an account may not be allowed to read it
    assert "warn  EMR Serverless vCPU      the quota is unknown" in result.stdout
    assert "fail  stack                    featuremill does not exist" in result.stdout
    assert "fail  archive                  there is no stack featuremill" in result.stdout


def test_a_region_outside_the_eu_is_not_even_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = examined(Aws("us-east-1"), "--region", "us-east-1")
    assert result.exit_code == 2
    assert "must be in the EU" in result.stderr
    assert "--allow-region us-east-1" in result.stderr
