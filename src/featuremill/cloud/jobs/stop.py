"""Stops a job: a Serverless run is cancelled; a cluster of a job's own is ended with its step.

Only real AWS shows how long that takes: unverified here.
"""

from dataclasses import asdict
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Later, Plan, Wait, Work
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.jobs.status import newest, status
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError

FOUND = "found"
"""Name under which :func:`look` leaves what it found."""

_LIMIT = 900.0
_WAIT = "wait for its end"


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


def look(place: Place, job: Job | None, identifier: str = "") -> Work:
    """Step that finds the job, and tells which it is and, under ``status``, how it is.

    Parameters
    ----------
    place, identifier
        As for :func:`known`.
    job : Job or None
        What :func:`known` gave; else it is looked for among those of EMR Serverless.
    """

    def find(aws: Aws, _answers: Answers) -> dict[str, Any]:
        found = job or _found(aws, place, identifier)
        return {**asdict(found), "status": status(aws, place, found)}

    if job is None:
        which = f"job {identifier}" if identifier else f"the newest job of stack {place.stack}"
        calls: tuple[str, ...] = ("emr-serverless.list_job_runs", "emr-serverless.get_job_run")
    else:
        which = f"job {job.id}"
        on_cluster = ("emr.describe_cluster", "emr.describe_step")
        calls = on_cluster if job.kind == jobs.CLUSTER else ("emr-serverless.get_job_run",)
    return Work(f"see how {which} is", find, FOUND, calls, changes=False)


def _found(aws: Aws, place: Place, identifier: str) -> Job:
    there = newest(aws, place, None if identifier else 1)
    fitting = [job for job in there if identifier in ("", job.id)]
    if not fitting:
        raise CloudError(
            f"stack {place.stack} has no job {identifier}".rstrip(),
            "`featuremill cloud status --last 5` lists the newest.",
        )
    return fitting[0]


def stop(job: Job | None, seconds: float = 5.0) -> Plan:
    """Plan that stops a job, and waits until it has stopped.

    Parameters
    ----------
    job : Job or None
        Which; None for the one of EMR Serverless that :func:`look` finds in the same plan.
    seconds : float
        Between two looks at how it is.
    """
    if job is not None and job.kind == jobs.CLUSTER:
        end = {"JobFlowIds": [job.where]}
        return [
            Call("emr", "terminate_job_flows", end, "end the job's cluster"),
            _until_over(
                Call("emr", "describe_cluster", {"ClusterId": job.where}, _WAIT, changes=False),
                "Cluster.Status.State",
                ("TERMINATED", "TERMINATED_WITH_ERRORS"),
                seconds,
            ),
        ]
    names = {
        "applicationId": job.where if job else Later(FOUND, "where"),
        "jobRunId": job.id if job else Later(FOUND, "id"),
    }
    return [
        Call("emr-serverless", "cancel_job_run", names, "cancel the job"),
        _until_over(
            Call("emr-serverless", "get_job_run", names, _WAIT, changes=False),
            "jobRun.state",
            ("CANCELLED", "SUCCESS", "FAILED"),
            seconds,
        ),
    ]


def _until_over(call: Call, path: str, over: tuple[str, ...], seconds: float) -> Wait:
    return Wait(call, path, over, (), seconds=seconds, limit=_LIMIT)
