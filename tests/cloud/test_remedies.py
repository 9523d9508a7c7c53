"""What AWS refuses, and what the connection meets, is said with what helps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

from featuremill.cloud.aws.client import explained
from featuremill.cloud.jobs import job_cluster, serverless
from featuremill.cloud.jobs.fleets import Machines
from featuremill.config import RunConfig
from featuremill.errors import CloudError
from tests.cloud.scripted import Scripted
from tests.cloud.stack import ARCHIVE, ENTRY, described, featuremill, folder

__all__ = ["folder"]

CONFIG = RunConfig("s3://pictures/input", "s3://pictures/results/main")


def refusal(code: str, message: str = "no") -> CloudError:
    answer: Any = {"Error": {"Code": code, "Message": message}}
    error = explained(ClientError(answer, "Call"), "start it")
    assert isinstance(error, CloudError)
    return error


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", "Sign in again"),
        ("ExpiredTokenException", "Sign in again"),
        ("400", "Sign in again"),
        ("RequestExpired", "this machine's clock"),
        ("RequestTimeTooSkewed", "this machine's clock"),
        ("InvalidClientTokenId", "check the profile"),
        ("UnrecognizedClient", "check the profile"),
        ("UnrecognizedClientException", "check the profile"),
        ("InvalidAccessKeyId", "check the profile"),
        ("AuthFailure", "check the profile"),
        ("InvalidClientTokenId", "aws account enable-region"),
        ("SignatureDoesNotMatch", "check the profile"),
        ("AccessDenied", "deploy --operator NAME"),
        ("AccessDeniedException", "deploy --operator NAME"),
        ("UnauthorizedOperation", "deploy --operator NAME"),
        ("403", "deploy --operator NAME"),
        ("BucketAlreadyExists", "choose another --bucket"),
        ("ServiceQuotaExceededException", "lower --max-vcpu"),
        ("VcpuLimitExceeded", "submit without --cluster"),
        ("InstanceLimitExceeded", "--max-nodes"),
        ("MaxSpotInstanceCountExceeded", "--max-nodes"),
        ("InsufficientInstanceCapacity", "another --architecture or --size"),
        ("Unsupported", "another --architecture or --size"),
        ("InvalidKeyPair.NotFound", "describe-key-pairs"),
        ("OptInRequired", "finish signing up"),
        ("ThrottlingException", "in a minute"),
        ("RequestLimitExceeded", "in a minute"),
        ("SlowDown", "goes on where it was"),
        ("NoSuchBucket", "cloud doctor"),
        ("ResourceNotFoundException", "cloud doctor"),
        ("ParameterNotFound", "cloud server up"),
        ("PermanentRedirect", "another region"),
    ],
)
def test_an_error_code_has_its_remedy(code: str, remedy: str) -> None:
    error = refusal(code)
    assert error.problem == f"start it: AWS answered {code}: no"
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("The supplied release label is invalid: emr-7.14.0.", "cloud doctor"),
        ("The security token included in the request is expired", "Sign in again"),
        ("Job exceeds the application's maximumCapacity", "lower --max-vcpu"),
        ("Your quota allows for 0 more running instance(s).", "Service Quotas"),
        ("Block public access configuration does not allow this", "without --jupyter-cidr"),
        ("User: ada is not authorized to perform: iam:PassRole", "deploy --operator NAME"),
    ],
)
def test_where_the_code_says_too_little_the_words_do(message: str, remedy: str) -> None:
    assert remedy in refusal("ValidationException", message).remedy


def test_what_nobody_knows_is_passed_on_without_a_guess() -> None:
    error = refusal("FluxCapacitorException", "1.21 gigawatts")
    assert str(error) == "start it: AWS answered FluxCapacitorException: 1.21 gigawatts"


@pytest.mark.parametrize(
    ("name", "fields", "problem", "remedy"),
    [
        ("NoCredentialsError", {}, "no AWS credentials were found", "aws configure sso"),
        (
            "PartialCredentialsError",
            {"provider": "env", "cred_var": "AWS_SECRET_ACCESS_KEY"},
            "AWS_SECRET_ACCESS_KEY",
            "~/.aws/credentials",
        ),
        ("UnauthorizedSSOTokenError", {}, "the AWS sign-in has expired", "aws sso login"),
        (
            "SSOTokenLoadError",
            {"profile_name": "work", "error_msg": "Token for work does not exist"},
            "nobody is signed in",
            "aws sso login",
        ),
        (
            "TokenRetrievalError",
            {"provider": "sso", "error_msg": "Token has expired"},
            "Token has expired",
            "aws sso login",
        ),
        (
            "CredentialRetrievalError",
            {"provider": "custom-process", "error_msg": "exited with 1"},
            "custom-process",
            "Sign in again",
        ),
        ("ConfigParseError", {"path": "~/.aws/config"}, "~/.aws/config", "aws configure list"),
        (
            "EndpointConnectionError",
            {"endpoint_url": "https://emr.eu-west-9.amazonaws.com"},
            "eu-west-9",
            "Check the network",
        ),
        ("ConnectTimeoutError", {"endpoint_url": "https://x"}, "https://x", "Check the network"),
        ("ReadTimeoutError", {"endpoint_url": "https://x"}, "https://x", "Check the network"),
        (
            "SSLError",
            {"endpoint_url": "https://x", "error": "self-signed"},
            "self-signed",
            "AWS_CA_BUNDLE",
        ),
    ],
)
def test_what_the_connection_meets_is_said_with_what_helps(
    name: str, fields: Mapping[str, str], problem: str, remedy: str
) -> None:
    raised = getattr(botocore.exceptions, name)(**fields)
    error = explained(raised, "start it")
    assert isinstance(error, CloudError)
    assert error.problem.startswith("start it: ")
    assert problem in error.problem
    assert remedy in error.remedy


def test_other_errors_stay_what_they_are() -> None:
    bug = ZeroDivisionError("a bug")
    assert explained(bug, "start it") is bug


# What a person sees


def test_a_profile_that_is_unknown_is_named(folder: Path) -> None:
    refused = featuremill("cloud", "stop", "--yes", "--profile", "nobody")
    assert refused.exit_code == 1
    assert "The config profile (nobody) could not be found" in refused.stderr
    assert "aws configure list-profiles" in refused.stderr


def test_an_endpoint_that_is_no_address_is_refused(folder: Path) -> None:
    for command in (["cluster", "list"], ["stop"], ["upload", str(folder)]):
        (folder / "0.jpg").write_bytes(b"picture")
        refused = featuremill("cloud", *command, "--endpoint-url", "nowhere")
        assert refused.exit_code == 1
        assert "Invalid endpoint: nowhere" in refused.stderr
        assert "--endpoint-url" in refused.stderr


def test_a_configuration_that_cannot_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config").write_text("[default\nregion=")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    refused = featuremill("cloud", "status")
    assert refused.exit_code != 0
    assert "Unable to parse config file" in refused.stderr
    assert "aws configure list" in refused.stderr


STORED = {"Contents": [{"Key": key, "LastModified": 1} for key in (ARCHIVE, ENTRY)]}


def test_a_job_beyond_the_quota_says_what_to_lower() -> None:
    message = "Max concurrent vCPUs per account: 16"
    aws = Scripted(
        list_objects_v2=[STORED],
        start_job_run=[refusal("ServiceQuotaExceededException", message)],
    )
    with pytest.raises(CloudError, match="Max concurrent vCPUs") as refused:
        serverless.submit(aws, described(), CONFIG, "main")
    assert "lower --max-vcpu" in refused.value.remedy
    assert "cloud doctor" in refused.value.remedy


def test_a_release_that_is_not_offered_says_where_to_look() -> None:
    message = "The supplied release label is invalid: emr-7.14.0."
    aws = Scripted(
        list_objects_v2=[STORED | {"KeyCount": 1}],
        put_object=[{}],
        run_job_flow=[refusal("ValidationException", message)],
    )
    with pytest.raises(CloudError, match="release label is invalid") as refused:
        job_cluster.submit(aws, described(), CONFIG, "main", Machines("x86_64"))
    assert "cloud doctor" in refused.value.remedy
