"""From an empty account to results and back to nothing, by the command line; the job really runs.

One story is gone through once, and each test looks at one thing of it. AWS is moto's server; the
machine that runs the job is `tests.cloud.cluster`, which takes what was submitted and has Spark, a
bare Python and the archive. Every call is written down with who made it: an administrator deploys
and destroys, ada does everything between, and the job has the keys of its role.
"""

import json
import platform
import re
import shutil
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.job import last_job
from featuremill.cloud.pricing import prices
from featuremill.cloud.stack import project_file as places
from featuremill.cloud.stack.project_file import Place
from tests import outputs
from tests.cloud import recorder
from tests.cloud.account import everything, keys, may, said
from tests.cloud.cluster import Machine
from tests.cloud.moto_jobs import BILLED
from tests.cloud.moto_server import serving
from tests.cloud.policies import Need, Statement, allows, needs
from tests.cloud.recorder import Recorded

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux", reason="the archive is for Linux, and what it holds is run here"
    ),
]

ADMINISTRATOR, ADA, JOB = "administrator", "ada", "job"
"""Who signs a call; each name is the id of an access key."""
HERE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
"""The architecture of this machine, by AWS' name."""

IMAGES, LABELS = 200, 4
# `auto` would take the precision that is faster, which differs from one moment to the next
RUN = ("--model", "embedded", "--components", "10", "--precision", "fp32")
SPENT = {"Amazon Elastic MapReduce": "1.25", "Amazon Simple Storage Service": "0.07"}
"""What Cost Explorer answers."""


@dataclass
class Story:
    """What was seen on the way.

    Parameters
    ----------
    folder : Path
        In which the commands were given; there are ``photos``, ``results`` and ``local``.
    place : Place
        The stack.
    before, standing, after : mapping
        What there was in the account before, with, and after the stack: kind → names.
    said : mapping
        Command → what it printed.
    calls : sequence of Recorded
        All that came to AWS.
    statements : mapping
        Who → what their policies said while the stack was there.
    uploaded : sequence of str
        Keys in the bucket before the job ran.
    bare : set of str
        What was installed in the Python that ran the job.
    """

    folder: Path
    place: Place = field(init=False)
    before: Mapping[str, set[str]] = field(init=False)
    standing: Mapping[str, set[str]] = field(init=False)
    after: Mapping[str, set[str]] = field(init=False)
    said: dict[str, str] = field(default_factory=dict)
    calls: Sequence[Recorded] = ()
    statements: dict[str, list[Statement]] = field(default_factory=dict)
    uploaded: Sequence[str] = ()
    bare: set[str] = field(default_factory=set)

    @property
    def results(self) -> Path:
        """What was fetched."""
        return self.folder / "results" / "main"

    @property
    def record(self) -> Any:
        """The job's own record."""
        [file] = (self.results / "runs").glob("*.json")
        return json.loads(file.read_text())

    def submitted(self) -> Mapping[str, Any]:
        """What EMR Serverless was asked, as it came over the wire."""
        [asked] = (each for each in self.calls if each.operation == "StartJobRun")
        return asked.parameters

    def narrowed(self) -> list[Statement]:
        """What the job was submitted with, and may not go beyond whatever its role may."""
        document = json.loads(self.submitted()["executionIamPolicy"]["policy"])
        statements: list[Statement] = document["Statement"]
        return statements

    def needed(self, who: str) -> list[tuple[Need, str]]:
        """What somebody's calls need to be allowed, and in which region."""
        return [
            (need, call.region)
            for call in self.calls
            if call.who == who
            for need in needs(call.service, call.operation, call.parameters, self.place.outputs)
        ]


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, packages_kept: Path, spark: "SparkSession"
) -> Story:
    folder, log = tmp_path_factory.mktemp("story"), tmp_path_factory.mktemp("calls") / "calls"
    seen = Story(folder)
    with serving(log) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FEATUREMILL_CACHE", str(packages_kept))
        _go_through(seen, endpoint, log)
    # the same without AWS, on the session of these tests
    seen.said["run"] = said(ADA, "run", str(folder / "photos"), str(folder / "local"), *RUN)
    return seen


def _go_through(seen: Story, endpoint: str, log: Path) -> None:
    def cloud(who: str, command: str, *words: str) -> None:
        seen.said[command] = said(who, "cloud", command, *words, "--endpoint-url", endpoint)

    aws = Aws("eu-west-1", endpoint_url=endpoint)
    aws.client("iam").create_user(UserName=ADA)
    _say_what_was_spent(endpoint)
    seen.before = everything(aws)

    said(ADA, "synth", "photos", "--classes", str(LABELS), "--per-class", str(IMAGES // LABELS))
    of_ada = ("--architecture", HERE, "--email", "ada@example.org", "--operator", ADA)
    cloud(ADMINISTRATOR, "deploy", "--yes", *of_ada)
    seen.place, seen.standing = places.load(seen.folder), everything(aws)
    iam, role = aws.client("iam"), seen.place.output("JobRoleArn").rpartition("/")[2]
    seen.statements = {ADA: may(iam, "user", ADA), JOB: may(iam, "role", role)}

    cloud(ADA, "estimate", "photos", "--throughput", "60")
    cloud(ADA, "upload", "photos")
    cloud(ADA, "package", "--model", "embedded")
    cloud(ADA, "submit", *RUN)
    seen.uploaded = keys(aws, seen.place.output("Bucket"))
    seen.calls = [*recorder.read(log)]
    _run_what_was_submitted(seen, endpoint)

    for command in ("status", "logs", "fetch", "cost"):
        cloud(ADA, command)
    cloud(ADMINISTRATOR, "destroy", "--yes")
    seen.after, seen.calls = everything(aws), [*recorder.read(log)]


def _run_what_was_submitted(seen: Story, endpoint: str) -> None:
    machine = Machine(seen.folder / "machine", endpoint, JOB)
    driver = machine.run_job(seen.submitted(), last_job(places.load(seen.folder)).id)
    assert driver.returncode == 0, driver.stdout
    [packages] = (machine.folder / "python").glob("lib/*/site-packages")
    seen.bare = {path.name for path in packages.iterdir()}
    # nearly a gigabyte
    shutil.rmtree(machine.folder)


def _say_what_was_spent(endpoint: str) -> None:
    groups = [
        {"Keys": [service], "Metrics": {"UnblendedCost": {"Amount": usd, "Unit": "USD"}}}
        for service, usd in SPENT.items()
    ]
    body = json.dumps({"results": [{"ResultsByTime": [{"Groups": groups}]}]}).encode()
    address = f"{endpoint}/moto-api/static/ce/cost-and-usage-results"
    urllib.request.urlopen(urllib.request.Request(address, body, method="POST")).close()


def below(features: "pd.DataFrame", source: str) -> "pd.DataFrame":
    """Rows with their paths as they are below a source, in the order of these."""
    assert all(path.startswith(f"{source}/") for path in features["path"])
    named = features.assign(path=[path.removeprefix(f"{source}/") for path in features["path"]])
    return named.sort_values("path", ignore_index=True)


def cosines(one: "pd.Series[Any]", other: "pd.Series[Any]") -> Any:
    """Cosine of each row of two columns of vectors."""
    a, b = (np.stack([*column]).astype(np.float64) for column in (one, other))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


# --------------------------------------------------------------------------- what is brought


def test_every_picture_is_uploaded_under_its_label(story: Story) -> None:
    assert "200 files" in story.said["upload"]
    assert "200 sent" in story.said["upload"]
    photos = story.folder / "photos"
    pictures = {path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg")}
    assert len(pictures) == IMAGES
    there = {key.removeprefix("input/") for key in story.uploaded if key.startswith("input/")}
    assert there >= pictures


def test_the_archive_is_built_for_the_stack_and_put_beside_its_entry_point(story: Story) -> None:
    there = [key for key in story.uploaded if key.startswith("code/")]
    archive = rf"code/featuremill-[\d.]+-embedded-{HERE}-\w{{12}}\.tar\.gz"
    patterns = (archive, r"code/featuremill-job-\w{12}\.py")
    assert len(there) == 2
    for key, pattern in zip(sorted(there), patterns, strict=True):
        assert re.fullmatch(pattern, key)
        assert key in story.said["package"]


# ------------------------------------------------------------------------------ what is run


def test_the_job_runs_in_a_python_that_has_nothing_but_the_archive(story: Story) -> None:
    assert story.bare == set()
    given = story.submitted()["jobDriver"]["sparkSubmit"]
    assert given["entryPointArguments"][2:-2] == [
        *("--components", "10", "--model", "embedded", "--precision", "fp32")
    ]
    assert story.record["versions"]["python"].startswith("3.11.")


def test_status_tells_what_the_job_has_done(story: Story) -> None:
    assert re.search(r"^state +SUCCESS after", story.said["status"], re.MULTILINE)
    assert "200 images committed" in story.said["status"]
    assert "200 listed = 0 already done + 0 already rejected + 200 embedded" in story.said["status"]
    assert f"{BILLED['vCPUHour']:.3f} vCPU-hours" in story.said["status"]


def test_logs_show_what_the_run_said(story: Story) -> None:
    assert "driver stdout, the last 40 lines; 2 logs in all" in story.said["logs"]
    assert "200 embedded" in story.said["logs"]
    assert "report    s3://" in story.said["logs"]


# ------------------------------------------------------------------------- what comes of it


def test_features_equal_those_of_a_run_here(story: Story) -> None:
    bucket, photos = story.place.output("Bucket"), story.folder / "photos"
    there = below(outputs.features(story.results), f"s3://{bucket}/input")
    here = below(outputs.features(story.folder / "local"), str(photos))
    for column in ("path", "label", "width", "height", "status"):
        assert [*there[column]] == [*here[column]]
    assert len(there) == IMAGES
    assert there["label"].nunique() == LABELS
    assert cosines(there["features"], here["features"]).min() >= 0.999999


def test_components_equal_those_of_a_run_here(story: Story) -> None:
    bucket, photos = story.place.output("Bucket"), story.folder / "photos"
    there = below(outputs.reduced(story.results), f"s3://{bucket}/input")
    here = below(outputs.reduced(story.folder / "local"), str(photos))
    assert [*there["path"]] == [*here["path"]]
    found, expected = (np.stack([*each["features_pca"]]) for each in (there, here))
    assert found.shape == (IMAGES, 10)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_the_ledger_balances(story: Story) -> None:
    ledger = story.record["ledger"]
    assert ledger.pop("listed") == IMAGES == sum(ledger.values())
    assert story.record["status"] == "finished"


def test_the_report_and_the_other_outputs_are_fetched(story: Story) -> None:
    fetched = {path.relative_to(story.results).as_posix() for path in story.results.rglob("*.*")}
    assert {"report.html", "csv/reduced.csv", "rejects.csv", "model/pca.safetensors"} <= fetched
    assert "<!doctype html>" in (story.results / "report.html").read_text()[:100].lower()


# ------------------------------------------------------------------------------ what it cost


def test_cost_is_the_billed_use_at_the_dated_prices_beside_the_estimate(story: Story) -> None:
    table, told = prices.load("eu-west-1"), story.said["cost"]
    rates = [table.serverless(HERE, item).usd for item in ("vcpu_hour", "memory_gb_hour")]
    used = [Decimal(str(BILLED[key])) for key in ("vCPUHour", "memoryGBHour")]
    total = sum(rate * hours for rate, hours in zip(rates, used, strict=True))
    [billed] = re.findall(r"billed +([\d.]+) USD in all", told)
    assert abs(Decimal(billed) - total) < Decimal("0.0001")
    assert re.search(r"estimate +[\d.]+ USD and [\d.]+ vCPU-hours for 200 images", told)


def test_cost_tells_the_month_and_the_budget(story: Story) -> None:
    assert "EMR 1.25 USD, EC2 0.00 USD, S3 0.0700 USD" in story.said["cost"]
    assert "budget    featuremill-eu-west-1-monthly: 0.00 USD of 10.00 USD" in story.said["cost"]


# --------------------------------------------------------------------------- what is left


@pytest.mark.parametrize(
    "kind",
    [
        *("stacks", "buckets", "applications", "roles", "instance profiles", "policies"),
        *("policies of people", "budgets", "log groups", "security configurations"),
        *("networks", "subnets", "gateways", "route tables", "endpoints", "security groups"),
    ],
)
def test_destroy_leaves_nothing(story: Story, kind: str) -> None:
    assert story.standing[kind] > story.before[kind], "it was there"
    assert story.after[kind] == story.before[kind]


def test_destroy_leaves_what_is_not_the_stacks(story: Story) -> None:
    assert story.after["users"] == story.before["users"] == {ADA}
    assert not (story.folder / places.FILE).exists()
    assert (story.folder / "results" / "main" / "report.html").exists()


# ------------------------------------------------------------------- what had to be allowed


def test_the_operator_policy_allows_every_call_of_daily_work(story: Story) -> None:
    needed = story.needed(ADA)
    assert {need.action for need, _ in needed} >= {
        *("s3:ListBucket", "s3:GetObject", "s3:PutObject", "iam:PassRole", "budgets:ViewBudget"),
        *("emr-serverless:StartJobRun", "emr-serverless:GetJobRun", "ce:GetCostAndUsage"),
    }
    refused = [need for need, region in needed if not allows(story.statements[ADA], need, region)]
    assert refused == []


def test_to_deploy_and_to_destroy_is_an_administrators(story: Story) -> None:
    changes = {
        need.action: allows(story.statements[ADA], need, region)
        for need, region in story.needed(ADMINISTRATOR)
        if not re.search(r":(Describe|Get|List|View)", need.action)
    }
    of_the_stack = {f"cloudformation:{each}" for each in ("ExecuteChangeSet", "DeleteStack")}
    assert {*of_the_stack, "s3:DeleteBucket"} <= {name for name, may in changes.items() if not may}


def test_the_jobs_role_allows_every_call_of_the_job(story: Story) -> None:
    needed = story.needed(JOB)
    assert {need.action for need, _ in needed} == {
        *("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    }
    for statements in (story.statements[JOB], story.narrowed()):
        assert [need for need, region in needed if not allows(statements, need, region)] == []


@pytest.mark.parametrize("neighbour", ["input", "code", "tls", "results/another", "notebooks"])
def test_a_job_may_write_nowhere_but_to_its_results_and_logs(story: Story, neighbour: str) -> None:
    own = f"arn:aws:s3:::{story.place.output('Bucket')}/results/main/"
    written = {
        (need.action, need.resource.replace("/results/main/", f"/{neighbour}/"))
        for need, _ in story.needed(JOB)
        if need.resource.startswith(own) and need.action in ("s3:PutObject", "s3:DeleteObject")
    }
    assert len(written) > 10
    assert not any(_both(story, Need(*each)) for each in written)


@pytest.mark.parametrize("who", [ADA, JOB])
def test_nothing_is_allowed_in_another_bucket(story: Story, who: str) -> None:
    bucket = story.place.output("Bucket")
    elsewhere = {
        (need.action, need.resource.replace(bucket, "someone-elses"))
        for need, _ in story.needed(who)
        if need.resource.startswith("arn:aws:s3:::")
    }
    assert len(elsewhere) > IMAGES
    assert not any(allows(story.statements[who], Need(*each)) for each in elsewhere)


def test_a_job_may_not_read_the_results_of_another(story: Story) -> None:
    bucket = f"arn:aws:s3:::{story.place.output('Bucket')}"
    another = Need("s3:GetObject", f"{bucket}/results/another/features/0.parquet")
    assert allows(story.statements[JOB], another), "the role may, for all the stack's jobs"
    assert not _both(story, another)
    assert not _both(story, Need("s3:GetObject", f"{bucket}/tls/certificates.zip"))


def _both(story: Story, need: Need) -> bool:
    """Whether a job may do something: what both its role and its own policy allow."""
    return all(allows(each, need) for each in (story.statements[JOB], story.narrowed()))
