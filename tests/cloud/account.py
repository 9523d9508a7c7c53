"""An account as its users see it: what they say, what there is, and who may do what.

What there is and what is allowed is asked of the resources themselves.
"""

from ast import literal_eval
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from tests.cloud.policies import Statement


def said(who: str, *words: str) -> str:
    """What a command that somebody gives prints; it has to go well.

    Parameters
    ----------
    who : str
        Id, and secret too, of the access key that the command finds.
    words : str
        The command line, without the program's name.
    """
    keys = {"AWS_ACCESS_KEY_ID": who, "AWS_SECRET_ACCESS_KEY": who}
    done = CliRunner().invoke(main, words, env=keys)
    assert done.exit_code == 0, f"{' '.join(words)}: {done.output}"
    return done.stdout


def keys(aws: Aws, bucket: str) -> list[str]:
    """Names of all objects of a bucket."""
    pages = aws.pages("s3", "list_objects_v2", Bucket=bucket)
    return [each["Key"] for page in pages for each in page.get("Contents", ())]


def everything(aws: Aws) -> Mapping[str, set[str]]:
    """Kind → names of all that a stack and its use could leave."""
    iam, ec2, serverless = aws.client("iam"), aws.client("ec2"), aws.client("emr-serverless")
    return {
        "stacks": _names(aws.client("cloudformation").describe_stacks()["Stacks"], "StackName"),
        "buckets": _names(aws.client("s3").list_buckets()["Buckets"], "Name"),
        "applications": {
            each["id"]
            for each in serverless.list_applications()["applications"]
            if each["state"] != "TERMINATED"
        },
        "roles": _names(iam.list_roles()["Roles"], "RoleName"),
        "instance profiles": _names(
            iam.list_instance_profiles()["InstanceProfiles"], "InstanceProfileName"
        ),
        "policies": _names(iam.list_policies(Scope="Local")["Policies"], "PolicyName"),
        "policies of people": {
            policy["PolicyName"]
            for user in iam.list_users()["Users"]
            for policy in iam.list_attached_user_policies(UserName=user["UserName"])[
                "AttachedPolicies"
            ]
        },
        "budgets": _names(
            aws.client("budgets").describe_budgets(AccountId=_account(aws)).get("Budgets", []),
            "BudgetName",
        ),
        "log groups": _names(aws.client("logs").describe_log_groups()["logGroups"], "logGroupName"),
        "security configurations": _names(
            aws.client("emr").list_security_configurations()["SecurityConfigurations"], "Name"
        ),
        "networks": _names(ec2.describe_vpcs()["Vpcs"], "VpcId"),
        "subnets": _names(ec2.describe_subnets()["Subnets"], "SubnetId"),
        "gateways": _names(
            ec2.describe_internet_gateways()["InternetGateways"], "InternetGatewayId"
        ),
        "route tables": _names(ec2.describe_route_tables()["RouteTables"], "RouteTableId"),
        "endpoints": _names(ec2.describe_vpc_endpoints()["VpcEndpoints"], "VpcEndpointId"),
        "security groups": _names(ec2.describe_security_groups()["SecurityGroups"], "GroupId"),
        "users": _names(iam.list_users()["Users"], "UserName"),
    }


def _names(found: list[Any], key: str) -> set[str]:
    return {each[key] for each in found}


def _account(aws: Aws) -> str:
    return str(aws.client("sts").get_caller_identity()["Account"])


def may(iam: Any, kind: str, name: str) -> list[Statement]:
    """All statements of the policies that a user or a role has.

    Parameters
    ----------
    iam : client
        Of the account.
    kind : str
        ``user`` or ``role``.
    name : str
        Which.
    """
    whose = {f"{kind.title()}Name": name}
    attached = getattr(iam, f"list_attached_{kind}_policies")(**whose)["AttachedPolicies"]
    documents = [_newest(iam, each["PolicyArn"]) for each in attached]
    own = getattr(iam, f"list_{kind}_policies")(**whose)["PolicyNames"]
    read = getattr(iam, f"get_{kind}_policy")
    # moto writes the documents of a template as Python does
    documents += [literal_eval(read(**whose, PolicyName=each)["PolicyDocument"]) for each in own]
    return [statement for document in documents for statement in document["Statement"]]


def _newest(iam: Any, arn: str) -> Any:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
