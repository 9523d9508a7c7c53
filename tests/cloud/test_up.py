"""`cloud up`: every part in order, asked once, and nothing done twice.

The archive is one of a name only here, and the job ends at once: nothing that was submitted runs.
"""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.cli.cloud.up import _run
from featuremill.cloud import up
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.job import CLUSTER, SERVERLESS, Job
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.jobs.status import Status
from featuremill.cloud.packaging import package
from featuremill.cloud.packaging.archive import Recipe
from featuremill.cloud.stack import deploy, doctor, project_file
from featuremill.cloud.transfer.sources import open_source
from featuremill.cloud.up import Errand
from featuremill.errors import ConfigError
from tests.cloud.moto_jobs import FAILS
from tests.cloud.offline import Stack
from tests.cloud.stack import (
    BUCKET,
    OUTPUTS,
    asked_by,
    described,
    dry_run,
    featuremill,
    put,
    recording,
)

MODEL = "mobilenetv2-untrained"

JOB = Job(
    SERVERLESS,
    OUTPUTS["ApplicationId"],
    "00abc",
    "main",
    f"s3://{BUCKET}/results/main",
    "2026-11-21T12:00:00+00:00",
)

# a bucket alone: the template itself is tested beside it
SMALL: dict[str, Any] = {
    "Parameters": {
        name: {"Type": "String", "Default": ""}
        for name in ("AlertEmail", "Architecture", "MonthlyBudget")
    },
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}}},
}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images to send, in a folder that belongs to no stack."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path / "cache"))
    for name in ("Apple/1.jpg", "Apple/2.jpg", "Pear/1.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(name.encode())
    return tmp_path / "photos"


def errand(photos: Path) -> Errand:
    return Errand(open_source(str(photos)), "main", MODEL, JobLimits(), Path("results"))


@pytest.fixture
def account(aws: Aws, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """An account where a stack of a bucket can be made, and an archive that is quickly built."""
    application = aws.client("emr-serverless").create_application(
        name="featuremill", releaseLabel="emr-7.9.0-20260101", type="SPARK"
    )
    known = {**described().outputs, "ApplicationId": application["applicationId"]}
    outputs = {name: {"Value": value} for name, value in known.items() if name != "Bucket"}
    template = {**SMALL, "Outputs": {**outputs, "Bucket": {"Value": {"Ref": "Bucket"}}}}
    monkeypatch.setattr(deploy, "template_body", lambda *_: json.dumps(template))

    def build(recipe: Recipe) -> SimpleNamespace:
        archive = photos.parent / recipe.archive
        archive.write_bytes(b"archive")
        return SimpleNamespace(archive=archive)

    monkeypatch.setattr(package, "build", build)
    return aws


def whole(aws: Aws, photos: Path, *options: str, typed: str | None = None) -> Result:
    """Everything, with a throughput that needs no measuring."""
    given = ("--model", MODEL, "--throughput", "50", "--endpoint-url", str(aws.endpoint_url))
    command = ["cloud", "up", str(photos), *given, *options]
    return CliRunner().invoke(main, command, input=typed)


def submitted(aws: Aws) -> list[str]:
    """Jobs of all applications, by id."""
    emr = aws.client("emr-serverless")
    applications = [each["id"] for each in emr.list_applications()["applications"]]
    jobs = [emr.list_job_runs(applicationId=each)["jobRuns"] for each in applications]
    return [job["id"] for each in jobs for job in each]


def finish(aws: Aws, name: str = "main") -> None:
    """Leave what the job would have left: moto runs nothing."""
    put(aws, f"results/{name}/report.html", b"<html>")


# From an empty account


def test_what_doctor_finds_in_the_way_ends_it_before_anything_is_asked_or_made(
    account: Aws, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "RELEASE", "emr-99.0.0")
    refused = whole(account, photos, "--yes")
    assert refused.exit_code == 1
    assert "release: EMR offers no emr-99.0.0 in eu-west-1" in refused.stderr
    assert account.client("cloudformation").describe_stacks()["Stacks"] == []


def test_it_is_asked_once_with_the_estimate_and_goes_on_where_it_was(
    account: Aws, photos: Path
) -> None:
    first = whole(account, photos, typed="y\n")
    assert "run       EMR Serverless vCPU" in first.stderr
    assert first.stderr.count("[y/N]") == 1
    assert "Go on, in account 123456789012, eu-west-1? [y/N]" in first.stderr
    assert "3 files are there, 3 of them new" in first.stderr
    # the job left nothing: moto runs none
    assert first.exit_code == 1
    assert "results/main holds nothing" in first.stderr
    (job,) = submitted(account)

    finish(account)
    second = whole(account, photos, "--yes")
    assert second.exit_code == 0, second.output
    # who may use the stack may not be allowed to change it
    assert "look for stack featuremill" in second.stderr
    assert "work out what would change" not in second.stderr
    assert "3 files are there, 0 of them new" in second.stderr
    assert f"job {job} has done it already, and nothing was sent since" in second.stderr
    assert submitted(account) == [job]
    assert (photos.parent / "results" / "report.html").read_bytes() == b"<html>"

    third = whole(account, photos, "--yes")
    assert "0 files fetched, 1 there already" in third.stdout

    (photos / "Apple" / "3.jpg").write_bytes(b"new")
    fourth = whole(account, photos, "--yes")
    assert "4 files are there, 1 of them new" in fourth.stderr
    assert len(submitted(account)) == 2
    # for `cloud cost`
    assert json.loads((photos.parent / "featuremill-estimate.json").read_text())["images"] == 4


def test_a_change_of_a_stack_that_is_there_is_asked_apart(account: Aws, photos: Path) -> None:
    whole(account, photos, "--yes")
    changed = whole(account, photos, "--email", "me@example.org", typed="y\nn\n")
    assert changed.stderr.count("[y/N]") == 2
    assert "3 files are there" not in changed.stderr


def test_a_stack_that_was_taken_down_elsewhere_is_made_anew(account: Aws, photos: Path) -> None:
    whole(account, photos, "--yes")
    bucket = account.session.resource("s3", endpoint_url=account.endpoint_url).Bucket(BUCKET)
    bucket.objects.delete()
    account.client("cloudformation").delete_stack(StackName="featuremill")
    again = whole(account, photos, "--yes")
    assert "3 files are there, 3 of them new" in again.stderr


def test_whoever_says_no_has_changed_nothing(account: Aws, photos: Path) -> None:
    before = set(photos.parent.iterdir())
    refused = whole(account, photos, "--images", "1000000", typed="n\n")
    assert refused.exit_code == 1
    assert "images    1,000,000" in refused.stderr
    assert account.client("cloudformation").describe_stacks()["Stacks"] == []
    assert set(photos.parent.iterdir()) == before


def test_a_failed_job_is_explained_and_tried_again(account: Aws, photos: Path) -> None:
    for attempt in (1, 2):
        failed = whole(account, photos, "--yes", "--name", FAILS)
        assert failed.exit_code == 1
        assert "ended as FAILED" in failed.stderr
        assert len(submitted(account)) == attempt


# What is not done twice


@pytest.mark.parametrize(
    ("state", "all_there", "needless"),
    [
        ("RUNNING", True, True),
        ("RUNNING", False, True),
        ("SUCCESS", True, True),
        ("SUCCESS", False, False),
        ("FAILED", True, False),
    ],
)
def test_a_job_is_needless_while_one_goes_on_or_when_nothing_is_new(
    photos: Path, monkeypatch: pytest.MonkeyPatch, state: str, all_there: bool, needless: bool
) -> None:
    where = JOB.kept_in(described())
    monkeypatch.setattr(up, "status", lambda _aws, _place, job: Status(job, state, "", 1.0))
    found = up.under_way(Aws("eu-west-1"), where, errand(photos), all_there=all_there)
    assert (found is not None) is needless


@pytest.mark.parametrize(
    "other",
    [
        replace(JOB, kind=CLUSTER),
        replace(JOB, where="00another"),
        replace(JOB, name="other"),
        None,
    ],
)
def test_another_job_says_nothing(photos: Path, other: Job | None) -> None:
    where = other.kept_in(described()) if other else described()
    assert up.under_way(Aws("eu-west-1"), where, errand(photos), all_there=True) is None


def test_a_job_under_way_is_waited_for_and_not_submitted(photos: Path) -> None:
    under_way = Status(JOB, "RUNNING", "", 1.0)
    asked = asked_by(lambda dry: _run(described(), errand(photos), dry, under_way))
    assert "start_job_run" not in [call.operation for call in asked]
    assert asked[0].operation == "get_job_run"
    assert asked[0].parameters == {"applicationId": JOB.where, "jobRunId": JOB.id}


# The stack


def test_a_new_stack_takes_what_is_asked_for() -> None:
    wanted = up.stack_for(None, "eu-central-1", "arm64", "me@example.org")
    assert (wanted.region, wanted.architecture) == ("eu-central-1", "arm64")
    assert up.stack_for(None, None, None, None).region == "eu-west-1"


def test_the_stack_is_allowed_what_the_job_is_to_use() -> None:
    assert up.stack_for(None, None, None, None, 64).max_vcpu == 64
    assert up.stack_for(None, None, None, None, 16).max_vcpu is None
    large = replace(described(), outputs={**OUTPUTS, "MaximumVcpu": "100"})
    assert up.stack_for(large, None, None, None, 64).max_vcpu is None


def test_a_folders_stack_stays_where_it_is() -> None:
    assert up.stack_for(described(), None, None, None).stack == "featuremill"
    with pytest.raises(ConfigError, match="--region is eu-west-3, but this folder belongs"):
        up.stack_for(described(), "eu-west-3", None, None)


# The command


def test_a_dry_run_fits_on_a_page_with_steps_what_they_create_and_the_prices(photos: Path) -> None:
    shown = dry_run("cloud", "up", photos, "--model", MODEL, "--email", "me@example.org")
    assert len(shown.splitlines()) < 60
    parts = (
        " 1. check account, region and stack",
        "make these changes",
        "send what is missing there of",
        "start the job for s3://<Bucket of stack featuremill>/results/main",
        "write to results what is not there yet",
        "creates  IAM:",
        "costs    nothing by the hour while no job runs",
        "prices   serverless.vcpu_hour",
        "`featuremill cloud estimate",
        "dry run: nothing was called",
    )
    found = [shown.index(part) for part in parts]
    assert found == sorted(found)


def test_a_dry_run_names_every_kind_of_resource_that_the_stack_has_and_every_role(
    photos: Path,
) -> None:
    shown = " ".join(dry_run("cloud", "up", photos, "--model", MODEL).split())
    kinds = Counter(each["Type"].split("::")[2] for each in Stack().resources.values())
    assert all(f"{count} {kind}" in shown for kind, count in kinds.items())
    assert len(kinds) > 15
    of_iam = [n for n, each in Stack().resources.items() if each["Type"].startswith("AWS::IAM::")]
    assert all(name in shown for name in of_iam)


def test_what_an_hour_of_the_job_costs_follows_from_the_table_and_no_stand_in(photos: Path) -> None:
    few, many = (
        dry_run("cloud", "up", photos, "--model", MODEL, "--max-vcpu", vcpu) for vcpu in ("8", "32")
    )
    # 8 x 0.052624 + 21 x 0.0057785
    assert "at most 0.542 USD for an hour of the job, which is 8 vCPU-hours" in few
    # executors of 4 vCPU beside the driver: two of the 32 stay unused
    assert "which is 30 vCPU-hours" in many


def test_where_the_stack_is_there_nothing_is_said_to_create_it(photos: Path) -> None:
    project_file.save(described(), Path())
    shown = dry_run("cloud", "up", photos, "--model", MODEL)
    assert "creates  EMR Serverless: one job" in shown
    assert "IAM" not in shown


def test_a_verbose_dry_run_shows_every_call(photos: Path) -> None:
    shown = dry_run("cloud", "up", photos, "--model", MODEL, "--verbose")
    calls = (
        "cloudformation.execute_change_set",
        "s3.put_object",
        "s3.create_multipart_upload",
        "emr-serverless.start_job_run",
        "emr-serverless.get_job_run until SUCCESS",
        "s3.get_object",
    )
    found = [shown.index(call) for call in calls]
    assert found == sorted(found)
    assert "s3://<Bucket of stack featuremill>/results/main" in shown


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--region", "us-east-1"], "region is 'us-east-1', must be in the EU"),
        (["--name", "a/b"], "--name is 'a/b'"),
        (["--model", "nothing"], "nothing"),
        (["--max-vcpu", "1"], "--max-vcpu is 1"),
        (["--architecture", "sparc"], "sparc"),
        (["--email", "me"], "--email is 'me'"),
        (["--throughput", "-1"], "throughput is -1.0"),
        (["--currency", "EUR"], "no --rate was given"),
        (["--verbose"], "--verbose was given without --dry-run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_before_anything_is_called(
    photos: Path, options: list[str], problem: str
) -> None:
    with recording() as (endpoint, came):
        refused = featuremill("cloud", "up", photos, "--endpoint-url", endpoint, *options)
    assert refused.exit_code == 2, refused.output
    assert problem in refused.output
    assert came == []


def test_an_archive_at_an_address_is_not_fetched_to_be_counted(photos: Path) -> None:
    refused = featuremill("cloud", "up", "fruits-360", "--throughput", "50")
    assert refused.exit_code == 2
    assert "Say how many there are with --images" in refused.output
