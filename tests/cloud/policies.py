"""IAM's decision, offline: an explicit deny wins, then an allow, else no.

Only what the template's policies use is here, and anything else raises: a decision must not be
guessed. Only real AWS shows that IAM reads them in the same way.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """What a call needs to be allowed.

    Parameters
    ----------
    action, resource : str
        As IAM names them: ``s3:GetObject``, an ARN or ``*``.
    context : mapping
        Condition keys and their values.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict)


def allows(statements: Iterable[Statement], need: Need, region: str = "eu-west-1") -> bool:
    """Whether policies, taken together, allow something."""
    context = {"aws:RequestedRegion": region, **need.context}
    effects = {each["Effect"] for each in statements if _applies(each, need, context)}
    return "Deny" not in effects and "Allow" in effects


def trusts(statements: Iterable[Statement], service: str, **context: str) -> bool:
    """Whether a role may be assumed by a service."""
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return any(
        each["Effect"] == "Allow"
        and each["Action"] == "sts:AssumeRole"
        and service in _listed(each["Principal"]["Service"])
        and _conditions(each, keys)
        for each in statements
    )


def _applies(statement: Statement, need: Need, context: Mapping[str, str]) -> bool:
    if "Action" in statement:
        acts = any(_like(need.action, one, fold=True) for one in _listed(statement["Action"]))
    else:
        acts = not any(
            _like(need.action, one, fold=True) for one in _listed(statement["NotAction"])
        )
    resources = (_filled(one, context) for one in _listed(statement["Resource"]))
    return (
        acts
        and any(one is not None and _like(need.resource, one) for one in resources)
        and _conditions(statement, context)
    )


def _conditions(statement: Statement, context: Mapping[str, str]) -> bool:
    return all(
        _condition(operator, context.get(key), _listed(wanted))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": lambda value, wanted: _like(value, wanted),
    "ArnEquals": lambda value, wanted: _like(value, wanted),
    "ArnLike": lambda value, wanted: _like(value, wanted),
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
}


def _condition(operator: str, value: str | None, wanted: Sequence[str]) -> bool:
    if operator.endswith("IfExists"):
        return value is None or _condition(operator.removesuffix("IfExists"), value, wanted)
    negated = operator.replace("Not", "")
    if value is None:
        # a key that is not there equals nothing
        return negated != operator
    found = any(_OPERATORS[negated](value, str(one)) for one in wanted)
    return found == (negated == operator)


def _filled(resource: str, context: Mapping[str, str]) -> str | None:
    """A resource with its variables; None where one of them is not there."""
    names = re.findall(r"\$\{([^}]+)\}", resource)
    if any(name not in context for name in names):
        return None
    return re.sub(r"\$\{([^}]+)\}", lambda match: context[match[1]], resource)


def _like(value: str, pattern: str, *, fold: bool = False) -> bool:
    parts = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), value, re.IGNORECASE if fold else 0) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# -------------------------------------------------------- what a call of an API needs

_PREFIXES = {"emr": "elasticmapreduce", "service-quotas": "servicequotas"}
_ACTIONS = {
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:HeadBucket": ["s3:ListBucket"],
    "s3:HeadObject": ["s3:GetObject"],
    "s3:CreateMultipartUpload": ["s3:PutObject"],
    "s3:UploadPart": ["s3:PutObject"],
    "s3:CompleteMultipartUpload": ["s3:PutObject"],
    "s3:CopyObject": ["s3:PutObject"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:DeleteObjects": ["s3:DeleteObject"],
    "budgets:DescribeBudget": ["budgets:ViewBudget"],
    "budgets:CreateBudget": ["budgets:ModifyBudget"],
    "budgets:DeleteBudget": ["budgets:ModifyBudget"],
    # everybody may ask who they are
    "sts:GetCallerIdentity": [],
    "emr-serverless:StartJobRun": ["emr-serverless:StartJobRun", "emr-serverless:TagResource"],
}


def needs(service: str, operation: str, parameters: Mapping[str, Any], outputs: Any) -> list[Need]:
    """What a recorded call needs, for a stack with these outputs.

    Parameters
    ----------
    service, operation : str
        As a recorder of :class:`featuremill.cloud.aws.client.Aws` is told: ``s3``, ``PutObject``.
    parameters : mapping
        Of the call.
    outputs : mapping
        Of the stack.
    """
    name = f"{service}:{operation}"
    if name == "ec2:RunInstances":
        return list(_of_instances(parameters, outputs))
    prefix = _PREFIXES.get(service, service)
    resources = _resources(service, operation, parameters, outputs)
    context = _tags(parameters)
    own = [
        Need(action, resource, context)
        for action in _ACTIONS.get(name, [f"{prefix}:{operation}"])
        for resource in resources
    ]
    return own + _passed(name, parameters, outputs)


def _resources(service: str, operation: str, parameters: Mapping[str, Any], outputs: Any) -> Any:
    region, account = "eu-west-1", _account(outputs)
    if service == "s3":
        bucket = f"arn:aws:s3:::{parameters['Bucket']}"
        if operation == "DeleteObjects":
            return [f"{bucket}/{each['Key']}" for each in parameters["Delete"]["Objects"]]
        return [f"{bucket}/{parameters['Key']}" if "Key" in parameters else bucket]
    if service == "emr-serverless":
        arn = f"arn:aws:emr-serverless:{region}:{account}:/applications/"
        run = f"/jobruns/{parameters['jobRunId']}" if "jobRunId" in parameters else ""
        return [f"{arn}{parameters['applicationId']}{run}"]
    if service == "ssm" and "Name" in parameters:
        return [f"arn:aws:ssm:{region}:{account}:parameter{parameters['Name']}"]
    if service == "budgets":
        # one that is made is named among what it is made of
        name = parameters.get("Budget", parameters)["BudgetName"]
        return [f"arn:aws:budgets::{account}:budget/{name}"]
    if service == "cloudformation":
        stack = parameters["StackName"]
        whole = f"arn:aws:cloudformation:{region}:{account}:stack/{stack}/1"
        return [stack if stack.startswith("arn:") else whole]
    clusters = parameters.get("JobFlowIds") or [parameters.get("ClusterId", "")]
    if service == "emr" and clusters[0] and operation != "RunJobFlow":
        return [f"arn:aws:elasticmapreduce:{region}:{account}:cluster/{one}" for one in clusters]
    if operation == "TerminateInstances":
        ids = parameters["InstanceIds"]
        return [f"arn:aws:ec2:{region}:{account}:instance/{one}" for one in ids]
    return ["*"]


def _tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Tags of what is asked for; what is there is taken to be the stack's own."""
    asked = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", ()) if "Value" in tag}
    return {
        "aws:ResourceTag/featuremill": "featuremill",
        **{f"aws:RequestTag/{key}": value for key, value in asked.items()},
    }


def _passed(name: str, parameters: Mapping[str, Any], outputs: Any) -> list[Need]:
    """What else the same call asks for: roles handed on, and what is copied."""
    if name == "emr-serverless:StartJobRun":
        return [_pass(parameters["executionRoleArn"], "emr-serverless")]
    if name == "emr:RunJobFlow":
        role = (
            "NodeRole" if parameters["Instances"]["KeepJobFlowAliveWhenNoSteps"] else "JobNodeRole"
        )
        nodes = f"arn:aws:iam::{_account(outputs)}:role/{role}"
        new = f"arn:aws:elasticmapreduce:eu-west-1:{_account(outputs)}:cluster/j-NEW"
        tags = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in parameters["Tags"]}
        parts = ("AddTags", "PutAutoTerminationPolicy", "PutManagedScalingPolicy")
        asked = [Need(f"elasticmapreduce:{part}", new, tags) for part in parts]
        roles = [_pass(parameters["ServiceRole"], "elasticmapreduce"), _pass(nodes, "ec2")]
        return asked + roles
    if name == "s3:CopyObject":
        source = parameters["CopySource"]
        read = f"{source['Bucket']}/{source['Key']}" if isinstance(source, Mapping) else source
        return [Need("s3:GetObject", f"arn:aws:s3:::{read}")]
    return []


def _pass(role: str, service: str) -> Need:
    return Need("iam:PassRole", role, {"iam:PassedToService": f"{service}.amazonaws.com"})


def _account(outputs: Any) -> str:
    account: str = outputs["JobRoleArn"].split(":")[4]
    return account


def _of_instances(parameters: Mapping[str, Any], outputs: Any) -> Iterator[Need]:
    """What one call for a machine needs: each thing it makes or uses is asked about apart."""
    account = _account(outputs)
    of_ours = f"arn:aws:ec2:eu-west-1:{account}"
    profile = f"arn:aws:iam::{account}:instance-profile/ServerProfile"
    kind = {"ec2:InstanceType": parameters["InstanceType"], "ec2:InstanceProfile": profile}
    for made in parameters["TagSpecifications"]:
        arn = f"{of_ours}:{made['ResourceType']}/*"
        tags = {f"aws:RequestTag/{each['Key']}": each["Value"] for each in made["Tags"]}
        yield Need("ec2:RunInstances", arn, {**tags, **kind})
        yield Need("ec2:CreateTags", arn, {**tags, "ec2:CreateAction": "RunInstances"})
    (interface,) = parameters["NetworkInterfaces"]
    yield Need("ec2:RunInstances", f"{of_ours}:subnet/{interface['SubnetId']}")
    for group in interface["Groups"]:
        yield Need("ec2:RunInstances", f"{of_ours}:security-group/{group}")
    yield Need("ec2:RunInstances", "arn:aws:ec2:eu-west-1::image/ami-1")
    name = parameters["ImageId"].removeprefix("resolve:ssm:")
    yield Need("ssm:GetParameters", f"arn:aws:ssm:eu-west-1::parameter{name}")
    yield _pass(f"arn:aws:iam::{account}:role/ServerRole", "ec2")
