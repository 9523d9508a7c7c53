"""`cloud deploy`: changes shown, asked, made and followed; whatever goes wrong explained."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.dry_run import DryRun
from featuremill.cloud.aws.regions import SERVERLESS_RELEASE
from featuremill.cloud.stack import deploy as stack
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.confirm import answers_of
from featuremill.cloud.stack.events import events, failure, follow
from featuremill.cloud.stack.parameters import StackOptions, template_body
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError
from tests.cloud.scripted import Scripted, answering

PARAMETERS = [
    "AlertEmail",
    "AllowedRegions",
    "Architecture",
    "BucketName",
    "CreateOperator",
    "JupyterCidr",
    "KmsKeyArn",
    "MaximumVcpu",
    "MonthlyBudget",
    "OperatorGroup",
    "OperatorRole",
    "OperatorUser",
    "Studio",
]

# what is needed to see a stack live: the real one is tested beside its template
SMALL: dict[str, Any] = {
    "Parameters": {
        name: {"Type": "String", "Default": {"Architecture": "x86_64"}.get(name, "")}
        for name in PARAMETERS
    },
    "Conditions": {"Named": {"Fn::Not": [{"Fn::Equals": [{"Ref": "BucketName"}, ""]}]}},
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "Properties": {
                "BucketName": {"Fn::If": ["Named", {"Ref": "BucketName"}, {"Ref": "AWS::NoValue"}]}
            },
        },
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": {"Fn::Sub": "/featuremill/${AWS::StackName}"}},
        },
    },
    "Outputs": {
        "Bucket": {"Value": {"Ref": "Bucket"}},
        "LogGroup": {"Value": {"Ref": "Logs"}},
        "Architecture": {"Value": {"Ref": "Architecture"}},
    },
}


@pytest.fixture(autouse=True)
def small_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "template_body", lambda: json.dumps(SMALL))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def deploy(aws: Aws, *options: str, typed: str | None = None) -> Result:
    command = ["cloud", "deploy", "--endpoint-url", str(aws.endpoint_url), *options]
    return CliRunner().invoke(main, command, input=typed)


def parameters_of(aws: Aws, name: str = "featuremill") -> dict[str, str]:
    found = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}


def event(resource: str, kind: str, state: str, reason: str = "", number: int = 0) -> Any:
    return {
        "EventId": f"{resource}-{state}-{number}",
        "LogicalResourceId": resource,
        "ResourceType": kind,
        "ResourceStatus": state,
        "ResourceStatusReason": reason,
    }


STACK = "AWS::CloudFormation::Stack"


def test_a_stack_is_made_followed_and_remembered(aws: Aws, folder: Path) -> None:
    result = deploy(aws, "--email", "me@example.org", "--architecture", "arm64", typed="y\n")
    assert result.exit_code == 0, result.output
    assert "add      AWS::S3::Bucket" in result.stderr
    assert "Make these 2 changes in account 123456789012?" in result.stderr
    assert "CREATE_COMPLETE  AWS::CloudFormation::Stack  featuremill" in result.stderr
    known = project_file.load(folder)
    assert (known.stack, known.region, known.account) == (
        "featuremill",
        "eu-west-1",
        "123456789012",
    )
    assert known.outputs["Architecture"] == "arm64"
    aws.client("s3").head_bucket(Bucket=known.output("Bucket"))
    given = parameters_of(aws)
    assert (given["AlertEmail"], given["MonthlyBudget"]) == ("me@example.org", "10")
    described = aws.client("cloudformation").describe_stacks(StackName="featuremill")["Stacks"][0]
    assert described["Tags"] == [{"Key": "featuremill", "Value": "featuremill"}]


def test_what_is_not_agreed_to_leaves_nothing(aws: Aws, folder: Path) -> None:
    result = deploy(aws, typed="n\n")
    assert result.exit_code == 0, result.output
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert not (folder / project_file.FILE).exists()


def test_a_second_deploy_changes_only_what_is_said(aws: Aws, folder: Path) -> None:
    assert deploy(aws, "--yes", "--email", "me@example.org", "--budget", "25").exit_code == 0
    result = deploy(aws, "--max-vcpu", "64", typed="y\n")
    assert result.exit_code == 0, result.output
    assert "Make changes of settings alone" in result.stderr
    given = parameters_of(aws)
    assert given["AlertEmail"] == "me@example.org"
    assert (given["MonthlyBudget"], given["MaximumVcpu"]) == ("25", "64")


def test_a_job_submitted_before_is_not_forgotten(aws: Aws, folder: Path) -> None:
    assert deploy(aws, "--yes").exit_code == 0
    known = project_file.load(folder)
    project_file.save(Place(**{**vars(known), "last_job": {"id": "00f"}}), folder)
    assert deploy(aws, "--yes", "--budget", "11").exit_code == 0
    assert project_file.load(folder).last_job == {"id": "00f"}


def test_no_changes_are_no_failure(aws: Aws, folder: Path) -> None:
    assert deploy(aws, "--yes").exit_code == 0
    (folder / project_file.FILE).unlink()
    result = deploy(aws)
    assert result.exit_code == 0, result.output
    assert "as it should be: nothing to change" in result.stderr
    assert project_file.load(folder).outputs["Bucket"]
    change_sets = aws.client("cloudformation").list_change_sets(StackName="featuremill")
    assert [each["Status"] for each in change_sets["Summaries"]] == ["CREATE_COMPLETE"]


def test_a_dry_run_shows_every_call_and_makes_none(folder: Path) -> None:
    with answering() as endpoint:
        aws = Aws("eu-west-1", endpoint_url=endpoint.address)
        result = deploy(aws, "--dry-run", "--budget", "25")
    assert result.exit_code == 0, result.output
    assert endpoint.requests == []
    for call in ("create_change_set", "execute_change_set", "describe_stack_events"):
        assert f"cloudformation.{call}" in result.stdout
    assert "MonthlyBudget=25" in result.stdout
    assert list(folder.iterdir()) == []


def test_an_email_that_comes_later_changes_the_budget_and_not_the_stack(
    aws: Aws, folder: Path
) -> None:
    assert deploy(aws, "--yes", "--budget", "25").exit_code == 0
    later = deploy(aws, "--yes", "--email", "me@example.org")
    assert later.exit_code == 0, later.output
    about = {"AccountId": "123456789012", "BudgetName": "featuremill-eu-west-1-monthly"}
    budgets = aws.client("budgets")
    assert budgets.describe_budget(**about)["Budget"]["BudgetLimit"]["Amount"] == "25"
    told = budgets.describe_notifications_for_budget(**about)["Notifications"]
    assert [each["Threshold"] for each in told] == [50, 80, 100]


@pytest.mark.parametrize(
    ("options", "problem", "remedy"),
    [
        ({"region": "us-east-1"}, "region is 'us-east-1'", "--allow-region us-east-1"),
        ({"region": "eu-west-2"}, "must be in the EU", "Choose one of them"),
        ({"stack": "my stack"}, "--stack is 'my stack'", "default is featuremill"),
        ({"stack": "a" * 41}, "up to 40 letters", "default is featuremill"),
        ({"stack": "1st"}, "--stack is '1st'", "default is featuremill"),
        ({"bucket": "My.Bucket"}, "--bucket is 'My.Bucket'", "Leave it out"),
        ({"email": "me"}, "--email is 'me'", "me@example.org"),
        ({"budget": 0}, "--budget is 0, must be from 1", "default is 10"),
        ({"max_vcpu": 2}, "--max-vcpu is 2", "default is 16"),
        ({"max_vcpu": 5_000}, "--max-vcpu is 5,000, must be up to 4,000", "cloud doctor"),
        ({"architecture": "arm"}, "must be x86_64 or arm64", "Choose one"),
        ({"kms_key": "alias/x"}, "the ARN of a key in eu-west-1", "aws kms list-keys"),
        ({"jupyter_cidr": "0.0.0.0/0"}, "it would open JupyterHub to the world", "/32"),
        ({"jupyter_cidr": "::/0"}, "--jupyter-cidr is '::/0'", "198.51.100.7/32"),
        ({"jupyter_cidr": "198.51.100.7/24"}, "has host bits set", "198.51.100.7/32"),
        ({"operator": "arn:aws:iam::1:user/a"}, "--operator is", "not the ARN"),
        ({"operator": "ada", "operator_kind": "team"}, "user or role or group", "Choose one"),
        ({"operator": "ada", "create_operator": True}, "contradict each other", "one of them"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(
    options: dict[str, Any], problem: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        StackOptions(**options)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_a_region_outside_the_eu_takes_a_word_on_purpose() -> None:
    wanted = StackOptions(region="us-east-1", allowed_regions=("us-east-1",))
    assert wanted.parameters == {"AllowedRegions": "us-east-1"}


@pytest.mark.parametrize("kind", ["user", "role", "group"])
def test_the_operator_policy_goes_to_whom_it_is_for(kind: str) -> None:
    given = StackOptions(operator="ada", operator_kind=kind).parameters
    assert given == {f"Operator{kind.title()}": "ada"}
    assert StackOptions(create_operator=True).parameters == {"CreateOperator": "true"}


def test_every_parameter_is_one_of_the_template() -> None:
    """Also that the template fits in one call, which takes 51,200 bytes."""
    body = template_body()
    assert len(body.encode()) <= 51_200
    for name in [*PARAMETERS, SERVERLESS_RELEASE]:
        assert name in body


def test_another_stack_in_this_folder_is_refused(aws: Aws, folder: Path) -> None:
    project_file.save(Place("first", "eu-west-1", "123456789012"), folder)
    result = deploy(aws, "--stack", "second")
    assert result.exit_code == 2
    assert "this folder belongs to stack first" in result.stderr


def test_without_credentials_the_message_says_how_to_sign_in(
    aws: Aws, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = deploy(aws)
    assert result.exit_code == 1
    assert "no AWS credentials were found" in result.stderr
    assert "aws configure sso" in result.stderr


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", "Sign in again"),
        ("InvalidClientTokenId", "check the profile"),
        ("AccessDenied", "operator policy"),
    ],
)
def test_what_aws_refuses_is_passed_on_with_the_remedy(
    folder: Path, code: str, remedy: str
) -> None:
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        "<Message>no</Message></Error></ErrorResponse>"
    )
    with answering(403, body) as endpoint:
        result = deploy(Aws("eu-west-1", endpoint_url=endpoint.address))
    assert result.exit_code == 1
    assert f"see who is signed in: AWS answered {code}" in result.stderr
    assert remedy in result.stderr


def test_a_bucket_name_that_is_taken_is_noticed_beforehand(aws: Aws, folder: Path) -> None:
    region = {"LocationConstraint": "eu-west-1"}
    aws.client("s3").create_bucket(Bucket="pictures", CreateBucketConfiguration=region)
    result = deploy(aws, "--yes", "--bucket", "pictures")
    assert result.exit_code == 1
    assert "bucket name pictures is taken" in result.stderr
    assert "choose another --bucket" in result.stderr
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []


def test_somebody_elses_bucket_is_taken_as_well() -> None:
    with answering(403) as endpoint, pytest.raises(CloudError, match="is taken"):
        stack._check_free(Aws("eu-west-1", endpoint_url=endpoint.address), "pictures")


ROLLED_BACK = {
    "StackId": "arn:stack/1",
    "StackStatus": "ROLLBACK_COMPLETE",
    "Tags": [{"Key": "featuremill", "Value": "featuremill"}],
}
EVENTS_OF_A_ROLLBACK = [
    event("featuremill", STACK, "ROLLBACK_COMPLETE"),
    event("Logs", "AWS::Logs::LogGroup", "CREATE_FAILED", "Resource creation cancelled"),
    event("Bucket", "AWS::S3::Bucket", "CREATE_FAILED", "pictures already exists"),
    event("Bucket", "AWS::S3::Bucket", "CREATE_IN_PROGRESS"),
    event("featuremill", STACK, "CREATE_IN_PROGRESS"),
]


def test_a_rolled_back_stack_is_explained_with_what_to_do() -> None:
    aws = Scripted(
        get_caller_identity=[{"Account": "1"}],
        describe_stacks=[{"Stacks": [ROLLED_BACK]}],
        describe_stack_events=[{"StackEvents": EVENTS_OF_A_ROLLBACK}],
    )
    with pytest.raises(CloudError) as caught:
        stack.prepare(aws, StackOptions(), lambda _: False)
    assert "is ROLLBACK_COMPLETE, which can only be deleted" in caught.value.problem
    assert "pictures already exists" in caught.value.problem
    assert "choose another --bucket" in caught.value.remedy
    assert "`featuremill cloud deploy`, which asks to delete it" in caught.value.remedy
    assert "delete_stack" not in aws.operations()


def test_a_rolled_back_stack_is_deleted_after_asking() -> None:
    gone = event("featuremill", STACK, "DELETE_COMPLETE")
    aws = Scripted(
        describe_stacks=[{"Stacks": [ROLLED_BACK]}],
        describe_stack_events=[
            {"StackEvents": EVENTS_OF_A_ROLLBACK},
            {"StackEvents": [gone, *EVENTS_OF_A_ROLLBACK]},
        ],
        delete_stack=[{}],
    )
    questions: list[str] = []
    kind, _ = stack._found(aws, StackOptions(), lambda text: not questions.append(text))
    assert kind == "CREATE"
    assert "an earlier creation failed" in questions[0]
    assert "pictures already exists" in questions[0]


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("UPDATE_IN_PROGRESS", "Wait until it is done"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("DELETE_FAILED", "featuremill cloud destroy"),
    ],
)
def test_a_stack_that_cannot_be_changed_now_is_explained(state: str, remedy: str) -> None:
    aws = Scripted(describe_stacks=[{"Stacks": [ROLLED_BACK | {"StackStatus": state}]}])
    with pytest.raises(CloudError, match=f"is {state}") as caught:
        stack._found(aws, StackOptions(), lambda _: True)
    assert remedy in caught.value.remedy


def test_a_stack_of_somebody_else_is_left_alone(aws: Aws, folder: Path) -> None:
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    aws.client("cloudformation").create_stack(StackName="featuremill", TemplateBody=template)
    result = deploy(aws, "--yes")
    assert result.exit_code == 1
    assert "was not made by featuremill" in result.stderr
    assert "Choose another name with --stack" in result.stderr


def test_each_resource_is_told_once_per_state() -> None:
    first = [event("Bucket", "AWS::S3::Bucket", "CREATE_IN_PROGRESS")]
    # CloudFormation reports the same state twice: begun, and begun for good
    second = [event("Bucket", "AWS::S3::Bucket", "CREATE_IN_PROGRESS", "initiated", 1), *first]
    third = [event("featuremill", STACK, "CREATE_COMPLETE"), *second]
    aws = Scripted(describe_stack_events=[{"StackEvents": each} for each in (first, second, third)])
    told: list[str] = []
    follow(aws, "arn:stack/1", set(), told.append)
    assert told == [
        "CREATE_IN_PROGRESS  AWS::S3::Bucket  Bucket",
        "CREATE_COMPLETE  AWS::CloudFormation::Stack  featuremill",
    ]


@pytest.mark.parametrize(
    ("kind", "reason", "remedy"),
    [
        ("AWS::S3::Bucket", "pictures already exists", "choose another --bucket"),
        ("AWS::Logs::LogGroup", "/x already exists", "choose another --stack"),
        ("AWS::EC2::VPC", "The maximum number of VPCs has been reached.", "Service Quotas"),
        (
            "AWS::EMRServerless::Application",
            "ServiceQuotaExceededException: 16 vCPU",
            "lower --max-vcpu",
        ),
        ("AWS::IAM::Role", "is not authorized to perform: iam:CreateRole", "administrator"),
        ("AWS::IAM::ManagedPolicy", "The user ada cannot be found.", "--operator"),
        ("AWS::EMRServerless::Application", "Invalid releaseLabel", "choose another"),
        (
            "AWS::EMRServerless::Application",
            "The application must be stopped or created to be updated.",
            "until its jobs are over",
        ),
        (
            "AWS::IAM::ManagedPolicy",
            "Cannot perform the operation on the protected role (UnmodifiableEntity)",
            "permission set",
        ),
        (
            "AWS::IAM::User",
            "Cannot delete entity, must delete access keys first. (DeleteConflict)",
            "IAM console",
        ),
    ],
)
def test_a_rollback_is_explained_by_what_failed_first(kind: str, reason: str, remedy: str) -> None:
    happened = [
        event("featuremill", STACK, "ROLLBACK_COMPLETE"),
        event("Later", "AWS::IAM::Role", "CREATE_FAILED", "a consequence"),
        event("Thing", kind, "CREATE_FAILED", reason),
        event("Other", "AWS::IAM::Role", "CREATE_FAILED", "Resource creation cancelled"),
    ]
    aws = Scripted(describe_stack_events=[{"StackEvents": happened}])
    error = failure(events(aws, "featuremill"), "deploy stack featuremill")
    assert f"Thing ({kind}) is CREATE_FAILED: {reason}" in error.problem
    assert remedy in error.remedy


def test_a_failed_deployment_says_that_it_was_taken_back() -> None:
    aws = Scripted(
        describe_stacks=[{"Stacks": [ROLLED_BACK]}],
        describe_stack_events=[{"StackEvents": []}, {"StackEvents": EVENTS_OF_A_ROLLBACK}],
        execute_change_set=[{}],
    )
    with pytest.raises(CloudError, match="has been taken back") as caught:
        stack.carry_out(aws, StackOptions())
    assert "choose another --bucket" in caught.value.remedy
    assert "Then repeat the command" in caught.value.remedy


def test_changes_that_cloudformation_refuses_are_explained_and_leave_nothing() -> None:
    aws = Scripted(
        get_caller_identity=[{"Account": "1"}],
        describe_stacks=[None],
        create_change_set=[{}],
        describe_change_set=[
            {"Status": "FAILED", "StatusReason": "Rule EuOnly: us-east-1 is outside the EU"}
        ],
        delete_change_set=[{}],
        delete_stack=[{}],
    )
    with pytest.raises(CloudError, match="refuses the changes: Rule EuOnly"):
        stack.prepare(aws, StackOptions())
    assert aws.operations()[-2:] == ["delete_change_set", "delete_stack"]


def test_a_bucket_that_would_be_replaced_is_said_aloud() -> None:
    change = stack.Change("modify", "AWS::S3::Bucket", "Bucket", replaces=True)
    assert change.loses_data
    assert str(change).startswith("replace  AWS::S3::Bucket")
    assert not stack.Change("modify", "AWS::S3::Bucket", "Bucket", replaces=False).loses_data


# Changing an application, which has to be stopped for that

APPLICATION = "AWS::EMRServerless::Application"


def test_an_application_is_stopped_before_it_is_changed_and_not_when_it_is_made() -> None:
    assert stack.Change("modify", APPLICATION, "Application", replaces=False).needs_it_stopped
    assert not stack.Change("add", APPLICATION, "Application", replaces=False).needs_it_stopped
    place = Place("featuremill", "eu-west-1", "123456789012", {"ApplicationId": "00f"})
    for stopping in (True, False):
        called: list[str] = []
        dry = DryRun(
            "eu-west-1",
            known=answers_of(place, holds=False),
            recorder=lambda _service, operation, _, to=called: to.append(operation),  # type: ignore[misc]
            tell=lambda _: None,
        )
        stack.carry_out(dry, StackOptions(), stopping=stopping)
        assert ("StopApplication" in called) is stopping
        assert "ExecuteChangeSet" in called


def stop_of(aws: Aws) -> None:
    stack._stop_application(aws, StackOptions())


def described_stack() -> dict[str, Any]:
    outputs = [{"OutputKey": "ApplicationId", "OutputValue": "00f"}]
    return {"Stacks": [{"StackStatus": "UPDATE_COMPLETE", "Outputs": outputs}]}


def test_a_started_application_without_jobs_is_stopped() -> None:
    aws = Scripted(
        describe_stacks=[described_stack()],
        list_job_runs=[{"jobRuns": []}],
        get_application=[
            {"application": {"state": state}} for state in ("STARTED", "STOPPING", "STOPPED")
        ],
        stop_application=[{}],
    )
    stop_of(aws)
    assert aws.operations().count("stop_application") == 1


def test_a_job_is_never_ended_by_a_deployment() -> None:
    running = {"id": "00a", "name": "featuremill-main", "state": "RUNNING"}
    aws = Scripted(describe_stacks=[described_stack()], list_job_runs=[{"jobRuns": [running]}])
    with pytest.raises(CloudError, match="featuremill-main runs on it") as refused:
        stop_of(aws)
    assert "featuremill cloud stop" in refused.value.remedy


def test_the_real_stack_can_be_changed_after_it_was_made(
    aws: Aws, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "template_body", template_body)
    assert deploy(aws, "--yes", "--email", "me@example.org").exit_code == 0
    bucket = project_file.load(folder).output("Bucket")
    changed = deploy(aws, "--yes", "--budget", "25", "--max-vcpu", "64")
    assert changed.exit_code == 0, changed.output
    known = project_file.load(folder)
    assert (known.output("Bucket"), known.output("MaximumVcpu")) == (bucket, "64")
    budget = {"AccountId": "123456789012", "BudgetName": "featuremill-eu-west-1-monthly"}
    limit = aws.client("budgets").describe_budget(**budget)["Budget"]["BudgetLimit"]
    assert limit["Amount"] == "25"


# The folder's file


def test_a_folder_that_cannot_be_written_is_refused_before_any_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    with answering() as endpoint:
        refused = deploy(Aws("eu-west-1", endpoint_url=endpoint.address), "--yes")
    assert refused.exit_code == 2
    assert f"{folder} cannot be written: Permission denied" in refused.stderr
    assert "a folder of your own" in refused.stderr
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '"text"',
        "{}",
        '{"stack": "featuremill"}',
        '{"stack": "featuremill", "region": "eu-west-1", "account": "1", "outputs": null}',
        '{"stack": 1, "region": "eu-west-1", "account": "1"}',
        '{"stack": "featuremill", "region": "eu-west-1", "account": "1", "last_job": []}',
        '{"stack": "featuremill", "region": "eu-west-1", "account": "1", "colour": "red"}',
    ],
)
def test_a_damaged_file_says_how_to_get_another(folder: Path, content: str) -> None:
    (folder / project_file.FILE).write_text(content)
    with pytest.raises(ConfigError, match="is damaged") as refused:
        project_file.load(folder)
    assert "`featuremill cloud deploy` again, which finds the stack" in refused.value.remedy


def test_a_folder_without_a_stack_is_named_in_full(folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"{folder} belongs to no stack"):
        project_file.load(Path())


# Regions, whatever the command


@pytest.mark.parametrize(
    "command",
    [
        ["deploy", "--yes"],
        ["up", ".", "--yes", "--throughput", "50"],
        ["doctor"],
        ["estimate", "--images", "9", "--throughput", "50"],
    ],
    ids=lambda words: words[0],
)
def test_a_region_outside_the_eu_is_refused_before_any_call(
    folder: Path, command: list[str]
) -> None:
    (folder / "0.jpg").write_bytes(b"picture")
    with answering() as endpoint:
        words = ["cloud", *command, "--region", "us-east-1", "--endpoint-url", endpoint.address]
        refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2, refused.output
    assert "region is 'us-east-1', must be in the EU" in refused.stderr
    assert "deploy --region us-east-1 --allow-region us-east-1" in refused.stderr
    assert endpoint.requests == []


@pytest.mark.parametrize("command", ["submit", "status", "destroy", "fetch", "cost", "stop"])
def test_so_is_a_folder_whose_stack_is_there(folder: Path, command: str) -> None:
    project_file.save(Place("featuremill", "us-east-1", "123456789012"), folder)
    with answering() as endpoint:
        words = ["cloud", command, "--endpoint-url", endpoint.address]
        refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2, refused.output
    assert "must be in the EU" in refused.stderr
    assert endpoint.requests == []


def test_widened_on_purpose_it_may_be_there(aws: Aws, endpoint: str, folder: Path) -> None:
    virginia = Aws("us-east-1", endpoint_url=endpoint)
    words = ["--yes", "--region", "us-east-1", "--allow-region", "us-east-1"]
    made = deploy(virginia, *words)
    assert made.exit_code == 0, made.output
    assert project_file.load(folder).allowed_regions == ("us-east-1",)
    given = parameters_of(virginia)
    assert given["AllowedRegions"] == "us-east-1"
    # and stays so without being said again
    assert deploy(virginia, "--yes", "--budget", "11").exit_code == 0
