"""Takes a stack down: what runs, what is in the bucket, the stack; then proves it is gone."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws, error_code
from featuremill.cloud.aws.execute import until
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
from featuremill.cloud.stack import application, budget, passwords
from featuremill.cloud.stack.events import (
    Event,
    Say,
    describe,
    events,
    failure,
    final_state,
    follow,
)
from featuremill.cloud.stack.leftovers import (
    ALIVE,
    instances_of,
    interfaces_of,
    look_for,
    running_clusters,
)
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

SURVEY = "survey"

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


def survey(place: Place) -> Plan:
    """Plan that sees what would be lost; its step ``survey`` answers with :class:`Losses`."""

    def look(aws: Aws, _answers: Answers) -> Losses:
        jobs = tuple(
            f"{run.get('name') or run['id']} ({run['state']})" for run in _jobs(aws, place)
        )
        machines = (*running_clusters(aws, place), *instances_of(aws, place))
        sizes = [entry["Size"] for entry in _objects(aws, place)]
        return Losses(jobs, machines, len(sizes), sum(sizes))

    calls = (
        "emr-serverless.list_job_runs",
        "emr.list_clusters",
        "ec2.describe_instances",
        "s3.list_objects_v2",
    )
    why = f"see what stack {place.stack} holds"
    return [Work(why, look, SURVEY, calls, changes=False)]


def destroy(
    place: Place,
    *,
    keep_data: bool = False,
    say: Say = lambda _: None,
    seconds: float = 5.0,
    pause: float = _PAUSE,
) -> Plan:
    """Plan for taking everything down.

    Parameters
    ----------
    place : Place
        The stack.
    keep_data : bool
        Leave the bucket with everything in it.
    say : callable
        Told about what is being done.
    seconds : float
        Between two questions.
    pause : float
        Before the stack's deletion is tried a second time.

    Returns
    -------
    sequence of Step
        ``left`` answers with what was looked for, and whether it is gone
        (:class:`~featuremill.cloud.stack.leftovers.Looked`).
    """
    taking = _Taking(place, keep_data, say, seconds, pause)
    bucket = place.output("Bucket")
    empty = Work(
        f"delete every version of every object in s3://{bucket}",
        taking.empty,
        calls=("s3.list_object_versions", "s3.delete_objects"),
    )
    remove = Call(
        "s3",
        "delete_bucket",
        {"Bucket": bucket},
        f"delete bucket {bucket}, if the stack has left it",
        forgives=("NoSuchBucket", "404"),
    )
    return [
        Work(
            "cancel jobs that are not over",
            taking.cancel_jobs,
            calls=("emr-serverless.list_job_runs", "emr-serverless.cancel_job_run"),
        ),
        Work(
            "stop the application",
            taking.stop_application,
            calls=("emr-serverless.get_application", "emr-serverless.stop_application"),
        ),
        Work(
            "end clusters and machines",
            taking.end_machines,
            calls=(
                "emr.list_clusters",
                "emr.describe_cluster",
                "emr.terminate_job_flows",
                "ec2.describe_instances",
                "ec2.terminate_instances",
            ),
        ),
        passwords.forget(place, passwords.JUPYTERHUB),
        passwords.forget(place, passwords.SERVER),
        *budget.forget(place.stack, place.region, say),
        *(() if keep_data else (empty,)),
        Work(
            f"delete stack {place.stack}" + (", keeping the bucket" if keep_data else ""),
            taking.delete_stack,
            calls=(
                "cloudformation.describe_stacks",
                "cloudformation.delete_stack",
                "cloudformation.describe_stack_events",
                "ec2.describe_network_interfaces if something holds it",
            ),
        ),
        *(() if keep_data else (_again_if_written(taking, remove),)),
        look_for(place, keep_data=keep_data),
    ]


def _again_if_written(taking: "_Taking", remove: Call) -> Work:
    """Step that deletes the bucket, also where late logs have come meanwhile."""

    def gone(aws: Aws, answers: Answers) -> None:
        try:
            aws.call(remove)
        except CloudError as error:
            if error_code(error) != "BucketNotEmpty":
                raise
            taking.empty(aws, answers)
            aws.call(remove)

    return Work(remove.why, gone, calls=("s3.delete_bucket",))


@dataclass(frozen=True)
class _Taking:
    """One taking down."""

    place: Place
    keep_data: bool
    say: Say
    seconds: float
    pause: float

    def cancel_jobs(self, aws: Aws, _answers: Answers) -> None:
        """Cancel what is not over, and wait until it is."""
        where = self.place.output("ApplicationId")
        for run in _jobs(aws, self.place):
            names = {"applicationId": where, "jobRunId": run["id"]}
            self.say(f"cancel job {run.get('name') or run['id']}")
            if run["state"] != "CANCELLING":
                cancel = Call("emr-serverless", "cancel_job_run", names, "cancel the job")
                aws.call(cancel)
        until("jobs are cancelled", lambda: not [*_jobs(aws, self.place)], self.seconds)

    def stop_application(self, aws: Aws, _answers: Answers) -> None:
        """Stop the application: CloudFormation cannot delete one that is started."""
        application.stop(aws, self.place.output("ApplicationId"), self.seconds)

    def end_machines(self, aws: Aws, _answers: Answers) -> None:
        """End clusters, then what machines are left beside them, and wait for both."""
        found = running_clusters(aws, self.place)
        if found:
            self.say(f"end {', '.join(found)}")
            end = Call("emr", "terminate_job_flows", {"JobFlowIds": found}, "end clusters")
            aws.call(end)
        seconds = self.seconds
        until("the clusters have ended", lambda: not running_clusters(aws, self.place), seconds)
        left = instances_of(aws, self.place)
        if left:
            self.say(f"end {', '.join(left)}")
            aws.call(Call("ec2", "terminate_instances", {"InstanceIds": left}, "end machines"))
        ending = (*ALIVE, "shutting-down")
        until("the machines end", lambda: not instances_of(aws, self.place, ending), seconds)

    def empty(self, aws: Aws, _answers: Answers) -> None:
        """Delete all versions and markers, a thousand at a time."""
        bucket = self.place.output("Bucket")
        # made in this thread: boto3 may not make clients in several at the same time
        aws.client("s3")

        def delete(batch: list[dict[str, str]]) -> int:
            call = Call(
                "s3",
                "delete_objects",
                {"Bucket": bucket, "Delete": {"Objects": batch, "Quiet": True}},
                "delete objects",
            )
            errors = aws.call(call).get("Errors", [])
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
            self.say(f"{deleted:,} versions deleted")

    def delete_stack(self, aws: Aws, _answers: Answers) -> None:
        """Delete the stack; once more where something was still attached to its network."""
        stack: Any = describe(aws, self.place.stack)
        if stack is None:
            self.say(f"stack {self.place.stack} is gone already")
            return
        if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] not in (
            "DELETE_IN_PROGRESS",
            "REVIEW_IN_PROGRESS",
        ):
            raise CloudError(
                f"stack {self.place.stack} is {stack['StackStatus']}: somebody is changing it now",
                "Wait until it is done, then repeat the command.",
            )
        arn = stack["StackId"]
        happened = self._delete(aws, arn, ())
        if final_state(happened) != "DELETE_COMPLETE":
            kept = tuple(
                event.resource
                for event in happened
                if self.keep_data and event.failed and event.type in _BUCKET
            )
            self.say("something is still attached: once more in a moment")
            time.sleep(0 if kept else self.pause)
            happened = self._delete(aws, arn, kept)
        if final_state(happened) != "DELETE_COMPLETE":
            raise self._not_deleted(aws, happened)

    def _not_deleted(self, aws: Aws, happened: list[Event]) -> CloudError:
        """Why the stack is still there, with what is in its network: workspaces of a Studio outlive
        it, and AWS has no call that lists them.
        """
        why = failure(happened, f"delete stack {self.place.stack}")
        held = interfaces_of(aws, self.place) if "VpcId" in self.place.outputs else []
        if not held:
            return why
        return CloudError(f"{why.problem}. Its network still has {', '.join(held)}", why.remedy)

    def _delete(self, aws: Aws, arn: str, kept: tuple[str, ...]) -> list[Event]:
        seen = {event.id for event in events(aws, arn)}
        parameters: dict[str, Any] = {"StackName": arn}
        if kept:
            parameters["RetainResources"] = list(dict.fromkeys(kept))
        delete = Call("cloudformation", "delete_stack", parameters, "delete the stack")
        try:
            aws.call(delete)
        except CloudError as error:
            if error_code(error) != "DependencyViolation":
                raise
            stack = "AWS::CloudFormation::Stack"
            return [Event("", self.place.stack, stack, "DELETE_FAILED", error.problem)]
        return follow(aws, arn, seen, self.say, self.seconds)


def _jobs(aws: Aws, place: Place) -> Iterator[Mapping[str, Any]]:
    return application.active_jobs(aws, place.output("ApplicationId"))


def _objects(aws: Aws, place: Place) -> Iterator[Mapping[str, Any]]:
    try:
        for page in aws.pages("s3", "list_objects_v2", Bucket=place.output("Bucket")):
            yield from page.get("Contents", ())
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
