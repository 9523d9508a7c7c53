"""The stack's EMR Serverless application: it must be stopped to be changed or deleted."""

from collections.abc import Iterator, Mapping
from typing import Any

from featuremill.cloud.aws.client import Aws, error_code
from featuremill.errors import CloudError

_ACTIVE = ["SUBMITTED", "PENDING", "SCHEDULED", "QUEUED", "RUNNING", "CANCELLING"]
_AT_REST = ("CREATED", "STOPPED", "TERMINATED")


def active_jobs(aws: Aws, application: str) -> Iterator[Mapping[str, Any]]:
    """Job runs that are not over; none where there is no such application."""
    pages = aws.pages("emr-serverless", "list_job_runs", applicationId=application, states=_ACTIVE)
    try:
        for page in pages:
            yield from page["jobRuns"]
    except CloudError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise


def state(aws: Aws, application: str) -> str:
    """State of the application; ``TERMINATED`` also where there is none."""
    missing = ("ResourceNotFoundException",)
    answer = aws.call(
        "emr-serverless", "get_application", forgives=missing, applicationId=application
    )
    return str(answer["application"]["state"]) if answer else "TERMINATED"


def stop(aws: Aws, application: str) -> None:
    """Stop the application, and wait until it is; the next job starts it again by itself.

    Raises
    ------
    CloudError
        If it does not stop in half an hour.
    """
    found = state(aws, application)
    if aws.here(lambda: found, "STARTED") in ("STARTING", "STARTED"):
        aws.call("emr-serverless", "stop_application", applicationId=application)
    aws.until("the application is stopped", lambda: state(aws, application) in _AT_REST)
