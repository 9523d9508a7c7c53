"""Makes or changes the stack: by a change set that is shown before it is carried out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from featuremill.cloud.aws.client import Aws, error_code
from featuremill.cloud.stack import application, budget
from featuremill.cloud.stack.events import GOOD, events, failure, final_state, follow
from featuremill.cloud.stack.parameters import ARCHITECTURES, StackOptions, template_body
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

_OUTPUTS = ("Bucket", "ApplicationId", "JobRoleArn")
"""Of the stack's outputs, those that a dry run of what follows needs."""
_ROLLED_BACK = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
_NO_CHANGES = re.compile(r"didn't contain changes|No updates are to be performed")


@dataclass(frozen=True)
class Change:
    """One resource that a change set touches."""

    action: str
    type: str
    resource: str
    replaces: bool

    def __str__(self) -> str:
        return f"{'replace' if self.replaces else self.action:8} {self.type:40} {self.resource}"

    @property
    def loses_data(self) -> bool:
        """Whether the bucket would be another one afterwards, or none."""
        return self.type == "AWS::S3::Bucket" and (self.replaces or self.action == "remove")

    @property
    def needs_it_stopped(self) -> bool:
        """Whether AWS refuses this while the application is started."""
        return self.type == "AWS::EMRServerless::Application" and self.action != "add"


Confirm = Callable[[str], bool]
"""Asked whether to do what a sentence says."""


@dataclass(frozen=True)
class Prepared:
    """What a change set would do.

    Parameters
    ----------
    account : str
        The account it is in.
    kind : {'CREATE', 'UPDATE'}
        Whether the stack is new.
    changes : list of Change or None
        What it touches; None where the stack is as it should be.
    """

    account: str
    kind: str
    changes: list[Change] | None


def prepare(aws: Aws, wanted: StackOptions, agree: Confirm = lambda _: False) -> Prepared:
    """Find out what would change, and change nothing yet.

    Parameters
    ----------
    aws : Aws
        The connection.
    wanted : StackOptions
        The stack.
    agree : callable
        Asked whether to delete what is left of a creation that was rolled back.
    """
    given = ", ".join(f"{name}={value}" for name, value in wanted.parameters.items())
    about: dict[str, Any] = {"StackName": wanted.stack, "ChangeSetName": wanted.change_set}
    aws.step("see who is signed in")
    account = aws.account()
    asked_for = f" (asked for: {given})" if given else ""
    aws.step(f"see whether there is a stack {wanted.stack}{asked_for}")
    kind, parameters = _found(aws, wanted, agree)
    aws.step("work out what would change")
    aws.call(
        "cloudformation",
        "create_change_set",
        **about,
        ChangeSetType=kind,
        TemplateBody=template_body(),
        Parameters=parameters,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        # CloudFormation passes it on to every resource
        Tags=[{"Key": "featuremill", "Value": wanted.stack}],
    )
    aws.step("wait for the list of changes")
    change_set = aws.wait(
        "cloudformation",
        "describe_change_set",
        "Status",
        done=("CREATE_COMPLETE", "FAILED"),
        failed=("DELETE_COMPLETE", "DELETE_FAILED"),
        reason="StatusReason",
        seconds=3.0,
        limit=600,
        **about,
    )
    aws.step("read the list of changes")
    return Prepared(account, kind, _changes(aws, wanted, kind, change_set))


def carry_out(aws: Aws, wanted: StackOptions, *, stopping: bool = False) -> dict[str, str]:
    """Carry out the change set of :func:`prepare`.

    Parameters
    ----------
    aws : Aws
        The connection.
    wanted : StackOptions
        The same object.
    stopping : bool
        Whether the application is among what is changed, and so must be stopped before.

    Returns
    -------
    dict
        The stack's outputs.
    """
    if stopping:
        _stop_application(aws, wanted)
    aws.step("note what has happened to the stack so far")
    arn = str((aws.stack(wanted.stack) or {}).get("StackId", wanted.stack))
    seen = {event.id for event in events(aws, wanted.stack)}
    aws.step("make these changes")
    aws.call(
        "cloudformation",
        "execute_change_set",
        StackName=wanted.stack,
        ChangeSetName=wanted.change_set,
    )
    aws.step("follow them")
    happened = follow(aws, arn, seen, lambda text: aws.report(f"  {text}"))
    if final_state(happened) not in GOOD:
        raise _explained(wanted, happened)
    return finish(aws, wanted)


def _stop_application(aws: Aws, wanted: StackOptions) -> None:
    """Without this AWS refuses to change an application; no job is ended by it."""
    aws.step("stop the application, where it is to change")
    identifier = outputs_of(aws, wanted.stack).get("ApplicationId")
    if identifier is None:
        return
    running = [job.get("name") or job["id"] for job in application.active_jobs(aws, identifier)]
    if aws.here(lambda: running, []):
        raise CloudError(
            f"the application has to be stopped to be changed, and {', '.join(running)} runs on it",
            "Wait for it, or end it: `featuremill cloud stop`. Then repeat the command.",
        )
    application.stop(aws, identifier)


def outputs_of(aws: Aws, stack: str) -> dict[str, str]:
    """Outputs of a stack as it is; none where there is none."""
    found = aws.stack(stack) or {}
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}


def finish(aws: Aws, wanted: StackOptions) -> dict[str, str]:
    """Do what follows the changes, or a stack without any; gives its outputs."""
    budget.keep(aws, wanted.stack, wanted.region)
    aws.step("read the stack's outputs")
    outputs = outputs_of(aws, wanted.stack)
    told = {name: f"<{name} of stack {wanted.stack}>" for name in _OUTPUTS}
    told["Architecture"] = wanted.architecture or ARCHITECTURES[0]
    return aws.here(lambda: outputs, outputs or told)


def discard(aws: Aws, wanted: StackOptions, kind: str) -> None:
    """Take back what :func:`prepare` left, where its changes are not wanted."""
    aws.step("forget these changes")
    about: dict[str, Any] = {"StackName": wanted.stack, "ChangeSetName": wanted.change_set}
    aws.call("cloudformation", "delete_change_set", **about)
    if kind == "CREATE":
        aws.step("remove the empty stack")
        aws.call("cloudformation", "delete_stack", StackName=wanted.stack)


def place_of(
    wanted: StackOptions, account: str, outputs: Mapping[str, str], before: Place | None
) -> Place:
    """What the folder's file is to say of the stack."""
    same = before is not None and (before.stack, before.region) == (wanted.stack, wanted.region)
    last_job = before.last_job if before is not None and same else {}
    return Place(
        wanted.stack, wanted.region, account, dict(outputs), wanted.allowed_regions, last_job
    )


def _found(aws: Aws, wanted: StackOptions, agree: Confirm) -> tuple[str, list[dict[str, Any]]]:
    """Whether the stack is to be created or updated, and with which parameters."""
    stack = aws.stack(wanted.stack)
    if stack is not None and stack["StackStatus"] in _ROLLED_BACK:
        _clear(aws, wanted, stack, agree)
        stack = None
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        if wanted.bucket:
            _check_free(aws, wanted.bucket)
        return "CREATE", _listed(wanted.first_parameters())
    _check_usable(wanted, stack)
    kept = {each["ParameterKey"] for each in stack.get("Parameters", ())}
    given = wanted.parameters
    return "UPDATE", _listed(given) + [
        {"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept - set(given))
    ]


def _listed(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def _check_usable(wanted: StackOptions, stack: Mapping[str, Any]) -> None:
    state = stack["StackStatus"]
    if {"Key": "featuremill", "Value": wanted.stack} not in stack.get("Tags", ()):
        raise CloudError(
            f"stack {wanted.stack} is there already and was not made by featuremill",
            "Choose another name with --stack.",
        )
    if state.endswith("_IN_PROGRESS"):
        raise CloudError(
            f"stack {wanted.stack} is {state}: somebody is changing it now",
            "Wait until it is done, then repeat the command.",
        )
    if state == "UPDATE_ROLLBACK_FAILED":
        raise CloudError(
            f"stack {wanted.stack} is {state}: an earlier change could not be taken back",
            f"`aws cloudformation continue-update-rollback --stack-name {wanted.stack}"
            f" --region {wanted.region}`, then repeat the command.",
        )
    if state.startswith("DELETE_"):
        raise CloudError(
            f"stack {wanted.stack} is {state}", "Finish deleting it: `featuremill cloud destroy`."
        )


def _check_free(aws: Aws, bucket: str) -> None:
    why, gone = f"see whether the name {bucket} is free", ("404", "NoSuchBucket")
    try:
        free = aws.call("s3", "head_bucket", why=why, forgives=gone, Bucket=bucket) is None
    except CloudError as error:
        # somebody else's
        if error_code(error) != "403":
            raise
        free = False
    if not free:
        raise CloudError(
            f"bucket name {bucket} is taken",
            "Bucket names are shared by all accounts: choose another --bucket, or leave it out.",
        )


def _clear(aws: Aws, wanted: StackOptions, stack: Mapping[str, Any], agree: Confirm) -> None:
    """Delete what is left of a creation that failed: a name with nothing behind it."""
    happened = events(aws, stack["StackId"])
    why = failure(happened, f"create stack {wanted.stack}")
    state = stack["StackStatus"]
    if not agree(
        f"stack {wanted.stack} is {state}: an earlier creation failed ({why.problem})."
        " Nothing of it is left but its name. Delete it and go on?"
    ):
        raise CloudError(
            f"stack {wanted.stack} is {state}, which can only be deleted. {why.problem}",
            f"{why.remedy} Then `featuremill cloud deploy`, which asks to delete it (or --yes).",
        )
    seen = {event.id for event in happened}
    delete = "delete what is left"
    aws.call("cloudformation", "delete_stack", why=delete, StackName=stack["StackId"])
    happened = follow(aws, stack["StackId"], seen, lambda _: None)
    if final_state(happened) not in GOOD:
        raise failure(happened, f"delete what is left of stack {wanted.stack}")


def _changes(
    aws: Aws, wanted: StackOptions, kind: str, change_set: Mapping[str, Any]
) -> list[Change] | None:
    about: dict[str, Any] = {"StackName": wanted.stack, "ChangeSetName": wanted.change_set}
    if change_set["Status"] == "FAILED":
        discard(aws, wanted, kind)
        reason = change_set.get("StatusReason", "")
        if _NO_CHANGES.search(reason):
            return None
        raise CloudError(
            f"CloudFormation refuses the changes: {reason}",
            "Check the options; `featuremill cloud doctor` checks the account.",
        )
    pages = aws.pages("cloudformation", "describe_change_set", **about)
    found = [each["ResourceChange"] for page in pages for each in page["Changes"]]
    return [
        Change(
            change["Action"].lower(),
            change["ResourceType"],
            change["LogicalResourceId"],
            change.get("Replacement") in ("True", "Conditional"),
        )
        for change in found
    ]


def _explained(wanted: StackOptions, happened: list[Any]) -> CloudError:
    why = failure(happened, f"deploy stack {wanted.stack}")
    state = final_state(happened)
    undone = (
        "Everything that was made has been taken back."
        if "ROLLBACK_COMPLETE" in state
        else f"The stack is {state}."
    )
    return CloudError(f"{why.problem}. {undone}", f"{why.remedy} Then repeat the command.".strip())
