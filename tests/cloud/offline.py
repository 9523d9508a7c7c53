"""The template as CloudFormation would read it: its functions, conditions and rules, offline."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from featuremill.cloud.stack.parameters import template_body

ACCOUNT = "123456789012"


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms."""


def _function(loader: yaml.CSafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def load(text: str) -> dict[str, Any]:
    """A template's text, with every short form written out."""
    loaded: dict[str, Any] = yaml.load(text, _Loader)
    return loaded


class Stack:
    """The template with some parameters in some region.

    Parameters
    ----------
    region : str
        Where.
    **parameters : str
        As CloudFormation takes them; the others have their defaults.
    """

    def __init__(self, region: str = "eu-west-1", **parameters: str) -> None:
        self.template = load(template_body())
        declared = self.template["Parameters"]
        assert set(parameters) <= set(declared)
        given = {name: each.get("Default", "") for name, each in declared.items()} | parameters
        self.refs: dict[str, Any] = {
            name: str(value).split(",") if "List" in declared[name]["Type"] else value
            for name, value in given.items()
        }
        self.refs |= {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": region,
            "AWS::StackName": "featuremill",
            "AWS::StackId": f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/featuremill/1",
        }
        self.bucket = self.refs["BucketName"] or "pictures"

    def holds(self, name: str) -> bool:
        """Whether a condition holds."""
        return bool(self.value(self.template["Conditions"][name]))

    @property
    def resources(self) -> dict[str, Any]:
        """What would be made, with every value resolved."""
        return {
            name: self.value(resource)
            for name, resource in self.template["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def properties(self, name: str) -> Any:
        """A resource's properties, resolved."""
        return self.value(self.template["Resources"][name]["Properties"])

    def refused(self) -> list[str]:
        """What the rules object to."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if "RuleCondition" not in rule or self.value(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.value(assertion["Assert"])
        ]

    def value(self, node: Any) -> Any:
        """A value with its functions evaluated."""
        if isinstance(node, list):
            found = [self.value(each) for each in node]
            return [each for each in found if each is not None]
        if not isinstance(node, dict):
            return node
        name, argument = next(iter(node.items()), ("", None))
        if len(node) == 1 and name == "Ref":
            return self._ref(argument)
        if len(node) == 1 and name.startswith("Fn::"):
            return self._call(name.removeprefix("Fn::"), argument)
        found = {key: self.value(each) for key, each in node.items()}
        return {key: each for key, each in found.items() if each is not None}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return None
        if name in self.refs:
            return self.refs[name]
        kind = self.template["Resources"][name]["Type"]
        if kind == "AWS::S3::Bucket":
            return self.bucket
        if kind == "AWS::IAM::ManagedPolicy":
            return f"arn:aws:iam::{ACCOUNT}:policy/{name}"
        return f"featuremill-{name}"

    def _attribute(self, name: str, attribute: str) -> str:
        kind = self.template["Resources"][name]["Type"].removeprefix("AWS::")
        region = self.refs["AWS::Region"]
        arns = {
            "S3::Bucket": f"arn:aws:s3:::{self.bucket}",
            "IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "IAM::InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/{name}",
            "Logs::LogGroup": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:/featuremill:*",
            "EMR::Studio": f"arn:aws:elasticmapreduce:{region}:{ACCOUNT}:studio/{name}",
        }
        return arns[kind] if attribute == "Arn" else f"{name}.{attribute}"

    def _call(self, function: str, argument: Any) -> Any:
        if function == "If":
            condition, then, otherwise = argument
            return self.value(then if self.holds(condition) else otherwise)
        if function == "Sub":
            return self._substituted(argument)
        if function == "GetAZs":
            return [f"{self.refs['AWS::Region']}{letter}" for letter in "abc"]
        if function == "Select":
            index, values = argument
            return self.value(values)[int(index)]
        if function == "GetAtt":
            return self._attribute(*argument)
        if function == "FindInMap":
            found: Any = self.template["Mappings"]
            for key in argument:
                found = found[self.value(key)]
            return found
        return _CALLS[function](*self.value(argument))

    def _substituted(self, text: str) -> str:
        def one(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            return self._attribute(*name.split(".")) if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", one, text)


_CALLS: Mapping[str, Any] = {
    "Equals": lambda one, other: str(one) == str(other),
    "Not": lambda one: not one,
    "Or": lambda *all_of: any(all_of),
    "And": lambda *all_of: all(all_of),
    "Contains": lambda values, one: one in values,
    "Join": lambda with_, values: with_.join(values),
    "Split": lambda at, text: text.split(at),
}
