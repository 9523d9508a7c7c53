"""Who may do what: the template's policies, decided offline.

Only real AWS shows that IAM decides the same; what is here is that the policies say what they mean.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import EU_REGIONS
from featuremill.cloud.jobs import job_cluster, serverless, stop
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.jobs.status import status
from featuremill.cloud.notebooks import access, clusters, server
from featuremill.cloud.notebooks.server import read_notebooks
from featuremill.cloud.pricing import probe
from featuremill.cloud.stack import doctor, passwords
from featuremill.cloud.stack.parameters import StackOptions, operator_policies
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer.fetch import fetch
from featuremill.cloud.transfer.sources import open_source
from featuremill.cloud.transfer.upload import upload
from featuremill.config import RunConfig
from featuremill.errors import CloudError, ConfigError
from tests.cloud.known import faults_of_call
from tests.cloud.offline import ACCOUNT, Stack
from tests.cloud.policies import Need, allows, needs, trusts
from tests.cloud.test_template import deploy

BUCKET = "arn:aws:s3:::pictures"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0a1b"
APPLICATION = f"arn:aws:emr-serverless:eu-west-1:{ACCOUNT}:/applications/Application.ApplicationId"
PARAMETER = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/featuremill/featuremill"
INSTANCE = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-1"
CLUSTER = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/j-1"
OURS = {"aws:ResourceTag/featuremill": "featuremill"}
THEIRS = {"aws:ResourceTag/featuremill": "another"}
NEW = {"aws:RequestTag/featuremill": "featuremill"}
NAMED = {"ssm:SessionDocumentAccessCheck": "true"}
UNNAMED = {"ssm:SessionDocumentAccessCheck": "false"}

LARGEST_POLICY = 6_144
"""Characters that IAM takes in a managed policy, without white space."""


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def passed_to(service: str) -> dict[str, str]:
    return {"iam:PassedToService": f"{service}.amazonaws.com"}


def statements(who: str, stack: Stack) -> list[Mapping[str, Any]]:
    """All that a role's or the operator's policies say."""
    if who == "operator":
        documents = [
            stack.properties(name)["PolicyDocument"]
            for name in ("OperatorPolicy", "OperatorMachinesPolicy")
        ]
    else:
        properties = stack.properties(who)
        documents = [each["PolicyDocument"] for each in properties.get("Policies", ())]
        documents += [
            stack.properties(arn.rpartition("/")[2])["PolicyDocument"]
            for arn in properties["ManagedPolicyArns"]
            if ":iam::aws:" not in arn
        ]
    return [statement for document in documents for statement in document["Statement"]]


def every(who: str, expected: str, actions: str, *resources: str, **context: str) -> Any:
    """Rows of the table: each action on each resource."""
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return [
        (who, Need(action, resource, keys), expected == "may")
        for action in actions.split()
        for resource in resources or ("*",)
    ]


def below(*prefixes: str) -> list[str]:
    return [f"{BUCKET}/{prefix}/x.jpg" for prefix in prefixes]


NOTEBOOKS = ("JobRole", "NodeRole", "ServerRole")
MACHINES = (*NOTEBOOKS, "JobNodeRole")

TABLE = [
    row
    for who in MACHINES
    for row in (
        *every(who, "may", "s3:ListBucket s3:GetBucketLocation", BUCKET),
        *every(who, "may", "s3:GetObject", *below("input", "code", "results")),
        *every(who, "may", "s3:PutObject s3:DeleteObject", *below("results")),
        *every(who, "may not", "s3:PutObject s3:DeleteObject", *below("input", "code", "tls")),
        *every(who, "may not", "s3:GetObject s3:DeleteObject", *below("logs")),
        *every(who, "may not", "s3:DeleteObjectVersion", *below("input", "results", "notebooks")),
        *every(who, "may not", "s3:GetObject", "arn:aws:s3:::someone-elses/x.jpg"),
        *every(who, "may not", "s3:PutBucketPolicy s3:DeleteBucket", BUCKET),
        *every(who, "may not", "iam:PassRole", role("JobRole"), role("NodeRole")),
        *every(who, "may not", "iam:CreateUser sts:AssumeRole ec2:RunInstances"),
    )
] + [
    *(
        row
        for who in NOTEBOOKS
        for row in every(
            who, "may", "s3:GetObject s3:PutObject s3:DeleteObject", *below("notebooks")
        )
    ),
    # a cluster that does one job has nothing to do with notebooks, nor anybody with it
    *every(
        "JobNodeRole", "may not", "s3:GetObject s3:PutObject s3:DeleteObject", *below("notebooks")
    ),
    *every("JobNodeRole", "may not", "ssm:GetParameter", f"{PARAMETER}/jupyterhub"),
    *every("JobNodeRole", "may not", "ssmmessages:OpenDataChannel ssm:UpdateInstanceInformation"),
    *every("JobNodeRole", "may", "s3:GetObject", *below("tls")),
    *every("JobNodeRole", "may", "s3:PutObject", *below("logs/emr/j-1")),
    *every("JobNodeRole", "may not", "s3:PutObject", *below("logs", "logs/serverless/main")),
    *every("JobNodeRole", "may", "s3:GetObject", "arn:aws:s3:::eu-west-1.elasticmapreduce/x.jar"),
    # logs where those of its kind are kept: people read them, and believe them
    *every("JobRole", "may", "s3:PutObject", *below("logs/serverless/main")),
    *every("JobRole", "may not", "s3:PutObject", *below("logs", "logs/emr/j-1")),
    *every("NodeRole", "may", "s3:PutObject", *below("logs/emr/j-1")),
    *every("NodeRole", "may not", "s3:PutObject", *below("logs", "logs/serverless/main")),
    *every("ServerRole", "may not", "s3:PutObject", *below("logs", "logs/emr/j-1")),
    *every("ServerRole", "may", "s3:PutObject", *below("logs/server/1")),
    # each password and key for the one machine that needs it
    *every("JobRole", "may not", "s3:GetObject", *below("tls")),
    *every("NodeRole", "may", "s3:GetObject", *below("tls")),
    *every("ServerRole", "may not", "s3:GetObject", *below("tls")),
    *every("JobRole", "may not", "ssm:GetParameter", f"{PARAMETER}/jupyterhub"),
    *every("NodeRole", "may", "ssm:GetParameter", f"{PARAMETER}/jupyterhub"),
    *every("NodeRole", "may not", "ssm:GetParameter", f"{PARAMETER}/server"),
    *every("ServerRole", "may", "ssm:GetParameter", f"{PARAMETER}/server"),
    *every("ServerRole", "may not", "ssm:GetParameter", f"{PARAMETER}/jupyterhub"),
    *every("NodeRole", "may", "s3:GetObject", "arn:aws:s3:::eu-west-1.elasticmapreduce/x.jar"),
    *every("NodeRole", "may", "ssmmessages:OpenDataChannel ssm:UpdateInstanceInformation"),
    *every("ServerRole", "may", "ssmmessages:OpenDataChannel ssm:UpdateInstanceInformation"),
    *every("JobRole", "may not", "ssmmessages:OpenDataChannel"),
    # EMR itself
    *every(
        "ServiceRole",
        "may",
        "iam:PassRole",
        role("NodeRole"),
        role("JobNodeRole"),
        **passed_to("ec2"),
    ),
    *every(
        "ServiceRole",
        "may",
        "iam:CreateServiceLinkedRole",
        role("aws-service-role/ec2fleet.amazonaws.com/AWSServiceRoleForEC2Fleet"),
        iam__AWSServiceName="ec2fleet.amazonaws.com",
    ),
    *every(
        "ServiceRole",
        "may",
        "iam:CreateServiceLinkedRole",
        role("aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"),
        iam__AWSServiceName="spot.amazonaws.com",
    ),
    *every("ServiceRole", "may not", "iam:PassRole", role("NodeRole"), **passed_to("lambda")),
    *every("ServiceRole", "may not", "iam:PassRole", role("ServerRole"), **passed_to("ec2")),
    # people: data
    *every("operator", "may", "s3:ListBucket", BUCKET),
    *every(
        "operator", "may", "s3:GetObject", *below("input", "code", "results", "notebooks", "logs")
    ),
    *every("operator", "may", "s3:PutObject", *below("input", "code", "results", "notebooks")),
    *every("operator", "may", "s3:DeleteObject", *below("input", "results", "notebooks")),
    *every("operator", "may not", "s3:GetObject s3:DeleteObject", *below("tls")),
    *every("operator", "may not", "s3:DeleteObjectVersion", *below("input", "results")),
    *every("operator", "may not", "s3:PutBucketPolicy s3:DeleteBucket", BUCKET),
    *every("operator", "may not", "s3:GetObject", "arn:aws:s3:::someone-elses/x.jpg"),
    # people: jobs
    *every("operator", "may", "emr-serverless:StartJobRun", APPLICATION),
    *every("operator", "may", "emr-serverless:GetJobRun", f"{APPLICATION}/jobruns/1"),
    *every("operator", "may not", "emr-serverless:StartJobRun", f"{APPLICATION}x"),
    *every("operator", "may not", "emr-serverless:DeleteApplication", APPLICATION),
    *every("operator", "may not", "emr-serverless:CreateApplication"),
    # people: roles, each to its service and no other
    *every("operator", "may", "iam:PassRole", role("JobRole"), **passed_to("emr-serverless")),
    *every("operator", "may", "iam:PassRole", role("ServiceRole"), **passed_to("elasticmapreduce")),
    *every(
        "operator",
        "may",
        "iam:PassRole",
        role("NodeRole"),
        role("JobNodeRole"),
        **passed_to("ec2"),
    ),
    *every("operator", "may", "iam:PassRole", role("ServerRole"), **passed_to("ec2")),
    *every("operator", "may not", "iam:PassRole", role("JobRole"), **passed_to("ec2")),
    *every("operator", "may not", "iam:PassRole", role("ServiceRole"), **passed_to("ec2")),
    *every("operator", "may not", "iam:PassRole", role("JobRole"), **passed_to("lambda")),
    *every("operator", "may not", "iam:PassRole", role("Admin"), **passed_to("ec2")),
    *every("operator", "may not", "iam:PassRole", role("JobRole")),
    *every("operator", "may not", "iam:CreateRole iam:AttachUserPolicy iam:CreateAccessKey"),
    *every("operator", "may not", "cloudformation:CreateStack cloudformation:DeleteStack"),
    # people: clusters and machines of this stack only
    *every("operator", "may", "elasticmapreduce:RunJobFlow", **NEW),
    *every("operator", "may not", "elasticmapreduce:RunJobFlow"),
    *every(
        "operator",
        "may not",
        "elasticmapreduce:RunJobFlow",
        **{**NEW, "aws:RequestedRegion": "eu-west-3"},
    ),
    *every("operator", "may", "elasticmapreduce:TerminateJobFlows", CLUSTER, **OURS),
    *every("operator", "may not", "elasticmapreduce:TerminateJobFlows", CLUSTER),
    *every(
        "operator",
        "may",
        "elasticmapreduce:PutAutoTerminationPolicy elasticmapreduce:PutManagedScalingPolicy",
        CLUSTER,
        **NEW,
    ),
    *every(
        "operator",
        "may not",
        "elasticmapreduce:PutAutoTerminationPolicy elasticmapreduce:TerminateJobFlows",
        CLUSTER,
        **THEIRS,
    ),
    # nor one that has no tag
    *every(
        "operator",
        "may not",
        "elasticmapreduce:AddTags elasticmapreduce:PutAutoTerminationPolicy"
        " elasticmapreduce:PutManagedScalingPolicy elasticmapreduce:AddJobFlowSteps",
        CLUSTER,
    ),
    *every(
        "operator",
        "may",
        "elasticmapreduce:PutAutoTerminationPolicy elasticmapreduce:PutManagedScalingPolicy",
        CLUSTER,
        **OURS,
    ),
    *every("operator", "may", "ec2:TerminateInstances", INSTANCE, **OURS),
    *every("operator", "may", "ssm:StartSession", INSTANCE, **OURS, **NAMED),
    *every("operator", "may not", "ec2:TerminateInstances ssm:StartSession", INSTANCE),
    *every("operator", "may not", "ec2:TerminateInstances", INSTANCE, **THEIRS),
    *every("operator", "may not", "ssm:StartSession", INSTANCE, **THEIRS, **NAMED),
    *every("operator", "may", "ssm:PutParameter ssm:GetParameter", f"{PARAMETER}/server"),
    *every(
        "operator", "may not", "ssm:GetParameter", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/x"
    ),
    # people: a tunnel, and no shell, also not by naming no document
    *every("operator", "may not", "ssm:StartSession", INSTANCE, **OURS, **UNNAMED),
    *every("operator", "may not", "ssm:SendCommand", INSTANCE, **OURS),
    *every(
        "operator",
        "may",
        "ssm:StartSession",
        "arn:aws:ssm:eu-west-1::document/AWS-StartPortForwardingSession",
    ),
    *every(
        "operator",
        "may not",
        "ssm:StartSession",
        f"arn:aws:ssm:eu-west-1:{ACCOUNT}:document/SSM-SessionManagerRunShell",
        "arn:aws:ssm:eu-west-1::document/AWS-StartInteractiveCommand",
    ),
    *every(
        "operator",
        "may",
        "ssm:TerminateSession ssmmessages:OpenDataChannel",
        f"arn:aws:ssm:eu-west-1:{ACCOUNT}:session/ada-0123",
        aws__username="ada",
    ),
    # signed in by Identity Center
    *every(
        "operator",
        "may",
        "ssm:TerminateSession ssmmessages:OpenDataChannel",
        f"arn:aws:ssm:eu-west-1:{ACCOUNT}:session/AROA:ada-0123",
        aws__userid="AROA:ada",
    ),
    *every(
        "operator",
        "may not",
        "ssm:TerminateSession ssmmessages:OpenDataChannel",
        f"arn:aws:ssm:eu-west-1:{ACCOUNT}:session/bob-0123",
        aws__username="ada",
    ),
    # people: the bill
    *every(
        "operator",
        "may",
        "budgets:ViewBudget",
        f"arn:aws:budgets::{ACCOUNT}:budget/featuremill-eu-west-1-monthly",
    ),
    *every("operator", "may not", "budgets:ModifyBudget"),
    *every("operator", "may", "ce:GetCostAndUsage ce:ListCostAllocationTags pricing:GetProducts"),
    # people: what `doctor` asks
    *every(
        "operator",
        "may",
        "ec2:DescribeRegions servicequotas:GetServiceQuota elasticmapreduce:ListReleaseLabels"
        " elasticmapreduce:GetBlockPublicAccessConfiguration",
    ),
    *every("operator", "may not", "elasticmapreduce:PutBlockPublicAccessConfiguration"),
    # people: jobs are theirs to stop; making and deleting the stack is an administrator's
    *every("operator", "may", "emr-serverless:CancelJobRun", f"{APPLICATION}/jobruns/1"),
    *every("operator", "may not", "emr-serverless:CancelJobRun", f"{APPLICATION}x/jobruns/1"),
    *every("operator", "may not", "s3:ListBucketVersions s3:PutLifecycleConfiguration", BUCKET),
    *every(
        "operator",
        "may not",
        "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet cloudformation:DeleteStack",
        f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/featuremill/1",
    ),
]


@pytest.mark.parametrize(
    ("who", "need", "may"),
    [
        pytest.param(who, need, may, id=f"{who} {'may' if may else 'may not'} {need.action}")
        for who, need, may in TABLE
    ],
)
def test_who_may_do_what(who: str, need: Need, may: bool) -> None:
    assert allows(statements(who, Stack()), need) is may, need


def test_a_server_is_small_ours_and_within_the_stack() -> None:
    operator, ec2 = statements("operator", Stack()), f"arn:aws:ec2:eu-west-1:{ACCOUNT}"
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/ServerProfile"
    small = {**NEW, "ec2:InstanceType": "t3.medium", "ec2:InstanceProfile": profile}

    def may(resource: str, **other: str) -> bool:
        context = {**small, **{key.replace("__", ":"): value for key, value in other.items()}}
        return allows(operator, Need("ec2:RunInstances", resource, context))

    assert may(f"{ec2}:instance/*")
    assert not may(f"{ec2}:instance/*", ec2__InstanceType="p5.48xlarge")
    assert not may(f"{ec2}:instance/*", ec2__InstanceProfile=f"arn:aws:iam::{ACCOUNT}:x/Admin")
    assert not may(f"{ec2}:instance/*", **{"aws:RequestTag/featuremill": "another"})
    assert may(f"{ec2}:subnet/featuremill-Subnet")
    assert not may(f"{ec2}:subnet/subnet-another")
    assert not may(f"{ec2}:security-group/sg-another")


# ------------------------------------------------------------------------------- regions


@pytest.mark.parametrize("region", EU_REGIONS)
def test_people_may_work_in_the_eu(region: str) -> None:
    need = Need("emr-serverless:StartJobRun", APPLICATION.replace("eu-west-1", region))
    assert allows(statements("operator", Stack(region)), need, region)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-2", "eu-central-2"])
@pytest.mark.parametrize(
    "action", ["cloudformation:CreateStack", "s3:CreateBucket", "elasticmapreduce:RunJobFlow"]
)
def test_people_may_do_nothing_elsewhere_even_as_administrators_if_that_is_asked_for(
    region: str, action: str
) -> None:
    administrator = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    operator = [*statements("operator", Stack(DenyOtherRegions="true")), administrator]
    assert allows(operator, Need(action), "eu-west-1")
    assert not allows(operator, Need(action), region)
    stack = Stack(DenyOtherRegions="true", AllowedRegions=f"ca-west-1,{region}")
    widened = [*statements("operator", stack), administrator]
    assert allows(widened, Need(action), region)
    assert allows(widened, Need(action), "eu-west-3")
    assert not allows(widened, Need(action), "ap-south-1")


def test_the_policies_give_nothing_elsewhere_and_take_nothing_away_there() -> None:
    """What other policies let a person do in other regions is none of ours."""
    effects = {each["Effect"] for each in statements("operator", Stack(Studio="true"))}
    assert effects == {"Allow"}
    operator = statements("operator", Stack(Studio="true"))
    regional = {
        action
        for each in operator
        if each["Resource"] == "*"
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    } - {"ce:GetCostAndUsage", "ce:ListCostAllocationTags", "pricing:GetProducts"}
    assert "elasticmapreduce:ListEditors" in regional
    for action in regional:
        assert allows(operator, Need(action, "*", NEW), "eu-west-1"), action
        assert not allows(operator, Need(action, "*", NEW), "eu-west-3"), action


@pytest.mark.parametrize("deny", ["true", "false"])
@pytest.mark.parametrize(
    "action", ["ce:GetCostAndUsage", "pricing:GetProducts", "budgets:ViewBudget", "iam:PassRole"]
)
def test_services_without_regions_answer_from_elsewhere(action: str, deny: str) -> None:
    resource, context = "*", {}
    if action == "budgets:ViewBudget":
        resource = f"arn:aws:budgets::{ACCOUNT}:budget/featuremill-eu-west-1-monthly"
    if action == "iam:PassRole":
        resource, context = role("JobRole"), passed_to("emr-serverless")
    operator = statements("operator", Stack(DenyOtherRegions=deny))
    assert allows(operator, Need(action, resource, context), "us-east-1")


# ---------------------------------------------------------------------------------- trust


@pytest.mark.parametrize(
    ("name", "service", "arn"),
    [
        ("JobRole", "emr-serverless", APPLICATION),
        ("ServiceRole", "elasticmapreduce", CLUSTER),
        (
            "StudioRole",
            "elasticmapreduce",
            f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:studio/1",
        ),
    ],
)
def test_services_may_act_for_this_account_only(name: str, service: str, arn: str) -> None:
    trust = Stack(Studio="true").properties(name)["AssumeRolePolicyDocument"]["Statement"]

    def may(service: str, arn: str, account: str = ACCOUNT) -> bool:
        context = {"aws__SourceArn": arn, "aws__SourceAccount": account}
        return trusts(trust, f"{service}.amazonaws.com", **context)

    assert may(service, arn)
    assert not may(service, arn.replace(ACCOUNT, "210987654321"))
    assert not may(service, arn, "210987654321")
    assert not may("lambda", arn)
    assert not trusts(trust, f"{service}.amazonaws.com")


def test_a_job_of_another_application_does_not_get_the_role() -> None:
    trust = Stack().properties("JobRole")["AssumeRolePolicyDocument"]["Statement"]
    another = APPLICATION.replace("Application.ApplicationId", "00fanother")
    context = {"aws__SourceArn": another, "aws__SourceAccount": ACCOUNT}
    assert not trusts(trust, "emr-serverless.amazonaws.com", **context)


@pytest.mark.parametrize("name", ["NodeRole", "JobNodeRole", "ServerRole"])
def test_only_machines_get_the_roles_of_machines(name: str) -> None:
    trust = Stack().properties(name)["AssumeRolePolicyDocument"]["Statement"]
    assert trusts(trust, "ec2.amazonaws.com")
    assert not trusts(trust, "emr-serverless.amazonaws.com")


# ------------------------------------------------------------------- keys, Studio, sizes


@pytest.mark.parametrize("who", [*MACHINES, "ServiceRole", "operator"])
def test_a_key_of_ones_own_may_be_used_by_who_needs_the_data(who: str) -> None:
    assert allows(statements(who, Stack(KmsKeyArn=KEY)), Need("kms:Decrypt", KEY))
    assert not allows(statements(who, Stack(KmsKeyArn=KEY)), Need("kms:Decrypt", f"{KEY}x"))
    assert not allows(statements(who, Stack()), Need("kms:Decrypt", KEY))


@pytest.mark.parametrize("who", ["NodeRole", "JobNodeRole"])
def test_nodes_use_a_key_of_ones_own_as_emr_asks_of_an_instance_profile(who: str) -> None:
    asked = ["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey"]
    nodes = statements(who, Stack(KmsKeyArn=KEY))
    assert [one for one in asked if not allows(nodes, Need(f"kms:{one}", KEY))] == []


def test_nodes_read_the_certificate_only_where_they_talk_by_it() -> None:
    (certificate,) = below("tls")
    for who in ("NodeRole", "JobNodeRole"):
        open_ = statements(who, Stack(EncryptInTransit="false"))
        assert not allows(open_, Need("s3:GetObject", certificate))


def test_a_studio_may_do_what_aws_own_policy_for_it_lets_it_do() -> None:
    """The actions of its page "Create an EMR Studio service role", on what is the stack's."""
    studio = statements("StudioRole", Stack(Studio="true"))
    ec2, tag = f"arn:aws:ec2:eu-west-1:{ACCOUNT}", "for-use-with-amazon-emr-managed-policies"
    asked = [
        Need("s3:GetEncryptionConfiguration", BUCKET),
        Need("s3:ListBucket", BUCKET),
        *(Need(f"s3:{each}Object", *below("notebooks")) for each in ("Get", "Put", "Delete")),
        *(
            # without a condition
            Need("ec2:ModifyNetworkInterfaceAttribute", f"{ec2}:{each}/x")
            for each in ("instance", "network-interface", "security-group")
        ),
        Need(
            "ec2:CreateNetworkInterface",
            f"{ec2}:network-interface/*",
            {f"aws:RequestTag/{tag}": "true"},
        ),
        Need("ec2:CreateNetworkInterface", f"{ec2}:subnet/featuremill-SecondSubnet"),
        Need(
            "ec2:CreateTags",
            f"{ec2}:network-interface/eni-1",
            {"ec2:CreateAction": "CreateNetworkInterface"},
        ),
        Need(
            "ec2:DeleteNetworkInterface",
            f"{ec2}:network-interface/eni-1",
            {f"aws:ResourceTag/{tag}": "true"},
        ),
        Need("elasticmapreduce:ListInstances"),
    ]
    assert [need for need in asked if not allows(studio, need)] == []
    theirs = Need("ec2:DeleteNetworkInterface", f"{ec2}:network-interface/eni-1")
    assert not allows(studio, theirs)


def test_the_studio_may_be_used_where_there_is_one() -> None:
    need = Need(
        "elasticmapreduce:CreateEditor", f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:editor/1"
    )
    assert allows(statements("operator", Stack(Studio="true")), need)
    assert not allows(statements("operator", Stack()), need)


@pytest.mark.parametrize(
    "name", [name for name in Stack().resources if name.endswith("Policy") and name[:6] != "Bucket"]
)
def test_policies_are_short_enough_for_iam(name: str) -> None:
    widest = Stack(
        Studio="true",
        KmsKeyArn=KEY,
        AllowedRegions="us-east-1,us-west-2",
        DenyOtherRegions="true",
        BucketName="b" * 63,
    )
    document = json.dumps(widest.properties(name)["PolicyDocument"], separators=(",", ":"))
    assert len(document) <= LARGEST_POLICY


def test_policies_are_attached_to_whom_was_named() -> None:
    stack = Stack(OperatorUser="ada", OperatorRole="analyst", OperatorGroup="lab")
    for name in ("OperatorPolicy", "OperatorMachinesPolicy"):
        properties = stack.properties(name)
        assert properties["Users"] == ["ada"]
        assert properties["Roles"] == ["analyst"]
        assert properties["Groups"] == ["lab"]
        assert not {"Users", "Roles", "Groups"} & set(Stack().properties(name))


def test_a_permission_set_of_identity_center_knows_the_policies_by_name() -> None:
    stack = Stack()
    names = [
        stack.properties(name)["ManagedPolicyName"]
        for name in ("OperatorPolicy", "OperatorMachinesPolicy")
    ]
    assert names == list(operator_policies("featuremill", "eu-west-1"))
    with pytest.raises(ConfigError, match="role of IAM Identity Center") as refused:
        StackOptions(operator="AWSReservedSSO_Data_0123456789abcdef", operator_kind="role")
    assert all(name in refused.value.remedy for name in names)


def test_policies_reach_the_people_they_are_for(aws: Aws) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName="ada")
    deploy(aws, OperatorUser="ada")
    attached = iam.list_attached_user_policies(UserName="ada")["AttachedPolicies"]
    assert len(attached) == 2
    assert iam.list_access_keys(UserName="ada")["AccessKeyMetadata"] == []


# --------------------------------------------- what the commands call, the operator may


def test_the_operator_may_make_every_call_of_the_daily_commands(aws: Aws, tmp_path: Path) -> None:
    """The needs are derived from the calls that were recorded."""
    outputs = deploy(aws, BucketName="pictures")
    calls: list[tuple[str, str, Mapping[str, Any]]] = []
    recorded = Aws(
        aws.region,
        endpoint_url=aws.endpoint_url,
        recorder=lambda *call: calls.append(call),
        sleep=lambda _: None,
    )
    place = Place("featuremill", aws.region, ACCOUNT, outputs)
    run_daily_commands(recorded, place, tmp_path)

    operator = statements("operator", real(outputs))
    wanted = [need for call in calls for need in needs(*call, outputs)]
    assert len({need.action for need in wanted}) > 30
    # and AWS' models take each of them as it was sent
    assert [fault for call in calls for fault in faults_of_call(*call)] == []
    refused = {(need.action, need.resource) for need in wanted if not allows(operator, need)}
    assert refused == set()


def run_daily_commands(aws: Aws, place: Place, folder: Path) -> None:
    (folder / "photos" / "Apple").mkdir(parents=True)
    (folder / "photos" / "Apple" / "0.jpg").write_bytes(b"an apple")
    upload(aws, place, open_source(str(folder / "photos")))
    digest = "0123456789ab"
    put = aws.client("s3").put_object
    put(
        Bucket="pictures",
        Key=f"code/featuremill-0.1.0-mobilenetv2-x86_64-{digest}.tar.gz",
        Body=b"x",
    )
    put(Bucket="pictures", Key=f"code/featuremill-job-{digest}.py", Body=b"x")
    config = RunConfig(source="s3://pictures/input", destination="s3://pictures/results/main")
    job = serverless.submit(aws, place, config, "main")
    status(aws, place, job)
    put(Bucket="pictures", Key="results/main/pca.csv", Body=b"1,2")
    fetch(aws, place, folder / "results", "main")
    stop.stop(aws, stop.look(aws, place, None).job)
    machines = Machines("x86_64")
    stop.stop(aws, job_cluster.submit(aws, place, config, "main", machines))
    clusters.up(aws, place, machines, read_notebooks())
    clusters.standing(aws, place)
    with suppress(CloudError):
        # moto gives fleets no machines
        access.find(aws, place)
    clusters.down(aws, place)
    start_server(aws, place)
    passwords.read(aws, place, passwords.SERVER)
    access.find(aws, place)
    server.down(aws, place)
    ask_around(aws, place)


def start_server(aws: Aws, place: Place) -> None:
    """As the command does; the machine says at once that it is ready."""
    machine = Aws(aws.region, endpoint_url=aws.endpoint_url).client("s3")
    machine.put_object(Bucket="pictures", Key="logs/server/1/ready", Body=b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "launched", lambda: "1")
        server.up(aws, place)


def ask_around(aws: Aws, place: Place) -> None:
    """What is only asked, and a probe's copies."""
    doctor.doctor(aws, aws.region, place)
    probe.copy(aws, place, "probe-images")
    probe.remove(aws, place, ("probe-images",))


def real(outputs: Mapping[str, str]) -> Stack:
    """The template as it was deployed: with the names that AWS made up."""
    stack = Stack(BucketName=outputs["Bucket"])
    roles = {"JobRole": outputs["JobRoleArn"], "ServiceRole": outputs["ServiceRole"]}
    attribute = stack._attribute

    def deployed(name: str, what: str) -> str:
        if name == "Application":
            return outputs["ApplicationId"]
        return roles.get(name) or attribute(name, what)

    stack._attribute = deployed  # type: ignore[method-assign]
    stack.refs |= {"Subnet": outputs["SubnetId"]}
    stack.refs |= {"ServerSecurityGroup": outputs["ServerSecurityGroup"]}
    return stack
