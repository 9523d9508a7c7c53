"""`cloud destroy`: asks, ends what runs, empties, deletes, and looks for what is left."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws, explained
from featuremill.cloud.stack import application
from featuremill.cloud.stack import destroy as taking
from featuremill.cloud.stack import project_file as places
from featuremill.cloud.stack.destroy import Losses, survey
from featuremill.cloud.stack.leftovers import look_for
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError
from tests.cloud.scripted import Scripted, answering

TEMPLATE = {
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            # as the real one's, in the word that moto knows
            "DeletionPolicy": "Retain",
            "Properties": {
                "BucketName": "pictures",
                "VersioningConfiguration": {"Status": "Enabled"},
                "Tags": [{"Key": "featuremill", "Value": "featuremill"}],
            },
        },
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/featuremill"}},
        "Network": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    },
    "Outputs": {
        "Bucket": {"Value": {"Ref": "Bucket"}},
        "LogGroup": {"Value": {"Ref": "Logs"}},
        "VpcId": {"Value": {"Ref": "Network"}},
        "ApplicationId": {"Value": "00f"},
    },
}
STACK = "AWS::CloudFormation::Stack"


@pytest.fixture
def stack(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A stack with three versions of one object, and the file of this folder."""
    cloudformation, s3 = aws.client("cloudformation"), aws.client("s3")
    cloudformation.create_stack(StackName="featuremill", TemplateBody=json.dumps(TEMPLATE))
    found = cloudformation.describe_stacks(StackName="featuremill")["Stacks"][0]["Outputs"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found}
    s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"first", b"second"):
        s3.put_object(Bucket="pictures", Key="input/0.jpg", Body=body)
    s3.delete_object(Bucket="pictures", Key="input/0.jpg")
    s3.put_object(Bucket="pictures", Key="results/pca.csv", Body=b"1,2")
    monkeypatch.chdir(tmp_path)
    place = Place("featuremill", "eu-west-1", "123456789012", outputs)
    places.save(place, tmp_path)
    return place


def taken_down(aws: Aws, *options: str, typed: str | None = None) -> Result:
    command = ["cloud", "destroy", "--endpoint-url", str(aws.endpoint_url), *options]
    return CliRunner().invoke(main, command, input=typed)


def event(resource: str, kind: str, state: str, reason: str = "", number: int = 0) -> Any:
    return {
        "EventId": f"{resource}-{state}-{number}",
        "LogicalResourceId": resource,
        "ResourceType": kind,
        "ResourceStatus": state,
        "ResourceStatusReason": reason,
    }


def refusal(code: str) -> Exception:
    answer: Any = {"Error": {"Code": code, "Message": "no"}}
    error = explained(ClientError(answer, "Call"), "delete")
    error.__cause__ = ClientError(answer, "Call")
    return error


PLACE = Place(
    "featuremill", "eu-west-1", "123456789012", {"Bucket": "pictures", "ApplicationId": "00f"}
)


def test_after_the_name_is_typed_nothing_is_left(aws: Aws, stack: Place, tmp_path: Path) -> None:
    result = taken_down(aws, typed="featuremill\n")
    assert result.exit_code == 0, result.output
    assert "1 objects, 0.0 MB, will be deleted from s3://pictures" in result.stderr
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
    assert aws.client("logs").describe_log_groups()["logGroups"] == []
    assert "gone     bucket                   pictures" in result.stdout
    assert "things were looked for and are gone" in result.stdout
    assert not (tmp_path / places.FILE).exists()


def test_another_name_deletes_nothing(aws: Aws, stack: Place, tmp_path: Path) -> None:
    result = taken_down(aws, typed="featherstone\n")
    assert result.exit_code == 2
    assert "'featherstone' is not 'featuremill': nothing was deleted" in result.stderr
    versions = aws.client("s3").list_object_versions(Bucket="pictures")
    assert len(versions["Versions"]) == 3
    assert (tmp_path / places.FILE).exists()


def test_data_can_be_kept(aws: Aws, stack: Place, tmp_path: Path) -> None:
    result = taken_down(aws, "--keep-data", "--yes")
    assert result.exit_code == 0, result.output
    assert "stay in s3://pictures" in result.stderr
    assert "kept: bucket pictures" in result.stdout
    assert len(aws.client("s3").list_object_versions(Bucket="pictures")["Versions"]) == 3
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
    assert not (tmp_path / places.FILE).exists()


def test_a_dry_run_shows_every_call_and_makes_none(stack: Place) -> None:
    with answering() as endpoint:
        result = taken_down(Aws("eu-west-1", endpoint_url=endpoint.address), "--dry-run")
    assert result.exit_code == 0, result.output
    assert endpoint.requests == []
    for call in ("s3.delete_objects", "cloudformation.delete_stack", "emr.terminate_job_flows"):
        assert call in result.stdout


def test_what_is_left_is_named_and_the_folder_still_knows_its_stack(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    created = aws.client("emr-serverless").create_application(
        releaseLabel="emr-6.6.0", type="SPARK", clientToken="x"
    )["applicationId"]
    outputs = {**TEMPLATE["Outputs"], "ApplicationId": {"Value": created}}
    template = json.dumps({**TEMPLATE, "Outputs": outputs})
    aws.client("cloudformation").update_stack(StackName="featuremill", TemplateBody=template)
    result = taken_down(aws, "--yes")
    assert result.exit_code == 1
    assert f"left     EMR Serverless           {created}" in result.stdout
    assert f"left or could not be looked for: EMR Serverless {created}" in result.stderr
    assert "Repeat the command" in result.stderr
    assert (tmp_path / places.FILE).exists()


def test_after_an_interruption_the_same_command_finishes(aws: Aws, stack: Place) -> None:
    aws.client("cloudformation").delete_stack(StackName="featuremill")
    result = taken_down(aws, "--yes")
    assert result.exit_code == 0, result.output
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_a_file_cannot_have_another_bucket_emptied(aws: Aws, stack: Place, tmp_path: Path) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(
        Bucket="precious", CreateBucketConfiguration={"LocationConstraint": aws.region}
    )
    s3.put_object(Bucket="precious", Key="diary", Body=b"dear")
    places.save(replace(stack, outputs={**stack.outputs, "Bucket": "precious"}), tmp_path)
    assert taken_down(aws, "--yes").exit_code == 0
    assert s3.list_objects_v2(Bucket="precious")["KeyCount"] == 1
    # nor where no stack is left that could tell
    places.save(replace(stack, outputs={**stack.outputs, "Bucket": "precious"}), tmp_path)
    refused = taken_down(aws, "--yes")
    assert "bucket precious" in refused.stderr
    assert "may be something else's" in refused.stderr
    assert s3.list_objects_v2(Bucket="precious")["KeyCount"] == 1


def test_clusters_and_machines_of_the_stack_are_ended_and_no_others(aws: Aws, stack: Place) -> None:
    tags = [{"Key": "featuremill", "Value": "featuremill"}]
    emr, ec2 = aws.client("emr"), aws.client("ec2")
    machines = {"InstanceCount": 1, "MasterInstanceType": "m5.xlarge"}
    keep = {"Instances": machines | {"KeepJobFlowAliveWhenNoSteps": True}}
    roles = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}
    ours = emr.run_job_flow(Name="featuremill-notebooks", Tags=tags, **keep, **roles)["JobFlowId"]
    other = emr.run_job_flow(Name="featuremill-other", **keep, **roles)["JobFlowId"]
    server = ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"][0]["InstanceId"]
    seen: Losses = survey(aws, stack)
    assert {ours, server} <= set(seen.machines)
    assert other not in seen.machines
    result = taken_down(aws, "--yes")
    assert result.exit_code == 0, result.output
    states = {
        cluster: emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]
        for cluster in (ours, other)
    }
    assert states == {ours: "TERMINATED", other: "WAITING"}
    found = ec2.describe_instances(InstanceIds=[server])["Reservations"][0]["Instances"][0]
    assert found["State"]["Name"] == "terminated"


def test_an_application_that_is_started_is_stopped_first(aws: Aws, stack: Place) -> None:
    client = aws.client("emr-serverless")
    created = client.create_application(releaseLabel="emr-6.6.0", type="SPARK", clientToken="x")
    names = {"applicationId": created["applicationId"]}
    client.start_application(**names)
    application.stop(aws, created["applicationId"])
    assert client.get_application(**names)["application"]["state"] == "STOPPED"


def test_jobs_that_run_are_named_and_cancelled() -> None:
    running = {"id": "00a", "name": "featuremill-main", "state": "RUNNING"}
    aws = Scripted(
        list_job_runs=[{"jobRuns": [running]}, {"jobRuns": []}],
        list_clusters=[{"Clusters": []}],
        describe_instances=[{"Reservations": []}],
        list_objects_v2=[{}],
        cancel_job_run=[{}],
    )
    seen: Losses = survey(aws, PLACE)
    assert seen.jobs == ("featuremill-main (RUNNING)",)
    aws = Scripted(
        list_job_runs=[
            {"jobRuns": [running]},
            {"jobRuns": [running | {"state": "CANCELLING"}]},
            {"jobRuns": []},
        ],
        cancel_job_run=[{}],
    )
    taking._cancel_jobs(aws, PLACE)
    assert aws.operations() == ["list_job_runs", "cancel_job_run", "list_job_runs", "list_job_runs"]


def test_versions_and_markers_go_a_thousand_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Many(Scripted):
        def pages(self, service: str, operation: str, **parameters: Any) -> Any:
            for page in range(3):
                entries = [{"Key": f"{page}/{n}", "VersionId": "v"} for n in range(1000)]
                yield {"Versions": entries[:600], "DeleteMarkers": entries[600:]}

        def client(self, service: str) -> Any: ...

        def call(self, service: str, operation: str, /, **parameters: Any) -> Any:
            asked.append(len(parameters["Delete"]["Objects"]))
            return {}

    told: list[str] = []
    many = Many()
    many.report = told.append
    taking._empty(many, "pictures")
    assert asked == [1000, 1000, 1000]
    assert told[-1] == "  3,000 versions deleted"


def test_an_object_that_cannot_be_deleted_is_named(aws: Aws, stack: Place) -> None:
    errors = {"Errors": [{"Key": "input/0.jpg", "Message": "Access Denied"}]}

    class Refusing(Aws):
        def call(self, service: str, operation: str, /, **parameters: Any) -> Any:
            assert operation == "delete_objects"
            return errors

    with pytest.raises(CloudError, match=r"input/0\.jpg: Access Denied") as caught:
        taking._empty(Refusing(aws.region, endpoint_url=aws.endpoint_url), "pictures")
    assert "legal hold" in caught.value.remedy


THERE = {"Stacks": [{"StackId": "arn:stack/1", "StackStatus": "CREATE_COMPLETE"}]}
GONE = event("featuremill", STACK, "DELETE_COMPLETE")
ATTACHED = [
    event("featuremill", STACK, "DELETE_FAILED", "The following resource(s) failed to delete"),
    event("Network", "AWS::EC2::VPC", "DELETE_FAILED", "The vpc has dependencies"),
]


def test_a_network_that_is_still_in_use_is_tried_once_more() -> None:
    aws = Scripted(
        describe_stacks=[THERE],
        describe_stack_events=[
            {"StackEvents": []},
            {"StackEvents": ATTACHED},
            {"StackEvents": ATTACHED},
            {"StackEvents": [GONE, *ATTACHED]},
        ],
        delete_stack=[{}],
    )
    taking._delete_stack(aws, PLACE, keep_data=False)
    assert aws.operations().count("delete_stack") == 2


def test_a_call_refused_for_dependencies_is_tried_once_more() -> None:
    aws = Scripted(
        describe_stacks=[THERE],
        describe_stack_events=[{"StackEvents": []}, {"StackEvents": []}, {"StackEvents": [GONE]}],
        delete_stack=[refusal("DependencyViolation"), {}],
    )
    taking._delete_stack(aws, PLACE, keep_data=False)
    assert aws.operations().count("delete_stack") == 2


def test_a_stack_that_cannot_be_deleted_is_explained() -> None:
    again = [event("Network", "AWS::EC2::VPC", "DELETE_FAILED", "The vpc has dependencies", 2)]
    last = [event("featuremill", STACK, "DELETE_FAILED", "failed", 2), *again, *ATTACHED]
    aws = Scripted(
        describe_stacks=[THERE],
        describe_stack_events=[
            {"StackEvents": []},
            {"StackEvents": ATTACHED},
            {"StackEvents": ATTACHED},
            {"StackEvents": last},
        ],
        delete_stack=[{}],
    )
    with pytest.raises(CloudError, match=r"Network .* The vpc has dependencies") as caught:
        taking._delete_stack(aws, PLACE, keep_data=False)
    assert "still attached" in caught.value.remedy


def test_a_bucket_that_stops_the_deletion_is_left_out_when_data_is_kept() -> None:
    full = [
        event("featuremill", STACK, "DELETE_FAILED"),
        event("Bucket", "AWS::S3::Bucket", "DELETE_FAILED", "The bucket is not empty"),
    ]
    aws = Scripted(
        describe_stacks=[THERE],
        describe_stack_events=[
            {"StackEvents": []},
            {"StackEvents": full},
            {"StackEvents": full},
            {"StackEvents": [GONE, *full]},
        ],
        delete_stack=[{}],
    )
    taking._delete_stack(aws, PLACE, keep_data=True)
    asked = [parameters for operation, parameters in aws.asked if operation == "delete_stack"]
    assert asked[1]["RetainResources"] == ["Bucket"]


def test_a_stack_that_somebody_is_changing_is_left_alone() -> None:
    state = {"StackId": "arn:stack/1", "StackStatus": "UPDATE_IN_PROGRESS"}
    with pytest.raises(CloudError, match="somebody is changing it now"):
        taking._delete_stack(
            Scripted(describe_stacks=[{"Stacks": [state]}]), PLACE, keep_data=False
        )


def test_logs_that_come_late_do_not_keep_the_bucket(aws: Aws, stack: Place) -> None:
    def late(text: str) -> None:
        if text.startswith("delete bucket"):
            aws.client("s3").put_object(Bucket="pictures", Key="logs/late", Body=b"x")

    found = taking.destroy(replace(aws, report=late), stack)
    assert {each.state for each in found} == {"gone"}


def test_what_cannot_be_looked_for_is_not_called_gone() -> None:
    place = Place("featuremill", "eu-west-1", "1", {"Bucket": "pictures"})
    aws = Scripted(
        describe_stacks=[None],
        head_bucket=[refusal("AccessDenied")],
        list_clusters=[{"Clusters": []}],
        describe_instances=[{"Reservations": []}],
        describe_volumes=[{"Volumes": []}],
        get_parameter=[None],
    )
    found = look_for(aws, place, keep_data=False)
    states = {each.what: each.state for each in found}
    assert states["bucket"] == "unknown"
    assert states["stack"] == "gone"


def test_of_the_real_stack_nothing_is_left(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    endpoint = ["--endpoint-url", str(aws.endpoint_url)]
    made = CliRunner().invoke(
        main, ["cloud", "deploy", "--yes", "--email", "me@example.org", *endpoint]
    )
    assert made.exit_code == 0, made.output
    place = places.load(tmp_path)
    assert len(place.outputs) >= 16
    aws.client("emr-serverless").start_application(applicationId=place.output("ApplicationId"))
    result = taken_down(aws, "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("gone ") == 21
    for what in ("roles", "instance_profiles", "policies"):
        only = {"Scope": "Local"} if what == "policies" else {}
        for page in aws.pages("iam", f"list_{what}", **only):
            assert [each for each in page.popitem()[1] if "featuremill" in str(each)] == []
