"""What CloudFormation reports while it works, and why it gave up."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from featuremill.cloud.aws.client import Aws, Say
from featuremill.errors import CloudError

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE")
LIMIT = 3600.0
"""Seconds after which following is given up."""

_STACK = "AWS::CloudFormation::Stack"
_QUOTA = "Ask for a higher quota in the Service Quotas console, or lower --max-vcpu."

# what stands in AWS' reason → what to do about it
_REMEDIES = (
    (
        r"AWS::S3::Bucket.*already exists|BucketAlreadyExists",
        "Bucket names are shared by all accounts: choose another --bucket.",
    ),
    (
        r"already exists",
        "It is left from something else: delete it there, or choose another --stack.",
    ),
    (r"Quota|LimitExceeded|[Ll]imit.* exceeded|maximum number", _QUOTA),
    (
        r"[Nn]ot authorized|AccessDenied|UnauthorizedOperation|Access Denied",
        "Deploy as an administrator of the account; others then get the operator policy by"
        " --operator.",
    ),
    (
        r"NoSuchEntity|cannot be found",
        "Check the name given to --operator, or let --create-operator make a user.",
    ),
    (r"[Rr]elease ?[Ll]abel", "That release is not offered in this region: choose another."),
    (r"[Ss]ubscriber|[Ee]mail", "Check the address given to --email."),
    (
        r"DeleteConflict|must d(?:elete|etach)|must remove",
        "It was given keys, or policies of another's, since: take them away in the IAM console,"
        " then repeat.",
    ),
    (
        r"UnmodifiableEntity|protected role",
        "Roles of IAM Identity Center take policies only by a permission set: name the stack's"
        " two operator policies there, STACK-REGION-operator and STACK-REGION-operator-machines,"
        " and leave --operator out.",
    ),
    (
        r"[Mm]ust be (?:in )?(?:a )?(?:stopped|STOPPED|created)|is not in (?:a )?(?:stopped|valid)",
        "The application has to be stopped for that: wait until its jobs are over, then repeat.",
    ),
    (
        r"DependencyViolation|has dependencies|has a dependent object",
        "Something is still attached: end a cluster or machine that is up, delete the workspaces of"
        " a Studio, then repeat.",
    ),
    (r"BucketNotEmpty|not empty", "Something still writes there; repeat the command."),
)


@dataclass(frozen=True)
class Event:
    """One line of what happened."""

    id: str
    resource: str
    type: str
    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.state}  {self.type}  {self.resource}" + (
            f": {self.reason}" if self.reason and self.failed else ""
        )

    @property
    def failed(self) -> bool:
        """Whether a resource could not be made, changed or deleted."""
        return self.state.endswith("_FAILED")


def events(aws: Aws, stack: str) -> list[Event]:
    """What happened to a stack, the oldest first; nothing where there is none.

    Parameters
    ----------
    aws : Aws
        The connection.
    stack : str
        Its ARN, or its name as long as it is there.
    """
    found = list(_newest_first(aws, stack))
    return found[::-1]


def _newest_first(aws: Aws, stack: str) -> Iterator[Event]:
    for page in aws.pages("cloudformation", "describe_stack_events", StackName=stack):
        for event in page["StackEvents"]:
            yield Event(
                event["EventId"],
                event["LogicalResourceId"],
                event["ResourceType"],
                event["ResourceStatus"],
                event.get("ResourceStatusReason") or "",
            )


def follow(aws: Aws, stack: str, seen: set[str], say: Say) -> list[Event]:
    """Tell each resource's states, each once, until the stack itself is done.

    Parameters
    ----------
    aws : Aws
        The connection.
    stack : str
        ARN of the stack, by which it can still be asked for when it is deleted.
    seen : set of str
        Ids of the events from before.
    say : callable
        Told about each state.

    Returns
    -------
    list of Event
        The new ones, the oldest first; the last one of the stack itself tells how it ended.
    """
    told: set[tuple[str, str]] = set()
    new: list[Event] = []

    def over() -> bool:
        new[:] = [event for event in events(aws, stack) if event.id not in seen]
        for event in new:
            if (event.resource, event.state) not in told:
                told.add((event.resource, event.state))
                say(str(event))
        return bool(final_state(new))

    remedy = "It goes on without this command; repeat the command later."
    aws.until("CloudFormation has finished", over, 3.0, LIMIT, remedy)
    return aws.here(lambda: new, [Event("", stack, _STACK, GOOD[0], "")])


def final_state(happened: list[Event]) -> str:
    """State in which the stack came to rest; empty while it has not."""
    last = next((event for event in reversed(happened) if event.type == _STACK), None)
    return "" if last is None or last.state.endswith("_IN_PROGRESS") else last.state


def failure(happened: list[Event], doing: str) -> CloudError:
    """Explain a failure by the first resource that failed: the others only follow from it.

    Parameters
    ----------
    happened : list of Event
        The oldest first.
    doing : str
        What was being done, as a phrase: ``create stack featuremill``.
    """
    failed = [event for event in happened if event.failed and "cancelled" not in event.reason]
    own = [event for event in failed if event.type != _STACK] or failed
    if not own:
        return CloudError(
            f"{doing}: it ended as {final_state(happened) or 'unknown'}, and no event says why",
            "Look at the stack's events in the CloudFormation console.",
        )
    first = own[0]
    said = f"{first.type} {first.reason}"
    remedy = next((each for pattern, each in _REMEDIES if re.search(pattern, said)), "")
    return CloudError(
        f"{doing}: {first.resource} ({first.type}) is {first.state}: {first.reason}", remedy
    )
