"""`cloud notebook`: the way in that is there, and the tunnel to it."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.notebooks import access
from featuremill.cloud.notebooks.access import Way
from featuremill.cloud.stack import passwords, project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError
from tests.cloud.stack import deployed, featuremill, folder

__all__ = ["folder"]

PRIMARY = Way("cluster", "https://localhost:9443", "i-0abc", "ec2-1-2-3-4.example", 9443, "hadoop")


@pytest.fixture
def stack(aws: Aws) -> Place:
    return deployed(aws)


@pytest.fixture
def cluster(aws: Aws, stack: Place) -> str:
    """A cluster for notebooks, with an instance for its primary (which moto gives to groups)."""
    primary = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}
    flow = aws.client("emr").run_job_flow(
        Name="featuremill-notebooks",
        ReleaseLabel="emr-7.14.0",
        Instances={"InstanceGroups": [primary], "KeepJobFlowAliveWhenNoSteps": True},
        Tags=[{"Key": "featuremill", "Value": "featuremill"}],
    )
    return str(flow["JobFlowId"])


@pytest.fixture
def machine(aws: Aws, stack: Place) -> str:
    """The stack's machine."""
    tags = {"featuremill": "featuremill", "featuremill-role": "server"}
    started = aws.client("ec2").run_instances(
        ImageId="resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )
    return str(started["Instances"][0]["InstanceId"])


def test_studio_comes_first_where_there_is_one(aws: Aws, stack: Place, cluster: str) -> None:
    url = "https://es-1.emrstudio-prod.eu-west-1.amazonaws.com"
    studio = replace(stack, outputs={**stack.outputs, "StudioUrl": url})
    assert access.find(aws, studio) == Way("studio", url)
    assert access.find(aws, studio, "cluster").kind == "cluster"


def test_a_cluster_is_reached_by_its_primary(aws: Aws, stack: Place, cluster: str) -> None:
    way = access.find(aws, stack)
    [primary] = aws.client("emr").list_instances(ClusterId=cluster)["Instances"]
    assert (way.url, way.instance) == ("https://localhost:9443", primary["Ec2InstanceId"])


def test_a_server_is_reached_where_there_is_no_cluster(
    aws: Aws, stack: Place, machine: str
) -> None:
    way = access.find(aws, stack)
    assert (way.kind, way.instance, way.port) == ("server", machine, 8888)


def test_where_nothing_is_up_it_says_what_to_start(aws: Aws, stack: Place) -> None:
    with pytest.raises(CloudError, match="no Studio, no cluster and no server") as refused:
        access.find(aws, stack)
    assert "featuremill cloud server up" in refused.value.remedy


def test_the_tunnel_is_one_command_without_a_shell() -> None:
    command = access.tunnel(PRIMARY, "eu-west-1", "work")
    assert command[:5] == ["aws", "ssm", "start-session", "--target", "i-0abc"]
    named = dict(zip(command[3::2], command[4::2], strict=True))
    assert named["--document-name"] == "AWS-StartPortForwardingSession"
    assert json.loads(named["--parameters"]) == {
        "portNumber": ["9443"],
        "localPortNumber": ["9443"],
    }
    assert (named["--region"], named["--profile"]) == ("eu-west-1", "work")


@pytest.mark.parametrize(
    ("there", "missing"), [([], "the AWS command line"), (["aws"], "session-manager-plugin")]
)
def test_a_program_that_is_missing_is_named_with_where_to_get_it(
    there: list[str], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CloudError, match=f"{missing} is not installed") as refused:
        access.check_tools()
    assert "https://docs.aws.amazon.com/" in refused.value.remedy


def test_ssh_is_a_way_round_for_those_who_have_a_key() -> None:
    assert shlex.split(access.over_ssh(PRIMARY, "my key.pem")) == [
        "ssh",
        "-i",
        "my key.pem",
        "-N",
        "-L",
        "9443:localhost:9443",
        "hadoop@ec2-1-2-3-4.example",
    ]


def test_the_command_is_printed_or_run(
    aws: Aws,
    stack: Place,
    machine: str,
    endpoint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project_file.save(stack, folder)
    printed = featuremill("cloud", "notebook", "--print", "--endpoint-url", endpoint)
    command = access.tunnel(access.find(aws, stack), "eu-west-1")
    assert printed.stdout == shlex.join(command) + "\n"
    ran: list[list[str]] = []
    monkeypatch.setattr("featuremill.cloud.notebooks.access.check_tools", lambda: None)
    monkeypatch.setattr("os.execvp", lambda _program, words: ran.append(words))
    told = featuremill("cloud", "notebook", "--endpoint-url", endpoint)
    assert ran == [command]
    assert "http://localhost:8888/lab" in told.stdout


def test_the_password_is_shown_only_when_asked_for(
    aws: Aws, stack: Place, machine: str, endpoint: str, folder: Path
) -> None:
    project_file.save(stack, folder)
    passwords.make(aws, stack, passwords.SERVER)
    password = passwords.read(aws, stack, passwords.SERVER)
    printed = featuremill("cloud", "notebook", "--print", "--endpoint-url", endpoint)
    assert password not in printed.output
    shown = featuremill("cloud", "notebook", "--password", "--endpoint-url", endpoint)
    assert shown.stdout == f"{password}\n"
