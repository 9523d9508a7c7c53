"""Stops a job: a Serverless run is cancelled; a cluster of a job's own is ended with its step.

Only real AWS shows how long that takes: unverified here.
"""

from dataclasses import replace
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.jobs.status import Status, newest, status
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError

_LIMIT = 900.0


def known(place: Place, identifier: str = "") -> Job | None:
    """The job that is meant, if this folder submitted it last; else None.

    Parameters
    ----------
    place : Place
        The stack.
    identifier : str
        Of the job, or of the cluster of its own; empty for the newest.

    Raises
    ------
    ConfigError
        If it names a cluster whose job was not submitted last from this folder.
    """
    last = jobs.last_job(place) if place.last_job else None
    if not identifier or (last is not None and identifier in (last.id, last.where)):
        return last
    if identifier.startswith(("j-", "s-")):
        raise ConfigError(
            f"{identifier} is not the job that was submitted last from this folder",
            "End its cluster: `featuremill cloud cluster list`, `featuremill cloud cluster down"
            " CLUSTER`.",
        )
    return None


def look(aws: Aws, place: Place, job: Job | None, identifier: str = "") -> Status:
    """Find the job, and tell which it is and how it is.

    Parameters
    ----------
    aws : Aws
        The connection.
    place, identifier
        As for :func:`known`.
    job : Job or None
        What :func:`known` gave; else it is looked for among those of EMR Serverless.
    """
    which = f"job {job.id if job else identifier}".rstrip()
    if which == "job":
        which = f"the newest job of stack {place.stack}"
    aws.step(f"see how {which} is")
    return status(aws, place, job or _found(aws, place, identifier))


def _found(aws: Aws, place: Place, identifier: str) -> Job:
    there = newest(aws, place, None if identifier else 1)
    fitting = [job for job in there if aws.here(lambda: identifier, "") in ("", job.id)]
    if not fitting:
        raise CloudError(
            f"stack {place.stack} has no job {identifier}".rstrip(),
            "`featuremill cloud status --last 5` lists the newest.",
        )
    # as a dry run has it, which knows no other
    return replace(fitting[0], id=identifier or fitting[0].id)


def stop(aws: Aws, job: Job) -> None:
    """Stop a job, and wait until it has stopped."""
    if job.kind == jobs.CLUSTER:
        aws.step("end the job's cluster")
        aws.call("emr", "terminate_job_flows", JobFlowIds=[job.where])
        question = ("emr", "describe_cluster", "Cluster.Status.State")
        over: tuple[str, ...] = ("TERMINATED", "TERMINATED_WITH_ERRORS")
        names: dict[str, Any] = {"ClusterId": job.where}
    else:
        names = {"applicationId": job.where, "jobRunId": job.id}
        aws.step("cancel the job")
        aws.call("emr-serverless", "cancel_job_run", **names)
        question = ("emr-serverless", "get_job_run", "jobRun.state")
        over = ("CANCELLED", "SUCCESS", "FAILED")
    aws.step("wait for its end")
    aws.wait(*question, done=over, limit=_LIMIT, **names)
