"""The stack's EMR Serverless application: it must be stopped to be changed or deleted."""

from collections.abc import Iterator, Mapping
from typing import Any

from featuremill.cloud.aws.client import Aws, error_code
from featuremill.cloud.aws.execute import until
from featuremill.cloud.aws.plan import Call
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


def stop(aws: Aws, application: str, seconds: float) -> None:
    """Stop the application, and wait until it is; the next job starts it again by itself.

    Raises
    ------
    CloudError
        If it does not stop in half an hour.
    """
    names = {"applicationId": application}
    look = Call(
        "emr-serverless",
        "get_application",
        names,
        "look at the application",
        changes=False,
        forgives=("ResourceNotFoundException",),
    )

    def state() -> str:
        answer = aws.call(look)
        return answer["application"]["state"] if answer else "TERMINATED"

    if state() in ("STARTING", "STARTED"):
        aws.call(Call("emr-serverless", "stop_application", names, "stop the application"))
    until("the application is stopped", lambda: state() in _AT_REST, seconds)
