"""Looks for everything that a stack had, one thing after another: deleted is what is not found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack import application, passwords
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

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


_Question = tuple[str, str, str, tuple[str, ...]]
"""Service, operation, parameter that takes the name, and the codes that mean that it is gone."""

_GONE = ("NoSuchEntity",)
_ROLE: _Question = ("iam", "get_role", "RoleName", _GONE)
_PROFILE: _Question = ("iam", "get_instance_profile", "InstanceProfileName", _GONE)
_INVALID = ("InvalidRequestException",)
_PASSWORD: _Question = ("ssm", "get_parameter", "Name", ("ParameterNotFound",))
# kind, output of the stack that names it, how it is asked for
_QUESTIONS: tuple[tuple[str, str, _Question], ...] = (
    ("bucket", "Bucket", ("s3", "head_bucket", "Bucket", ("404", "NoSuchBucket"))),
    ("job role", "JobRoleArn", _ROLE),
    ("EMR service role", "ServiceRole", _ROLE),
    ("cluster profile", "InstanceProfile", _PROFILE),
    ("job cluster profile", "JobInstanceProfile", _PROFILE),
    ("server profile", "ServerInstanceProfile", _PROFILE),
    ("operator policy", "OperatorPolicyArn", ("iam", "get_policy", "PolicyArn", _GONE)),
    (
        "security configuration",
        "SecurityConfiguration",
        ("emr", "describe_security_configuration", "Name", _INVALID),
    ),
)
# the same of what EC2 lists: operation, name of the filter, where the answer has it
_FILTERS: tuple[tuple[str, str, str, str, str], ...] = (
    *(
        ("security group", each, "describe_security_groups", "group-id", "SecurityGroups")
        for each in ("PrimarySecurityGroup", "CoreSecurityGroup", "ServerSecurityGroup")
    ),
    ("network", "VpcId", "describe_vpcs", "vpc-id", "Vpcs"),
)


def look_for(aws: Aws, place: Place, *, keep_data: bool) -> list[Looked]:
    """Look for everything that the stack's outputs name, and what runs beside the stack."""
    aws.step("look for anything that is left")
    return [
        _looked(what, name, there, kept=keep_data and what == "bucket")
        for what, name, there in _questions(aws, place)
    ]


def _looked(what: str, name: str, there: Callable[[], bool], *, kept: bool) -> Looked:
    try:
        found = there()
    except CloudError as error:
        return Looked(what, name, "unknown", error.problem)
    return Looked(what, name, ("kept" if kept else "left") if found else "gone")


def _questions(aws: Aws, place: Place) -> Iterator[tuple[str, str, Callable[[], bool]]]:
    known, tag = place.outputs, f"featuremill={place.stack}"
    yield "stack", place.stack, lambda: aws.stack(place.stack) is not None
    for what, output, question in _QUESTIONS:
        if output in known:
            yield what, known[output], partial(_is_there, aws, known[output], *question)
    if "ApplicationId" in known:
        yield "EMR Serverless", known["ApplicationId"], lambda: _application(aws, place)
    for what, output, *listing in _FILTERS:
        if output in known:
            yield what, known[output], partial(_is_listed, aws, known[output], *listing)
    if "LogGroup" in known:
        yield "log group", known["LogGroup"], lambda: _log_group(aws, known["LogGroup"])
    if "BudgetName" in known:
        yield "budget", known["BudgetName"], lambda: _budget(aws, place)
    yield "clusters", tag, lambda: bool(running_clusters(aws, place))
    yield "machines", tag, lambda: bool(instances_of(aws, place))
    yield "disks", tag, lambda: _volumes(aws, place)
    for each in (passwords.JUPYTERHUB, passwords.SERVER):
        name = passwords.parameter(place, each)
        yield "password", name, partial(_is_there, aws, name, *_PASSWORD)


def running_clusters(aws: Aws, place: Place) -> list[str]:
    """Ids of the stack's clusters that are up, or still ending."""
    found = [
        cluster["Id"]
        for page in aws.pages("emr", "list_clusters", ClusterStates=_CLUSTERS)
        for cluster in page["Clusters"]
    ]
    return [each for each in found if is_ours(aws, place, each)]


def is_ours(aws: Aws, place: Place, cluster: str) -> bool:
    """Whether a cluster has the tag of the stack."""
    why = f"look at {cluster}"
    found = aws.call("emr", "describe_cluster", why=why, ClusterId=cluster)["Cluster"]
    return {"Key": "featuremill", "Value": place.stack} in found.get("Tags", [])


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


def _is_there(
    aws: Aws, value: str, service: str, operation: str, parameter: str, gone: tuple[str, ...]
) -> bool:
    # roles are asked for by the name at the end of what may be an ARN
    name = value.rpartition("/")[2] if parameter == "RoleName" else value
    return aws.call(service, operation, forgives=gone, **{parameter: name}) is not None


def _is_listed(aws: Aws, value: str, operation: str, name: str, where: str) -> bool:
    return bool(aws.call("ec2", operation, Filters=[{"Name": name, "Values": [value]}])[where])


def _application(aws: Aws, place: Place) -> bool:
    return application.state(aws, place.outputs["ApplicationId"]) != "TERMINATED"


def _log_group(aws: Aws, name: str) -> bool:
    found = aws.call("logs", "describe_log_groups", logGroupNamePrefix=name)["logGroups"]
    return any(each["logGroupName"] == name for each in found)


def _budget(aws: Aws, place: Place) -> bool:
    names = {"AccountId": place.account, "BudgetName": place.outputs["BudgetName"]}
    gone = ("NotFoundException",)
    return aws.call("budgets", "describe_budget", forgives=gone, **names) is not None
