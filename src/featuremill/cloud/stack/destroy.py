"""Takes a stack down: what runs, what is in the bucket, the stack; then proves it is gone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws, error_code
from featuremill.cloud.stack import application, budget, passwords
from featuremill.cloud.stack.events import (
    GOOD,
    Event,
    events,
    failure,
    final_state,
    follow,
)
from featuremill.cloud.stack.leftovers import (
    ALIVE,
    Looked,
    instances_of,
    interfaces_of,
    look_for,
    running_clusters,
)
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

_PAUSE = 60.0
"""Seconds after which what was attached to a network is usually released."""
_BUCKET = ("AWS::S3::Bucket", "AWS::S3::BucketPolicy")


@dataclass(frozen=True)
class Losses:
    """What is there to lose.

    Parameters
    ----------
    jobs : tuple of str
        Jobs that are not over, with their names and states.
    machines : tuple of str
        Clusters and machines that are up.
    objects : int
        Objects in the bucket, not counting old versions.
    size : int
        Their bytes.
    """

    jobs: tuple[str, ...]
    machines: tuple[str, ...]
    objects: int
    size: int


def survey(aws: Aws, place: Place) -> Losses:
    """See what would be lost."""
    aws.step(f"see what stack {place.stack} holds")
    jobs = tuple(f"{run.get('name') or run['id']} ({run['state']})" for run in _jobs(aws, place))
    machines = (*running_clusters(aws, place), *instances_of(aws, place))
    sizes = [entry["Size"] for entry in _objects(aws, place)]
    return Losses(jobs, machines, len(sizes), sum(sizes))


def destroy(aws: Aws, place: Place, *, keep_data: bool = False) -> list[Looked]:
    """Take everything down.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    keep_data : bool
        Leave the bucket with everything in it.

    Returns
    -------
    list of Looked
        What was looked for in the end, and whether it is gone.
    """
    aws.step("cancel jobs that are not over")
    _cancel_jobs(aws, place)
    # CloudFormation cannot delete one that is started
    aws.step("stop the application")
    application.stop(aws, place.output("ApplicationId"))
    aws.step("end clusters and machines")
    _end_machines(aws, place)
    passwords.forget(aws, place, passwords.JUPYTERHUB)
    passwords.forget(aws, place, passwords.SERVER)
    budget.forget(aws, place.stack, place.region)
    bucket = place.output("Bucket")
    if not keep_data:
        aws.step(f"delete every version of every object in s3://{bucket}")
        _empty(aws, bucket)
    aws.step(f"delete stack {place.stack}" + (", keeping the bucket" if keep_data else ""))
    _delete_stack(aws, place, keep_data=keep_data)
    if not keep_data:
        aws.step(f"delete bucket {bucket}, if the stack has left it")
        _delete_bucket(aws, bucket)
    return look_for(aws, place, keep_data=keep_data)


def _delete_bucket(aws: Aws, bucket: str) -> None:
    """Delete the bucket, also where late logs have come meanwhile."""
    gone = ("NoSuchBucket", "404")
    try:
        aws.call("s3", "delete_bucket", forgives=gone, Bucket=bucket)
    except CloudError as error:
        if error_code(error) != "BucketNotEmpty":
            raise
        _empty(aws, bucket)
        aws.call("s3", "delete_bucket", forgives=gone, Bucket=bucket)


def _cancel_jobs(aws: Aws, place: Place) -> None:
    """Cancel what is not over, and wait until it is."""
    where = place.output("ApplicationId")
    for run in _jobs(aws, place):
        aws.report(f"  cancel job {run.get('name') or run['id']}")
        if run["state"] != "CANCELLING":
            names = {"applicationId": where, "jobRunId": run["id"]}
            aws.call("emr-serverless", "cancel_job_run", why="cancel the job", **names)
    aws.until("jobs are cancelled", lambda: not [*_jobs(aws, place)])


def _end_machines(aws: Aws, place: Place) -> None:
    """End clusters, then what machines are left beside them, and wait for both."""
    if found := running_clusters(aws, place):
        aws.report(f"  end {', '.join(found)}")
        aws.call("emr", "terminate_job_flows", why="end clusters", JobFlowIds=found)
    aws.until("the clusters have ended", lambda: not running_clusters(aws, place))
    if left := instances_of(aws, place):
        aws.report(f"  end {', '.join(left)}")
        aws.call("ec2", "terminate_instances", why="end machines", InstanceIds=left)
    ending = (*ALIVE, "shutting-down")
    aws.until("the machines end", lambda: not instances_of(aws, place, ending))


def _empty(aws: Aws, bucket: str) -> None:
    """Delete all versions and markers, a thousand at a time."""
    # made in this thread: boto3 may not make clients in several at the same time
    aws.client("s3")

    def delete(batch: list[dict[str, str]]) -> int:
        what = {"Objects": batch, "Quiet": True}
        answer = aws.call("s3", "delete_objects", why="delete objects", Bucket=bucket, Delete=what)
        errors = answer.get("Errors", [])
        if errors:
            first = errors[0]
            raise CloudError(
                f"{len(errors):,} objects of s3://{bucket} cannot be deleted:"
                f" {first.get('Key')}: {first.get('Message')}",
                "Remove the legal hold or your own policy on the bucket, then repeat it.",
            )
        return len(batch)

    deleted = 0
    for count in each(_versions(aws, bucket), delete, len):
        deleted += count
        aws.report(f"  {deleted:,} versions deleted")


def _delete_stack(aws: Aws, place: Place, *, keep_data: bool) -> None:
    """Delete the stack; once more where something was still attached to its network."""
    stack = aws.stack(place.stack)
    if stack is None:
        aws.report(f"  stack {place.stack} is gone already")
        return
    state = stack["StackStatus"]
    if state.endswith("_IN_PROGRESS") and state not in (
        "DELETE_IN_PROGRESS",
        "REVIEW_IN_PROGRESS",
    ):
        raise CloudError(
            f"stack {place.stack} is {state}: somebody is changing it now",
            "Wait until it is done, then repeat the command.",
        )
    arn = stack["StackId"]
    happened = _delete(aws, place, arn, ())
    if final_state(happened) not in GOOD:
        kept = tuple(
            event.resource
            for event in happened
            if keep_data and event.failed and event.type in _BUCKET
        )
        aws.report("  something is still attached: once more in a moment")
        aws.sleep(0 if kept else _PAUSE)
        happened = _delete(aws, place, arn, kept)
    if final_state(happened) not in GOOD:
        raise _not_deleted(aws, place, happened)


def _not_deleted(aws: Aws, place: Place, happened: list[Event]) -> CloudError:
    """Why the stack is still there, with what is in its network: workspaces of a Studio outlive
    it, and AWS has no call that lists them.
    """
    why = failure(happened, f"delete stack {place.stack}")
    held = interfaces_of(aws, place) if "VpcId" in place.outputs else []
    if not held:
        return why
    return CloudError(f"{why.problem}. Its network still has {', '.join(held)}", why.remedy)


def _delete(aws: Aws, place: Place, arn: str, kept: tuple[str, ...]) -> list[Event]:
    seen = {event.id for event in events(aws, arn)}
    retained: dict[str, Any] = {"RetainResources": list(dict.fromkeys(kept))} if kept else {}
    why = "delete the stack"
    try:
        aws.call("cloudformation", "delete_stack", why=why, StackName=arn, **retained)
    except CloudError as error:
        if error_code(error) != "DependencyViolation":
            raise
        stack = "AWS::CloudFormation::Stack"
        return [Event("", place.stack, stack, "DELETE_FAILED", error.problem)]
    return follow(aws, arn, seen, lambda text: aws.report(f"  {text}"))


def _jobs(aws: Aws, place: Place) -> Iterator[Mapping[str, Any]]:
    return application.active_jobs(aws, place.output("ApplicationId"))


def _objects(aws: Aws, place: Place) -> Iterator[Mapping[str, Any]]:
    try:
        yield from aws.objects(place.output("Bucket"))
    except CloudError as error:
        if error_code(error) != "NoSuchBucket":
            raise


def _versions(aws: Aws, bucket: str) -> Iterator[list[dict[str, str]]]:
    """Versions and delete markers of a bucket, as many at a time as one call deletes."""
    try:
        for page in aws.pages("s3", "list_object_versions", Bucket=bucket):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if found:
                yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
    except CloudError as error:
        if error_code(error) != "NoSuchBucket":
            raise
