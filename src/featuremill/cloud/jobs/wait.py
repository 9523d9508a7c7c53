"""Staying with a job until it is over, and saying why it failed."""

from dataclasses import replace

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.execute import Report, execute, resolve
from featuremill.cloud.aws.plan import Answers
from featuremill.cloud.jobs.job import Submission
from featuremill.cloud.jobs.logs import explain
from featuremill.cloud.jobs.status import Status, status
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError


def stay(
    submission: Submission,
    answers: Answers,
    aws: Aws,
    place: Place,
    report: Report = lambda _: None,
) -> Status:
    """Wait until a submitted job is over.

    Parameters
    ----------
    submission : Submission
        The job.
    answers : dict
        What its plan answered.
    aws, place
        The connection and the stack.
    report : callable
        Told about each state.

    Returns
    -------
    Status
        How it ended.

    Raises
    ------
    CloudError
        If it failed, with the cause and what usually helps; or if it takes too long.
    """
    job, wait = submission.started(answers), submission.wait
    call = replace(wait.call, parameters=resolve(wait.call.parameters, answers))
    try:
        execute([replace(wait, call=call)], aws, report)
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
