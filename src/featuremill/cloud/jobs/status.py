"""How far a job is, and what it has used.

Images count as done when they are committed to the table of features. Spark's own page and the
use that is billed, only real AWS shows: unverified here.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, DestinationError, FeaturemillError

DONE = ("SUCCESS", "COMPLETED")
FAILED = ("FAILED", "CANCELLED", "INTERRUPTED")


@dataclass(frozen=True)
class Status:
    """A job, as it is now.

    Parameters
    ----------
    job : Job
        Which.
    state, reason : str
        In AWS' words.
    seconds : float
        How long it has been running, or ran.
    images : int or None
        Images it has committed, embedded and rejected; None if that cannot be told.
    ledger : str
        The finished run's own account.
    dashboard : str
        Address of Spark's page, good for an hour.
    billed : mapping
        What is billed: ``vCPUHour``, ``memoryGBHour``, ``storageGBHour``, or
        ``NormalizedInstanceHours``.
    """

    job: Job
    state: str
    reason: str
    seconds: float
    images: int | None = None
    ledger: str = ""
    dashboard: str = ""
    billed: Mapping[str, float] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in (*DONE, *FAILED)

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""
        return self.state in FAILED


def status(aws: Aws, place: Place, job: Job) -> Status:
    """Ask how a job is.

    Raises
    ------
    CloudError
        If AWS does not say.
    """
    facts = _serverless(aws, job) if job.kind == jobs.SERVERLESS else _step(aws, job)
    images, ledger = aws.here(lambda: _progress(aws, place, job), (None, ""))
    return Status(job, images=images, ledger=ledger, **facts)


def newest(aws: Aws, place: Place, most: int | None) -> list[Job]:
    """So many Serverless jobs of the stack, or all, whoever submitted them, the newest first."""
    application = place.output("ApplicationId")
    found: list[dict[str, Any]] = []
    for page in aws.pages("emr-serverless", "list_job_runs", applicationId=application):
        found += page["jobRuns"]
    found.sort(key=lambda each: each["createdAt"], reverse=True)
    return [_job(place, application, each) for each in found[:most]]


def _job(place: Place, application: str, found: Mapping[str, Any]) -> Job:
    name = str(found.get("name") or "").removeprefix("featuremill-") or jobs.DEFAULT_NAME
    created = found["createdAt"].astimezone(UTC).isoformat(timespec="seconds")
    destination = f"s3://{place.output('Bucket')}/results/{name}"
    return Job(jobs.SERVERLESS, application, found["id"], name, destination, created)


def _serverless(aws: Aws, job: Job) -> dict[str, Any]:
    names: dict[str, Any] = {"applicationId": job.where, "jobRunId": job.id}
    run = aws.call("emr-serverless", "get_job_run", why="ask for the job", **names)["jobRun"]
    why, dashboard = "ask for Spark's page", ""
    # before its first worker runs it has none
    with suppress(CloudError):
        page = aws.call("emr-serverless", "get_dashboard_for_job_run", why=why, **names)
        dashboard = page.get("url", "")
    billed = run.get("billedResourceUtilization") or run.get("totalResourceUtilization") or {}
    return {
        "state": run["state"],
        "reason": run.get("stateDetails") or "",
        "seconds": _elapsed(run.get("startedAt") or run["createdAt"], run.get("endedAt")),
        "dashboard": dashboard,
        "billed": billed,
    }


def _step(aws: Aws, job: Job) -> dict[str, Any]:
    names: dict[str, Any] = {"ClusterId": job.where}
    about = aws.call("emr", "describe_cluster", why="ask for the cluster", **names)
    cluster = about["Cluster"]
    step = aws.call("emr", "describe_step", why="ask for the job", **names, StepId=job.id)
    now = step["Step"]["Status"]
    state = now["State"]
    if cluster["Status"]["State"].startswith("TERMINATED") and state not in (*DONE, *FAILED):
        # it cannot go on any more, whatever was last said of it
        state = "INTERRUPTED"
    times = now.get("Timeline", {})
    begun = times.get("StartDateTime") or times["CreationDateTime"]
    why = now.get("FailureDetails", {}).get("Message") or cluster["Status"].get(
        "StateChangeReason", {}
    ).get("Message")
    return {
        "state": state,
        "reason": why or "",
        "seconds": _elapsed(begun, times.get("EndDateTime")),
        "billed": {"NormalizedInstanceHours": cluster.get("NormalizedInstanceHours", 0)},
    }


def _elapsed(begun: datetime, ended: datetime | None) -> float:
    return ((ended or datetime.now(UTC)) - begun).total_seconds()


def _progress(aws: Aws, place: Place, job: Job) -> tuple[int | None, str]:
    """Images that this job committed, and its account once it is written."""
    from deltalake.exceptions import DeltaError

    from featuremill.dataset.tables import features_table
    from featuremill.storage import open_store

    # ids of runs begin with the time, so those of this job sort after its submission
    first = f"{job.started:%Y%m%dT%H%M%S}"
    with _profile(aws), suppress(FeaturemillError, DeltaError, OSError):
        store = open_store(job.destination, endpoint_url=aws.endpoint_url, region=place.region)
        table = features_table(store)
        files = table.files() if table.exists() else []
        new = [each for each in files if each.name.rpartition("/")[2] >= first]
        images = sum(each.rows for each in new if "-kept" not in each.name)
        return images, _account(store, first)
    return None, ""


def _account(store: Any, first: str) -> str:
    """The account of the newest run, if it is not older than the job."""
    from featuremill.dataset.ledger import load_latest

    try:
        record = load_latest(store)
    except DestinationError:
        # another version has written it
        return ""
    return str(record.ledger) if record is not None and record.run >= first else ""


@contextmanager
def _profile(aws: Aws) -> Iterator[None]:
    """Let what reads tables sign in as this connection does."""
    before = os.environ.get("AWS_PROFILE")
    if aws.profile:
        os.environ["AWS_PROFILE"] = aws.profile
    try:
        yield
    finally:
        os.environ.pop("AWS_PROFILE", None)
        if before is not None:
            os.environ["AWS_PROFILE"] = before
