"""Makes or changes the stack: by a change set that is shown before it is carried out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from featuremill.cloud.aws.client import Aws, error_code
from featuremill.cloud.aws.plan import Answers, Call, Later, Plan, Wait, Work
from featuremill.cloud.stack import application, budget
from featuremill.cloud.stack.events import GOOD, Say, describe, events, failure, final_state, follow
from featuremill.cloud.stack.parameters import StackOptions, template_body
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

CHANGES = "changes"
OUTPUTS = "outputs"
IDENTITY = "identity"
STACK = "stack"

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


def prepare(wanted: StackOptions, agree: Confirm = lambda _: False, seconds: float = 3.0) -> Plan:
    """Plan that finds out what would change, and changes nothing yet.

    Parameters
    ----------
    wanted : StackOptions
        The stack.
    agree : callable
        Asked whether to delete what is left of a creation that was rolled back.
    seconds : float
        Between two questions.

    Returns
    -------
    sequence of Step
        ``identity`` answers as STS does; ``changes`` with a list of :class:`Change`, or with None
        where the stack is as it should be.
    """
    given = ", ".join(f"{name}={value}" for name, value in wanted.parameters.items())
    about = {"StackName": wanted.stack, "ChangeSetName": wanted.change_set}
    return [
        Call("sts", "get_caller_identity", {}, "see who is signed in", IDENTITY, changes=False),
        Work(
            f"see whether there is a stack {wanted.stack}"
            + (f" (asked for: {given})" if given else ""),
            lambda aws, _answers: _found(aws, wanted, agree, seconds),
            STACK,
            (
                "cloudformation.describe_stacks",
                "s3.head_bucket for a name given with --bucket",
                "cloudformation.delete_stack if a creation was rolled back, after asking",
            ),
        ),
        Call(
            "cloudformation",
            "create_change_set",
            {
                **about,
                "ChangeSetType": Later(STACK, "type"),
                "TemplateBody": template_body(),
                "Parameters": Later(STACK, "parameters"),
                "Capabilities": ["CAPABILITY_NAMED_IAM"],
                # CloudFormation passes it on to every resource
                "Tags": [{"Key": "featuremill", "Value": wanted.stack}],
            },
            "work out what would change",
        ),
        Wait(
            Call(
                "cloudformation",
                "describe_change_set",
                about,
                "wait for the list of changes",
                "change_set",
                changes=False,
            ),
            "Status",
            ("CREATE_COMPLETE", "FAILED"),
            ("DELETE_COMPLETE", "DELETE_FAILED"),
            reason="StatusReason",
            seconds=seconds,
            limit=600,
        ),
        Work(
            "read the list of changes",
            lambda aws, answers: _changes(aws, wanted, answers),
            CHANGES,
            ("cloudformation.describe_change_set", "cloudformation.delete_change_set if empty"),
        ),
    ]


def carry_out(
    wanted: StackOptions,
    say: Say = lambda _: None,
    seconds: float = 3.0,
    *,
    stopping: bool = False,
) -> Plan:
    """Plan that carries out the change set of :func:`prepare`.

    Parameters
    ----------
    wanted : StackOptions
        The same object.
    say : callable
        Told about each resource's states.
    seconds : float
        Between two questions.
    stopping : bool
        Whether the application is among what is changed, and so must be stopped before.

    Returns
    -------
    sequence of Step
        ``outputs`` answers with the stack's outputs.
    """

    def look(aws: Aws, _answers: Answers) -> dict[str, Any]:
        return {
            "stack": (describe(aws, wanted.stack) or {}).get("StackId", wanted.stack),
            "seen": {event.id for event in events(aws, wanted.stack)},
        }

    def watch(aws: Aws, answers: Answers) -> None:
        before = answers["before"]
        happened = follow(aws, before["stack"], before["seen"], say, seconds)
        if final_state(happened) not in GOOD:
            raise _explained(wanted, happened)

    return [
        *([_stop_application(wanted, seconds)] if stopping else ()),
        Work(
            "note what has happened to the stack so far",
            look,
            "before",
            ("cloudformation.describe_stacks", "cloudformation.describe_stack_events"),
            changes=False,
        ),
        Call(
            "cloudformation",
            "execute_change_set",
            {"StackName": wanted.stack, "ChangeSetName": wanted.change_set},
            "make these changes",
        ),
        Work(
            "follow them",
            watch,
            calls=("cloudformation.describe_stack_events",),
            changes=False,
        ),
        *finish(wanted, say),
    ]


def _stop_application(wanted: StackOptions, seconds: float) -> Work:
    """Step without which AWS refuses to change an application; no job is ended by it."""

    def stop(aws: Aws, _answers: Answers) -> None:
        identifier = outputs_of(aws, wanted.stack).get("ApplicationId")
        if identifier is None:
            return
        running = [job.get("name") or job["id"] for job in application.active_jobs(aws, identifier)]
        if running:
            raise CloudError(
                f"the application has to be stopped to be changed, and {', '.join(running)} runs"
                " on it",
                "Wait for it, or end it: `featuremill cloud stop`. Then repeat the command.",
            )
        application.stop(aws, identifier, seconds)

    calls = (
        "cloudformation.describe_stacks",
        "emr-serverless.list_job_runs",
        "emr-serverless.get_application",
        "emr-serverless.stop_application if it is started, and no job runs on it",
    )
    return Work("stop the application, where it is to change", stop, calls=calls)


def outputs_of(aws: Aws, stack: str) -> dict[str, str]:
    """Outputs of a stack as it is; none where there is none."""
    found: Any = describe(aws, stack) or {}
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}


def finish(wanted: StackOptions, say: Say = lambda _: None) -> Plan:
    """Plan for what follows the changes, or a stack without any; ``outputs`` as above."""

    def outputs(aws: Aws, _answers: Answers) -> dict[str, str]:
        return outputs_of(aws, wanted.stack)

    calls = ("cloudformation.describe_stacks",)
    return [
        *budget.keep(wanted.stack, wanted.region, say),
        Work("read the stack's outputs", outputs, OUTPUTS, calls, changes=False),
    ]


def discard(wanted: StackOptions, answers: Answers) -> list[Call]:
    """Plan that takes back what :func:`prepare` left, where its changes are not wanted."""
    about = {"StackName": wanted.stack, "ChangeSetName": wanted.change_set}
    forget = Call("cloudformation", "delete_change_set", about, "forget these changes")
    if answers[STACK]["type"] == "UPDATE":
        return [forget]
    shell = {"StackName": wanted.stack}
    return [forget, Call("cloudformation", "delete_stack", shell, "remove the empty stack")]


def place_of(
    wanted: StackOptions, account: str, outputs: Mapping[str, str], before: Place | None
) -> Place:
    """What the folder's file is to say of the stack."""
    same = before is not None and (before.stack, before.region) == (wanted.stack, wanted.region)
    last_job = before.last_job if before is not None and same else {}
    return Place(
        wanted.stack, wanted.region, account, dict(outputs), wanted.allowed_regions, last_job
    )


def _found(aws: Aws, wanted: StackOptions, agree: Confirm, seconds: float) -> dict[str, Any]:
    """Whether the stack is to be created or updated, and with which parameters."""
    stack: Any = describe(aws, wanted.stack)
    if stack is not None and stack["StackStatus"] in _ROLLED_BACK:
        _clear(aws, wanted, stack, agree, seconds)
        stack = None
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        if wanted.bucket:
            _check_free(aws, wanted.bucket)
        return {"type": "CREATE", "parameters": _listed(wanted.first_parameters())}
    _check_usable(wanted, stack)
    kept = {each["ParameterKey"] for each in stack.get("Parameters", ())}
    given = wanted.parameters
    parameters = _listed(given) + [
        {"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept - set(given))
    ]
    return {"type": "UPDATE", "parameters": parameters}


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
    head = Call(
        "s3",
        "head_bucket",
        {"Bucket": bucket},
        f"see whether the name {bucket} is free",
        changes=False,
        forgives=("404", "NoSuchBucket"),
    )
    try:
        free = aws.call(head) is None
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


def _clear(
    aws: Aws, wanted: StackOptions, stack: Mapping[str, Any], agree: Confirm, seconds: float
) -> None:
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
    delete = Call(
        "cloudformation", "delete_stack", {"StackName": stack["StackId"]}, "delete what is left"
    )
    seen = {event.id for event in happened}
    aws.call(delete)
    happened = follow(aws, stack["StackId"], seen, lambda _: None, seconds)
    if final_state(happened) not in GOOD:
        raise failure(happened, f"delete what is left of stack {wanted.stack}")


def _changes(aws: Aws, wanted: StackOptions, answers: Answers) -> list[Change] | None:
    about = {"StackName": wanted.stack, "ChangeSetName": wanted.change_set}
    change_set = answers["change_set"]
    if change_set["Status"] == "FAILED":
        for call in discard(wanted, answers):
            aws.call(call)
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
