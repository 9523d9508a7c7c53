"""Looks for everything that a stack had, one thing after another: deleted is what is not found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Work
from featuremill.cloud.stack import passwords
from featuremill.cloud.stack.events import describe
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

FOUND = "left"
"""Name under which the step leaves its list of :class:`Looked`."""

ALIVE = ("pending", "running", "stopping", "stopped")
"""States of machines that are still to be ended."""

_CLUSTERS = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]


@dataclass(frozen=True)
class Looked:
    """One thing that was looked for.

    Parameters
    ----------
    what, name : str
        What kind of thing, and which.
    state : {'gone', 'kept', 'left', 'unknown'}
        What was found.
    why : str
        Why it could not be told, where it could not.
    """

    what: str
    name: str
    state: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state:8} {self.what:24} {self.name}" + (f": {self.why}" if self.why else "")


Presence = Callable[[Aws], bool]
"""Whether a thing is there."""


def look_for(place: Place, *, keep_data: bool) -> Work:
    """Step that looks for everything; ``left`` answers with a list of :class:`Looked`."""

    def look(aws: Aws, _answers: Answers) -> list[Looked]:
        return [
            _looked(aws, what, name, there, kept=keep_data and what == "bucket")
            for what, name, there in _questions(place)
        ]

    calls = (
        "cloudformation.describe_stacks",
        "s3.head_bucket",
        "emr-serverless.get_application",
        "iam.get_role",
        "iam.get_instance_profile",
        "iam.get_policy",
        "logs.describe_log_groups",
        "emr.describe_security_configuration",
        "budgets.describe_budget",
        "ec2.describe_security_groups",
        "ec2.describe_vpcs",
        "emr.list_clusters",
        "emr.describe_cluster",
        "ec2.describe_instances",
        "ec2.describe_volumes",
        "ssm.get_parameter",
    )
    return Work("look for anything that is left", look, FOUND, calls, changes=False)


def _looked(aws: Aws, what: str, name: str, there: Presence, *, kept: bool) -> Looked:
    try:
        found = there(aws)
    except CloudError as error:
        return Looked(what, name, "unknown", error.problem)
    if kept:
        return Looked(what, name, "kept" if found else "gone")
    return Looked(what, name, "left" if found else "gone")


def _questions(place: Place) -> Iterator[tuple[str, str, Presence]]:
    """Everything that the stack's outputs name, and what runs beside the stack."""
    known = place.outputs
    yield "stack", place.stack, lambda aws: describe(aws, place.stack) is not None
    asked: tuple[tuple[str, str, Callable[[str], Presence]], ...] = (
        ("bucket", "Bucket", _bucket),
        ("EMR Serverless", "ApplicationId", _application),
        ("job role", "JobRoleArn", _role),
        ("EMR service role", "ServiceRole", _role),
        ("cluster profile", "InstanceProfile", _profile),
        ("job cluster profile", "JobInstanceProfile", _profile),
        ("server profile", "ServerInstanceProfile", _profile),
        ("operator policy", "OperatorPolicyArn", _policy),
        ("log group", "LogGroup", _log_group),
        ("security configuration", "SecurityConfiguration", _security_configuration),
        ("security group", "PrimarySecurityGroup", _security_group),
        ("security group", "CoreSecurityGroup", _security_group),
        ("security group", "ServerSecurityGroup", _security_group),
        ("network", "VpcId", _network),
    )
    for what, output, question in asked:
        if output in known:
            yield what, known[output], question(known[output])
    if "BudgetName" in known:
        yield "budget", known["BudgetName"], _budget(place.account, known["BudgetName"])
    tag = f"featuremill={place.stack}"
    yield "clusters", tag, lambda aws: bool(running_clusters(aws, place))
    yield "machines", tag, lambda aws: bool(instances_of(aws, place))
    yield "disks", tag, lambda aws: _volumes(aws, place)
    for each in (passwords.JUPYTERHUB, passwords.SERVER):
        name = passwords.parameter(place, each)
        yield "password", name, _password(name)


def running_clusters(aws: Aws, place: Place) -> list[str]:
    """Ids of the stack's clusters that are up, or still ending."""
    found = [
        cluster["Id"]
        for page in aws.pages("emr", "list_clusters", ClusterStates=_CLUSTERS)
        for cluster in page["Clusters"]
    ]
    return [each for each in found if _is_ours(aws, place, each)]


def _is_ours(aws: Aws, place: Place, cluster: str) -> bool:
    look = _read("emr", "describe_cluster", f"look at {cluster}", ClusterId=cluster)
    tags = aws.call(look)["Cluster"].get("Tags", [])
    return {"Key": "featuremill", "Value": place.stack} in tags


def instances_of(aws: Aws, place: Place, states: tuple[str, ...] = ALIVE) -> list[str]:
    """Ids of the stack's machines in some states."""
    filters = [
        {"Name": "tag:featuremill", "Values": [place.stack]},
        {"Name": "instance-state-name", "Values": list(states)},
    ]
    return [
        instance["InstanceId"]
        for page in aws.pages("ec2", "describe_instances", Filters=filters)
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def interfaces_of(aws: Aws, place: Place) -> list[str]:
    """Network interfaces that are left in the stack's network, and what AWS says they are for."""
    filters = [{"Name": "vpc-id", "Values": [place.output("VpcId")]}]
    return [
        f"{each['NetworkInterfaceId']} ({each.get('Description') or 'without a description'})"
        for page in aws.pages("ec2", "describe_network_interfaces", Filters=filters)
        for each in page["NetworkInterfaces"]
    ]


def _volumes(aws: Aws, place: Place) -> bool:
    filters = [{"Name": "tag:featuremill", "Values": [place.stack]}]
    pages = aws.pages("ec2", "describe_volumes", Filters=filters)
    return any(page["Volumes"] for page in pages)


def _read(
    service: str, operation: str, why: str, *, forgives: tuple[str, ...] = (), **parameters: Any
) -> Call:
    return Call(service, operation, parameters, why, changes=False, forgives=forgives)


def _bucket(name: str) -> Presence:
    missing = ("404", "NoSuchBucket")
    look = _read("s3", "head_bucket", "look for the bucket", forgives=missing, Bucket=name)
    return lambda aws: aws.call(look) is not None


def _application(identifier: str) -> Presence:
    look = _read(
        "emr-serverless",
        "get_application",
        "look for the application",
        forgives=("ResourceNotFoundException",),
        applicationId=identifier,
    )

    def there(aws: Aws) -> bool:
        answer = aws.call(look)
        return answer is not None and answer["application"]["state"] != "TERMINATED"

    return there


def _role(arn: str) -> Presence:
    name, missing = arn.rpartition("/")[2], ("NoSuchEntity",)
    look = _read("iam", "get_role", "look for the role", forgives=missing, RoleName=name)
    return lambda aws: aws.call(look) is not None


def _profile(name: str) -> Presence:
    look = _read(
        "iam",
        "get_instance_profile",
        "look for the profile",
        forgives=("NoSuchEntity",),
        InstanceProfileName=name,
    )
    return lambda aws: aws.call(look) is not None


def _policy(arn: str) -> Presence:
    missing = ("NoSuchEntity",)
    look = _read("iam", "get_policy", "look for the policy", forgives=missing, PolicyArn=arn)
    return lambda aws: aws.call(look) is not None


def _log_group(name: str) -> Presence:
    look = _read("logs", "describe_log_groups", "look for the log group", logGroupNamePrefix=name)
    return lambda aws: any(each["logGroupName"] == name for each in aws.call(look)["logGroups"])


def _security_configuration(name: str) -> Presence:
    look = _read(
        "emr",
        "describe_security_configuration",
        "look for the security configuration",
        forgives=("InvalidRequestException",),
        Name=name,
    )
    return lambda aws: aws.call(look) is not None


def _security_group(identifier: str) -> Presence:
    filters = [{"Name": "group-id", "Values": [identifier]}]
    look = _read("ec2", "describe_security_groups", "look for the group", Filters=filters)
    return lambda aws: bool(aws.call(look)["SecurityGroups"])


def _network(identifier: str) -> Presence:
    filters = [{"Name": "vpc-id", "Values": [identifier]}]
    look = _read("ec2", "describe_vpcs", "look for the network", Filters=filters)
    return lambda aws: bool(aws.call(look)["Vpcs"])


def _budget(account: str, name: str) -> Presence:
    look = _read(
        "budgets",
        "describe_budget",
        "look for the budget",
        forgives=("NotFoundException",),
        AccountId=account,
        BudgetName=name,
    )
    return lambda aws: aws.call(look) is not None


def _password(name: str) -> Presence:
    missing = ("ParameterNotFound",)
    look = _read("ssm", "get_parameter", "look for the password", forgives=missing, Name=name)
    return lambda aws: aws.call(look) is not None
