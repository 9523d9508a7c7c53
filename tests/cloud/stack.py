"""A deployed stack for tests of what comes after: its names, and its bucket and application."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore import xform_name
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.dry_run import DryRun
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place

BUCKET = "pictures"
ARCHIVE = "code/featuremill-0.1.0-mobilenetv2-x86_64-0123456789ab.tar.gz"
ENTRY = "code/featuremill-job-0123456789ab.py"

OUTPUTS = {
    "Bucket": BUCKET,
    "ApplicationId": "00f1234567890abc",
    "Architecture": "x86_64",
    "JobRoleArn": "arn:aws:iam::123456789012:role/featuremill-job",
    "ServiceRole": "arn:aws:iam::123456789012:role/featuremill-emr",
    "InstanceProfile": "featuremill-nodes",
    "JobInstanceProfile": "featuremill-job-nodes",
    "SecurityConfiguration": "featuremill",
    "SubnetId": "subnet-12345678",
    "SecondSubnetId": "subnet-87654321",
    "PrimarySecurityGroup": "sg-11111111",
    "CoreSecurityGroup": "sg-22222222",
    "ServerInstanceProfile": "featuremill-server",
    "ServerSecurityGroup": "sg-33333333",
}


def described() -> Place:
    """A stack as the folder's file describes it; nothing of it is there."""
    return Place("featuremill", "eu-west-1", "123456789012", OUTPUTS)


def deployed(aws: Aws) -> Place:
    """A stack of which there are the bucket, with an archive, and the application."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.region})
    put(aws, ARCHIVE, b"archive")
    put(aws, ENTRY, b"entry")
    application = aws.client("emr-serverless").create_application(
        name="featuremill", releaseLabel="emr-7.9.0-20260101", type="SPARK"
    )
    outputs = {**OUTPUTS, "ApplicationId": application["applicationId"]}
    describe(aws, outputs)
    return Place("featuremill", "eu-west-1", "123456789012", outputs)


def describe(aws: Aws, outputs: Mapping[str, str], stack: str = "featuremill") -> None:
    """Let CloudFormation tell these outputs of a stack, which replaces one of the same name."""
    template = {
        "Resources": {"Handle": {"Type": "AWS::Logs::LogGroup"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(template))


def put(aws: Aws, key: str, data: bytes | str) -> None:
    """Put an object in the bucket; text is compressed, as logs are."""
    body = gzip.compress(data.encode()) if isinstance(data, str) else data
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def featuremill(*arguments: str | Path) -> Result:
    """What a command prints, and how it ends."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which belongs to a stack of which nothing is there."""
    monkeypatch.chdir(tmp_path)
    project_file.save(described(), tmp_path)
    return tmp_path


@contextmanager
def recording() -> Iterator[tuple[str, list[str]]]:
    """An endpoint, and the requests that came to it."""
    came: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            came.append(str(self.rfile.readline()))
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            server.shutdown()
            thread.join()


class Asked(NamedTuple):
    """A call, by the names that boto3 has for it."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


def asked_by(command: Callable[[Aws], object]) -> list[Asked]:
    """What a command calls, as its dry run has it, with nothing in the account."""
    calls: list[Asked] = []

    def note(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        calls.append(Asked(service, xform_name(operation), parameters))

    command(DryRun("eu-west-1", recorder=note, tell=lambda _: None))
    return calls


def flow_of(command: Callable[[Aws], object], operation: str = "run_job_flow") -> dict[str, Any]:
    """Parameters of the one call of a command that starts machines."""
    [call] = [each for each in asked_by(command) if each.operation == operation]
    return dict(call.parameters)


def dry_run(*arguments: str | Path) -> str:
    """What a command shows instead of doing it, after it was seen to have called nothing."""
    with recording() as (endpoint, came):
        shown = featuremill(*arguments, "--dry-run", "--endpoint-url", endpoint)
    assert shown.exit_code == 0, shown.output
    assert came == []
    return shown.output
