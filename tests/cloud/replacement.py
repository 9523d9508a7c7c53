"""What an update of the stack would replace, by CloudFormation's own schemas, which cfn-lint has.

A resource is replaced where a property changes that can only be set when it is made. CloudFormation
makes the new one before the old one goes, so a resource whose name stays cannot be replaced at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.cloud.offline import Stack

OTHER_VALUES: Mapping[str, str] = {
    "Architecture": "arm64",
    "ReleaseLabel": "emr-7.14.0",
    "MaximumVcpu": "64",
    "IdleMinutes": "30",
    "BucketName": "other-pictures",
    "LogDays": "90",
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0a1b",
    "EncryptInTransit": "false",
    "MonthlyBudget": "25",
    "AlertEmail": "me@example.org",
    "JupyterCidr": "198.51.100.7/32",
    "Studio": "true",
    "OperatorUser": "ada",
    "OperatorRole": "analyst",
    "OperatorGroup": "lab",
    "CreateOperator": "true",
    "AllowedRegions": "us-east-1",
    "DenyOtherRegions": "true",
}
"""Parameter → a value that is not its default."""


@dataclass(frozen=True)
class Effect:
    """What happens to one resource in an update: ``add``, ``remove``, ``change`` or ``replace``.

    Parameters
    ----------
    name, action : str
        Of the resource in the template, and what happens to it.
    keeps_name : bool
        Whether it has a name of its own that stays the same.
    """

    name: str
    action: str
    keeps_name: bool = False


def effects(before: Stack, after: Stack) -> list[Effect]:
    """What an update from one stack to another does, resource by resource."""
    old, new = before.resources, after.resources
    return [
        effect
        for name in sorted(old.keys() | new.keys())
        for effect in _effect(name, old.get(name), new.get(name))
    ]


def traps(found: list[Effect]) -> list[str]:
    """Resources that cannot be replaced: the new one would have the old one's name."""
    return [each.name for each in found if each.action == "replace" and each.keeps_name]


def _effect(name: str, old: Any, new: Any) -> Iterator[Effect]:
    if old is None or new is None:
        yield Effect(name, "add" if old is None else "remove")
        return
    was, is_ = old.get("Properties", {}), new.get("Properties", {})
    fixed = _create_only(new["Type"])
    if any(_at(was, path) != _at(is_, path) for path in fixed):
        names = [path for path in fixed if path[-1].endswith("Name")]
        given = [path for path in names if _at(is_, path) is not None]
        keeps = any(_at(was, path) == _at(is_, path) for path in given)
        yield Effect(name, "replace", keeps)
    elif was != is_:
        yield Effect(name, "change")


@cache
def _create_only(kind: str) -> list[tuple[str, ...]]:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", kind).schema
    paths = schema.get("createOnlyProperties", ())
    return [tuple(path.removeprefix("/properties/").split("/")) for path in paths]


def _at(properties: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        properties = properties.get(step) if isinstance(properties, dict) else None
    return properties
