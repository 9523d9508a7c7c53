"""Staying with a job until it is over, and saying why it failed."""

from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.job import SERVERLESS, Job
from featuremill.cloud.jobs.logs import explain
from featuremill.cloud.jobs.status import DONE, FAILED, Status, status
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

_BEFORE = 30
"""Minutes that a job may take until it begins: they are no part of its time."""


def stay(aws: Aws, place: Place, job: Job, minutes: int) -> Status:
    """Wait until a submitted job is over.

    Parameters
    ----------
    aws, place
        The connection and the stack.
    job : Job
        The job.
    minutes : int
        Longest time that it may take.

    Returns
    -------
    Status
        How it ended.

    Raises
    ------
    CloudError
        If it failed, with the cause and what usually helps; or if it takes too long.
    """
    if job.kind == SERVERLESS:
        question = ("emr-serverless", "get_job_run", "jobRun.state")
        names: dict[str, Any] = {"applicationId": job.where, "jobRunId": job.id}
        reason = "jobRun.stateDetails"
    else:
        question = ("emr", "describe_step", "Step.Status.State")
        names = {"ClusterId": job.where, "StepId": job.id}
        reason = "Step.Status.FailureDetails.Message || Step.Status.StateChangeReason.Message"
    aws.step("wait for the job")
    limit = 60.0 * (minutes + _BEFORE)
    try:
        aws.wait(*question, done=DONE, failed=FAILED, reason=reason, limit=limit, **names)
    except CloudError as error:
        ended = status(aws, place, job)
        if not ended.failed:
            raise
        raise failure(aws, place, ended) from error
    return status(aws, place, job)


def failure(aws: Aws, place: Place, ended: Status) -> CloudError:
    """What to tell about a job that ended badly."""
    job = ended.job
    found = explain(aws, place, job, ended.reason)
    read = "Read its logs: `featuremill cloud logs`."
    if found is None:
        return CloudError(f"job {job.id} ended as {ended.state}, and no log says why yet", read)
    return CloudError(
        f"job {job.id} ended as {ended.state}: {found.cause} ({found.where}: {found.said})",
        found.remedy or read,
    )
