"""Whether the folder's file tells the truth: it may have come with somebody else's folder.

The account is compared with the one signed in to, and what the stack's parts are called is read
from CloudFormation. So a folder that was copied can name a stack, but not where data goes.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Call, Plan, Work
from featuremill.cloud.stack.events import describe
from featuremill.cloud.stack.project_file import FILE, Place
from featuremill.errors import CloudError, ConfigError

_WHO = Call("sts", "get_caller_identity", {}, "see who is signed in", changes=False)


def confirmed(place: Place, aws: Aws, *, gone_too: bool = False) -> Place:
    """The same stack, with the outputs that CloudFormation tells.

    Parameters
    ----------
    place : Place
        As the folder's file has it.
    aws : Aws
        The connection.
    gone_too : bool
        Whether a stack may be gone; then its outputs are the file's, if the bucket was the stack's.

    Raises
    ------
    ConfigError
        If it belongs to another account than the one signed in to.
    CloudError
        If there is no such stack.
    """
    check_signed_in(place, aws)
    stack: Any = describe(aws, place.stack)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in (stack or {}).get("Outputs", ())}
    if gone_too and not outputs:
        _check_bucket(place, aws)
        return place
    if stack is None:
        raise CloudError(
            f"there is no stack {place.stack} in account {place.account}, {place.region}",
            f"`featuremill cloud deploy` makes it; if it is gone for good, delete {FILE}.",
        )
    return replace(place, outputs=outputs)


def check_signed_in(place: Place, aws: Aws) -> None:
    """:func:`check_account` of the account that this connection signs in to."""
    check_account(place, str(aws.call(_WHO)["Account"]))


def check_account(place: Place, signed_in: str) -> None:
    """Refuse to use a stack of another account than the one signed in to.

    Raises
    ------
    ConfigError
        If it is of another one.
    """
    if signed_in != place.account:
        raise ConfigError(
            f"{FILE} says that stack {place.stack} is in account {place.account}, but you are"
            f" signed in to account {signed_in}",
            "Sign in to the stack's account (--profile). If this folder came from somebody else,"
            f" delete {FILE} and run `featuremill cloud deploy`.",
        )


def _check_bucket(place: Place, aws: Aws) -> None:
    """Refuse a bucket of which only the file says that it was the stack's: it would be emptied."""
    bucket = place.output("Bucket")
    ask = Call(
        "s3",
        "get_bucket_tagging",
        {"Bucket": bucket},
        f"see whose bucket {bucket} is",
        changes=False,
        forgives=("NoSuchBucket", "NoSuchTagSet"),
    )
    answer = aws.call(ask)
    there = aws.call(replace(ask, operation="head_bucket", forgives=("404", "NoSuchBucket")))
    if there is not None and {"Key": "featuremill", "Value": place.stack} not in (answer or {}).get(
        "TagSet", ()
    ):
        raise CloudError(
            f"stack {place.stack} is gone, and bucket {bucket}, which {FILE} names, has no tag"
            f" featuremill={place.stack}: it may be something else's",
            f"If it is the stack's, delete it in the console; then delete {FILE}.",
        )


def shown_first() -> Plan:
    """What :func:`confirmed` asks, for people who want to see every call beforehand."""
    calls = ("sts.get_caller_identity", "cloudformation.describe_stacks")
    why = "see that the stack is in this account, and what its parts are called"
    return [Work(why, _nothing, calls=calls, changes=False)]


def _nothing(_aws: Aws, _answers: Mapping[str, Any]) -> None:
    """Only shown."""
