"""Whether the folder's file tells the truth: it may have come with somebody else's folder.

The account is compared with the one signed in to, and what the stack's parts are called is read
from CloudFormation. So a folder that was copied can name a stack, but not where data goes.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack.project_file import FILE, Place
from featuremill.errors import CloudError, ConfigError


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
    aws.step("see that the stack is in this account, and what its parts are called", silent=True)
    check_signed_in(place, aws)
    stack = aws.stack(place.stack)
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
    check_account(place, aws.account())


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


def answers_of(place: Place, *, holds: bool) -> dict[str, Any]:
    """What a dry run takes AWS to answer: that what the folder's file says is there.

    Parameters
    ----------
    place : Place
        As the file has it.
    holds : bool
        Whether a cluster for notebooks is up, too.
    """
    tags = [{"Key": "featuremill", "Value": place.stack}]
    outputs = [{"OutputKey": name, "OutputValue": value} for name, value in place.outputs.items()]
    stack = {
        "StackId": f"<StackId of stack {place.stack}>",
        "StackStatus": "UPDATE_COMPLETE",
        "Tags": tags,
        "Parameters": [{"ParameterKey": "<every other one>", "ParameterValue": ""}],
        "Outputs": outputs,
    }
    cluster = {
        "Id": "<Id of the cluster>",
        "Name": f"{place.stack}-notebooks",
        "Status": {"State": "WAITING", "Timeline": {"CreationDateTime": datetime.now(UTC)}},
    }
    return {
        "get_caller_identity": {"Account": place.account},
        "describe_stacks": {"Stacks": [stack]},
        "describe_cluster": {"Cluster": {"Tags": tags}},
        "list_clusters": {"Clusters": [cluster] if holds else []},
    }


def _check_bucket(place: Place, aws: Aws) -> None:
    """Refuse a bucket of which only the file says that it was the stack's: it would be emptied."""
    bucket, gone = place.output("Bucket"), ("404", "NoSuchBucket", "NoSuchTagSet")
    why = f"see whose bucket {bucket} is"
    tags = aws.call("s3", "get_bucket_tagging", why=why, forgives=gone, Bucket=bucket) or {}
    there = aws.call("s3", "head_bucket", why=why, forgives=gone, Bucket=bucket) is not None
    if there and {"Key": "featuremill", "Value": place.stack} not in tags.get("TagSet", ()):
        raise CloudError(
            f"stack {place.stack} is gone, and bucket {bucket}, which {FILE} names, has no tag"
            f" featuremill={place.stack}: it may be something else's",
            f"If it is the stack's, delete it in the console; then delete {FILE}.",
        )
