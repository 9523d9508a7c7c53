"""The template: linted, read offline, and deployed; what it makes is looked at piece by piece."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.stub import Stubber

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import EU_REGIONS
from featuremill.cloud.stack.budget import budget_name, forget, keep
from featuremill.cloud.stack.parameters import LARGEST, StackOptions, template_body
from tests.cloud.offline import Stack, load

OUTPUTS = {
    "Bucket",
    "ApplicationId",
    "Architecture",
    "MaximumVcpu",
    "JobRoleArn",
    "LogGroup",
    "BudgetName",
    "OperatorPolicyArn",
    "ServiceRole",
    "InstanceProfile",
    "JobInstanceProfile",
    "SecurityConfiguration",
    "SubnetId",
    "SecondSubnetId",
    "VpcId",
    "PrimarySecurityGroup",
    "CoreSecurityGroup",
    "ServerInstanceProfile",
    "ServerSecurityGroup",
}
ALL_OPTIONS = {
    "Studio": "true",
    "CreateOperator": "true",
    "JupyterCidr": "198.51.100.7/32",
    "AlertEmail": "me@example.org",
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0a1b",
    "AllowedRegions": "us-east-1,us-west-2",
    "OperatorGroup": "analysts",
}
EMR_TAG = "for-use-with-amazon-emr-managed-policies"


def deploy(aws: Aws, **parameters: str) -> dict[str, str]:
    """Make the stack; gives its outputs."""
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName="featuremill",
        TemplateBody=template_body(),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName="featuremill")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@pytest.mark.slow
def test_cfn_lint_finds_nothing_in_any_region_of_the_eu(tmp_path: Path) -> None:
    file = tmp_path / "featuremill.yaml"
    file.write_text(template_body())
    program = Path(sys.executable).with_name("cfn-lint")
    command = [program, "--regions", *EU_REGIONS, "--template", file]
    found = subprocess.run(command, capture_output=True, text=True)
    # the budget is made by a call after the stack, which keeps its parameters
    unused = set(re.findall(r"^W2001 Parameter (\w+) not used", found.stdout, re.MULTILINE))
    assert unused == {"MonthlyBudget", "AlertEmail"}
    command += ["--ignore-checks", "W2001"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_template_is_short_enough_to_be_sent_as_text() -> None:
    assert len(template_body().encode()) <= LARGEST


def test_every_check_that_is_skipped_says_why() -> None:
    for name, resource in load(template_body())["Resources"].items():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ()):
            assert len(skip["comment"]) > 30, f"{name}: {skip['id']}"


# ------------------------------------------------------------------------------- regions


def test_the_regions_are_the_same_everywhere() -> None:
    template = load(template_body())
    rule = template["Rules"]["StaysInTheEU"]["Assertions"][0]
    assert template["Mappings"]["Regions"]["EU"]["Names"] == list(EU_REGIONS)
    assert rule["Assert"]["Fn::Or"][0]["Fn::Contains"][0] == list(EU_REGIONS)
    assert all(region in rule["AssertDescription"] for region in EU_REGIONS)


@pytest.mark.parametrize("region", EU_REGIONS)
def test_the_rules_let_the_eu_pass(region: str) -> None:
    assert Stack(region).refused() == []


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-2", "eu-central-2"])
def test_the_rules_refuse_other_regions_unless_they_are_named(region: str) -> None:
    (why,) = Stack(region).refused()
    assert "--allow-region" in why
    # which ones were named, the commands check
    assert Stack(region, AllowedRegions=f"ca-west-1,{region}").refused() == []


def test_rules_look_for_text_in_lists_that_are_written_out() -> None:
    """AWS documents no rule that looks in the value of a list parameter."""

    def looked_in(node: object) -> Iterator[object]:
        if isinstance(node, dict):
            for name, value in node.items():
                if name == "Fn::Contains":
                    yield value[0]
                yield from looked_in(value)
        if isinstance(node, list):
            for each in node:
                yield from looked_in(each)

    template = load(template_body())
    lists = {name for name, each in template["Parameters"].items() if "List" in each["Type"]}
    assert lists == set()
    found = list(looked_in(template["Rules"]))
    assert found == [list(EU_REGIONS)]


def test_the_rules_refuse_two_operators_at_once() -> None:
    assert Stack(CreateOperator="true", OperatorUser="ada").refused()
    assert Stack(CreateOperator="true").refused() == []


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("JupyterCidr", "", True),
        ("JupyterCidr", "198.51.100.7/32", True),
        ("JupyterCidr", "0.0.0.0/0", False),
        ("JupyterCidr", "10.0.0.0/7", False),
        ("KmsKeyArn", "alias/mine", False),
        ("AlertEmail", "me at home", False),
        ("BucketName", "My_Bucket", False),
        ("OperatorUser", "arn:aws:iam::123456789012:user/ada", False),
        ("ReleaseLabel", "emr-spark-8.1.0", True),
        ("ReleaseLabel", "spark-4", False),
    ],
)
def test_parameters_refuse_what_is_wrong(name: str, value: str, accepted: bool) -> None:
    pattern = load(template_body())["Parameters"][name]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is accepted


def test_the_command_and_the_template_agree_on_the_parameters() -> None:
    declared = load(template_body())["Parameters"]
    wanted = StackOptions(
        allowed_regions=("us-east-1",),
        architecture="arm64",
        bucket="pictures",
        email="me@example.org",
        budget=20,
        max_vcpu=32,
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/0a1b",
        studio=True,
        jupyter_cidr="198.51.100.7/32",
        operator="ada",
    )
    for name, value in wanted.first_parameters().items():
        assert "AllowedPattern" not in declared[name] or re.fullmatch(
            declared[name]["AllowedPattern"], value
        )
        assert value in declared[name].get("AllowedValues", [value])
    assert (
        str(declared["MonthlyBudget"]["Default"])
        == StackOptions().first_parameters()["MonthlyBudget"]
    )


# -------------------------------------------------- what cfn-lint cannot see, read offline


def test_nothing_that_costs_by_the_hour_is_made() -> None:
    made = Stack(**ALL_OPTIONS).resources.values()
    kinds = {each["Type"] for each in made}
    costly = ("NatGateway", "EIP", "KMS::", "LoadBalanc", "EC2::Instance", "EMR::Cluster")
    assert [kind for kind in kinds if any(word in kind for word in costly)] == []
    endpoints = [each for each in made if each["Type"] == "AWS::EC2::VPCEndpoint"]
    assert [each["Properties"]["VpcEndpointType"] for each in endpoints] == ["Gateway"]


def test_everything_that_can_have_a_tag_has_the_stacks() -> None:
    untaggable = (
        "AWS::S3::BucketPolicy",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::EC2::Route",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::InstanceProfile",
        "AWS::EMR::SecurityConfiguration",
    )
    for name, resource in Stack(**ALL_OPTIONS).resources.items():
        if resource["Type"] not in untaggable:
            properties = resource["Properties"]
            tags = properties.get("Tags") or properties.get("ResourceTags")
            assert {"Key": "featuremill", "Value": "featuremill"} in tags, name


def test_what_emr_works_with_has_the_tag_of_its_managed_policy() -> None:
    for name in ("Vpc", "Subnet", "PrimarySecurityGroup", "CoreSecurityGroup"):
        assert {"Key": EMR_TAG, "Value": "true"} in Stack().properties(name)["Tags"], name


def test_nodes_are_encrypted_and_answer_only_imds_2() -> None:
    plain = Stack().properties("SecurityConfiguration")["SecurityConfiguration"]
    assert plain["InstanceMetadataServiceConfiguration"] == {
        "MinimumInstanceMetadataServiceVersion": 2,
        "HttpPutResponseHopLimit": 2,
    }
    assert plain["EncryptionConfiguration"] == {
        "EnableInTransitEncryption": True,
        "InTransitEncryptionConfiguration": {
            "TLSCertificateConfiguration": {
                "CertificateProviderType": "PEM",
                "S3Object": "s3://pictures/tls/certificates.zip",
            }
        },
        "EnableAtRestEncryption": True,
        "AtRestEncryptionConfiguration": {
            "S3EncryptionConfiguration": {"EncryptionMode": "SSE-S3"}
        },
    }


def test_a_key_of_ones_own_also_encrypts_the_disks() -> None:
    key = ALL_OPTIONS["KmsKeyArn"]
    with_key = Stack(KmsKeyArn=key).properties("SecurityConfiguration")["SecurityConfiguration"]
    assert with_key["EncryptionConfiguration"]["AtRestEncryptionConfiguration"] == {
        "S3EncryptionConfiguration": {"EncryptionMode": "SSE-KMS", "AwsKmsKey": key},
        "LocalDiskEncryptionConfiguration": {
            "EncryptionKeyProviderType": "AwsKms",
            "AwsKmsKey": key,
            "EnableEbsEncryption": True,
        },
    }


def test_the_application_is_bounded_and_stops_itself() -> None:
    application = Stack(MaximumVcpu="32", Architecture="arm64").properties("Application")
    assert application["ReleaseLabel"] == "emr-spark-8.1.0"
    assert application["Architecture"] == "ARM64"
    assert application["MaximumCapacity"]["Cpu"] == "32 vCPU"
    # more than the largest worker has for each vCPU, so that vCPUs are the limit
    assert application["MaximumCapacity"]["Memory"] == "320 GB"
    assert application["AutoStopConfiguration"] == {"Enabled": True, "IdleTimeoutMinutes": 15}
    # what AWS keeps by itself for 30 days `destroy` would not reach
    kept = application["MonitoringConfiguration"]["ManagedPersistenceMonitoringConfiguration"]
    assert kept == {"Enabled": False}
    assert application["InteractiveConfiguration"]["LivyEndpointEnabled"] is True


def test_the_bucket_outlives_the_stack_but_not_a_failed_creation() -> None:
    for name in ("Bucket", "BucketPolicy"):
        resource = load(template_body())["Resources"][name]
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"


def test_only_what_was_asked_for_is_made() -> None:
    few, all_of = Stack().resources, Stack(**ALL_OPTIONS).resources
    assert set(all_of) - set(few) == {
        "JupyterFromOutside",
        "Operator",
        "StudioWithIam",
        "StudioRole",
        "StudioEngineSecurityGroup",
        "StudioWorkspaceSecurityGroup",
        "StudioEngineFromWorkspace",
        "StudioWorkspaceToEngine",
    }


def test_the_operator_that_is_made_has_no_key_and_no_password() -> None:
    made = Stack(CreateOperator="true").resources
    assert set(made["Operator"]["Properties"]) == {"ManagedPolicyArns", "Tags"}
    assert not [each for each in made.values() if each["Type"] == "AWS::IAM::AccessKey"]


# ------------------------------------------------------------- deployed, piece by piece


def test_a_deployed_stack_has_all_outputs(aws: Aws) -> None:
    assert set(deploy(aws)) == OUTPUTS
    assert set(load(template_body())["Outputs"]) == OUTPUTS | {"StudioUrl"}


def test_the_bucket_is_closed_encrypted_versioned_and_tidy(aws: Aws) -> None:
    bucket, s3 = deploy(aws)["Bucket"], aws.client("s3")
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    assert len(blocked) == 4
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert ownership["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    by_default = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert by_default == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    logs, old, aborted = rules
    assert (logs["Filter"]["Prefix"], logs["Expiration"]["Days"]) == ("logs/", 30)
    assert logs["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
    assert old["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert old["Expiration"]["ExpiredObjectDeleteMarker"] is True
    assert aborted["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    (deny,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert deny["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def test_a_key_of_ones_own_encrypts_the_bucket(aws: Aws) -> None:
    bucket = deploy(aws, BucketName="pictures", KmsKeyArn=ALL_OPTIONS["KmsKeyArn"])["Bucket"]
    assert bucket == "pictures"
    found = aws.client("s3").get_bucket_encryption(Bucket=bucket)
    (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
    (asked,) = Stack(KmsKeyArn=ALL_OPTIONS["KmsKeyArn"]).properties("Bucket")["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert asked["BucketKeyEnabled"] is True
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": ALL_OPTIONS["KmsKeyArn"],
    }


def test_no_port_is_open_to_anybody_outside(aws: Aws) -> None:
    outputs, ec2 = deploy(aws), aws.client("ec2")
    for name in ("PrimarySecurityGroup", "CoreSecurityGroup", "ServerSecurityGroup"):
        (group,) = ec2.describe_security_groups(GroupIds=[outputs[name]])["SecurityGroups"]
        assert [rule for rule in group["IpPermissions"] if rule["IpRanges"]] == [], name
        leaving = [rule for rule in group["IpPermissionsEgress"] if rule["IpRanges"]]
        # what AWS asks of nodes is every port to S3, which answers on two
        out = {80, 443} if name != "ServerSecurityGroup" else {443}
        assert {rule["FromPort"] for rule in leaving} == out, name
        assert all(rule["FromPort"] == rule["ToPort"] for rule in leaving), name


def test_nodes_reach_each_other_by_the_rules_that_emr_would_add(aws: Aws) -> None:
    outputs, ec2 = deploy(aws), aws.client("ec2")
    nodes = {outputs["PrimarySecurityGroup"], outputs["CoreSecurityGroup"]}
    for group in ec2.describe_security_groups(GroupIds=list(nodes))["SecurityGroups"]:
        rules = {rule["IpProtocol"]: rule for rule in group["IpPermissions"]}
        assert set(rules) == {"tcp", "udp", "icmp"}
        for rule in rules.values():
            assert {pair["GroupId"] for pair in rule["UserIdGroupPairs"]} == nodes
        leaving = [each for each in group["IpPermissionsEgress"] if each["UserIdGroupPairs"]]
        assert {pair["GroupId"] for each in leaving for pair in each["UserIdGroupPairs"]} == nodes


def test_jupyterhub_is_opened_to_the_addresses_that_were_named(aws: Aws) -> None:
    outputs = deploy(aws, JupyterCidr="198.51.100.7/32")
    ids = [outputs["PrimarySecurityGroup"]]
    (group,) = aws.client("ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"]
    opened = [rule for rule in group["IpPermissions"] if rule["IpRanges"]]
    (rule,) = opened
    assert (rule["FromPort"], rule["ToPort"]) == (9443, 9443)
    assert [each["CidrIp"] for each in rule["IpRanges"]] == ["198.51.100.7/32"]


def test_the_network_has_a_way_out_and_one_to_s3(aws: Aws) -> None:
    outputs, ec2 = deploy(aws), aws.client("ec2")
    here = [{"Name": "vpc-id", "Values": [outputs["VpcId"]]}]
    subnets = ec2.describe_subnets(Filters=here)["Subnets"]
    assert [subnet["MapPublicIpOnLaunch"] for subnet in subnets] == [True, True]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    (endpoint,) = ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"] == "com.amazonaws.eu-west-1.s3"
    tables = ec2.describe_route_tables(Filters=here)["RouteTables"]
    assert endpoint["RouteTableIds"][0] in {table["RouteTableId"] for table in tables}
    targets = {route.get("GatewayId", "")[:4] for table in tables for route in table["Routes"]}
    assert "igw-" in targets
    assert not any("NatGatewayId" in route for table in tables for route in table["Routes"])


def test_the_application_log_group_and_studio_are_there(aws: Aws) -> None:
    outputs = deploy(aws, Studio="true", Architecture="arm64")
    about = {"applicationId": outputs["ApplicationId"]}
    application = aws.client("emr-serverless").get_application(**about)["application"]
    assert application["releaseLabel"] == "emr-spark-8.1.0"
    assert application["architecture"] == "ARM64"
    assert application["maximumCapacity"]["cpu"] == "16 vCPU"
    assert application["interactiveConfiguration"]["studioEnabled"] is True
    assert application["tags"] == {"featuremill": "featuremill"}
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=outputs["LogGroup"])
    assert groups["logGroups"][0]["retentionInDays"] == 30
    assert outputs["StudioUrl"].startswith("https://")
    identifier = outputs["StudioUrl"].removeprefix("https://").partition(".")[0]
    studio = aws.client("emr").describe_studio(StudioId=identifier)["Studio"]
    assert studio["AuthMode"] == "IAM"
    assert studio["DefaultS3Location"] == f"s3://{outputs['Bucket']}/notebooks/studio"


def assert_budget(aws: Aws, name: str) -> None:
    budgets, about = aws.client("budgets"), {"AccountId": "123456789012", "BudgetName": name}
    budget = budgets.describe_budget(**about)["Budget"]
    assert (budget["BudgetType"], budget["TimeUnit"]) == ("COST", "MONTHLY")
    assert float(budget["BudgetLimit"]["Amount"]) == 10
    assert budget["CostTypes"]["IncludeCredit"] is False
    told = budgets.describe_notifications_for_budget(**about)["Notifications"]
    assert [each["Threshold"] for each in told] == [50, 80, 100]
    for each in told:
        who = budgets.describe_subscribers_for_notification(**about, Notification=each)
        assert [one["Address"] for one in who["Subscribers"]] == ["me@example.org"]


def test_each_region_has_a_budget_of_its_own_that_no_change_of_the_stack_replaces(
    endpoint: str, aws: Aws
) -> None:
    kinds = {each["Type"] for each in load(template_body())["Resources"].values()}
    assert "AWS::Budgets::Budget" not in kinds
    north = Aws("eu-north-1", endpoint_url=endpoint)
    for there in (aws, north):
        outputs = deploy(there, AlertEmail="me@example.org")
        for _ in range(2):  # again after each deployment, with what may have changed
            keep(there, "featuremill", there.region)
        assert outputs["BudgetName"] == budget_name("featuremill", there.region)
        assert_budget(there, outputs["BudgetName"])
    forget(north, "featuremill", "eu-north-1")
    (left,) = aws.client("budgets").describe_budgets(AccountId="123456789012")["Budgets"]
    assert left["BudgetName"] == "featuremill-eu-west-1-monthly"


def test_a_budget_that_is_refused_is_a_warning_and_the_stack_stays(aws: Aws) -> None:
    deploy(aws)
    said: list[str] = []
    aws.report = said.append
    with Stubber(aws.client("budgets")) as budgets:
        budgets.add_client_error("delete_budget", "NotFoundException")
        budgets.add_client_error("create_budget", "AccessDeniedException")
        keep(aws, "featuremill", "eu-west-1")
    *_, warning = said
    assert warning.startswith("warning: there is no budget featuremill-eu-west-1-monthly")
    assert "IAM user and role access to Billing information" in warning


def test_a_deleted_stack_leaves_the_bucket_and_nothing_else(aws: Aws) -> None:
    outputs = deploy(aws, Studio="true", CreateOperator="true", JupyterCidr="198.51.100.7/32")
    aws.client("cloudformation").delete_stack(StackName="featuremill")
    ec2, iam = aws.client("ec2"), aws.client("iam")
    here = [{"Name": "vpc-id", "Values": [outputs["VpcId"]]}]
    assert ec2.describe_vpcs(Filters=here)["Vpcs"] == []
    assert ec2.describe_security_groups(Filters=here)["SecurityGroups"] == []
    assert ec2.describe_internet_gateways()["InternetGateways"] == []
    assert iam.list_roles()["Roles"] == []
    assert iam.list_policies(Scope="Local")["Policies"] == []
    assert iam.list_users()["Users"] == []
    assert aws.client("logs").describe_log_groups()["logGroups"] == []
    assert aws.client("budgets").describe_budgets(AccountId="123456789012")["Budgets"] == []
    left = aws.client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in left] == [outputs["Bucket"]]
