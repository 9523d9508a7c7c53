"""The smallest way to notebooks: one EC2 machine with JupyterLab and Spark, without an open port.

Only real AWS shows that the machine installs itself: unverified here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.fleets import put_script, script, script_key
from featuremill.cloud.packaging.shipped import Code, find_code
from featuremill.cloud.stack import passwords
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError

ROLE = "server"

TYPES: Mapping[str, str] = MappingProxyType({"x86_64": "t3.medium", "arm64": "t4g.medium"})
"""2 vCPU and 4 GB: two task slots beside JupyterLab."""

_IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
# in this order: the first builds what comes as source in the second
_LOCKS = ("setuptools.lock", "server.lock")
_DISK_GB = 30
# where the machine fetches its notebooks from, and puts them back
_NOTEBOOKS = "notebooks/server"
_HOURS = (0.5, 168.0)

LOGS = "logs/server"
"""Where in the bucket machines tell how their installation went."""

_READY_SECONDS = 900.0
# what the name of the one object there says
_TOLD = (
    "Contents[0].Key && (ends_with(Contents[0].Key, '/ready') && 'ready' || 'failed')"
    " || 'installing'"
)
_DOWN = "`featuremill cloud server down` ends it"


@dataclass(frozen=True)
class RunningServer:
    """The stack's machine."""

    id: str
    state: str
    type: str
    public_name: str
    since: datetime

    @property
    def hours(self) -> float:
        """How long it has been up."""
        return (datetime.now(UTC) - self.since).total_seconds() / 3600


def standing(aws: Aws, place: Place) -> RunningServer | None:
    """The stack's machine, if it is up or coming up."""
    filters = [
        {"Name": "tag:featuremill", "Values": [place.stack]},
        {"Name": "tag:featuremill-role", "Values": [ROLE]},
        {"Name": "instance-state-name", "Values": ["pending", "running"]},
    ]
    for page in aws.pages("ec2", "describe_instances", Filters=filters):
        for reservation in page["Reservations"]:
            for found in reservation["Instances"]:
                return RunningServer(
                    found["InstanceId"],
                    found["State"]["Name"],
                    found["InstanceType"],
                    found.get("PublicDnsName", ""),
                    found["LaunchTime"],
                )
    return None


def check_hours(hours: float) -> float:
    """Refuse hours after which no machine should end.

    Raises
    ------
    ConfigError
        If they are not from 0.5 to 168.
    """
    if not _HOURS[0] <= hours <= _HOURS[1]:
        raise ConfigError(
            f"--hours is {hours}, it must be from {_HOURS[0]:g} to {_HOURS[1]:g}",
            "The default is 8.",
        )
    return hours


def up(aws: Aws, place: Place, hours: float = 8.0, key_pair: str | None = None) -> Any:
    """Start the machine, which ends itself after some hours; its notebooks stay.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    hours : float
        After which it ends, from 0.5 to 168.
    key_pair : str, optional
        Name of an EC2 key pair, for SSH.

    Returns
    -------
    dict
        The machine, as ``run_instances`` answers.

    Raises
    ------
    ConfigError
        If the hours are out of bounds.
    """
    check_hours(hours)
    aws.step("see that no machine is up")
    _refuse_second(aws, place)
    architecture = place.output("Architecture")
    code = find_code(aws, place, architecture)
    for name in ("server.sh", *_LOCKS):
        put_script(aws, place, name)
    put_notebooks(aws, place, _NOTEBOOKS, read_notebooks())
    passwords.make(aws, place, passwords.SERVER)
    aws.step(f"start a {TYPES[architecture]}")
    told = f"{LOGS}/{launched()}"
    asked = parameters(place, architecture, hours, code, told, key_pair)
    machine = aws.call("ec2", "run_instances", **asked)["Instances"][0]
    aws.step("wait until the machine runs")
    aws.wait(
        "ec2",
        "describe_instances",
        "Reservations[0].Instances[0].State.Name",
        done=("running",),
        failed=("shutting-down", "terminated", "stopped"),
        reason="Reservations[0].Instances[0].StateReason.Message",
        seconds=5.0,
        limit=600,
        remedy=f"It goes on, and costs: {_DOWN}.",
        InstanceIds=[machine["InstanceId"]],
    )
    _until_ready(aws, place, machine["InstanceId"], told)
    return machine


def launched() -> str:
    """A name for one launch, under which its machine tells how it went."""
    return uuid4().hex


def _until_ready(aws: Aws, place: Place, machine: str, told: str) -> None:
    """Wait for what the machine tells of itself in the bucket; nobody can look into it yet."""
    bucket = place.output("Bucket")
    aws.step("wait until JupyterLab answers")
    answer = aws.wait(
        "s3",
        "list_objects_v2",
        _TOLD,
        done=("ready", "failed"),
        seconds=5.0,
        limit=_READY_SECONDS,
        remedy=f"It goes on, and costs: {_DOWN}. What it printed: `aws ec2 get-console-output"
        f" --latest --output text --region {place.region} --instance-id {machine}`.",
        Bucket=bucket,
        Prefix=f"{told}/",
    )
    key = answer["Contents"][0]["Key"]
    if aws.here(lambda: key.endswith("/ready"), True):
        return
    found = aws.call("s3", "get_object", why="read its log", Bucket=bucket, Key=key)
    log = found["Body"].read().decode(errors="replace").strip()
    raise CloudError(
        f"the machine could not install itself. Its log ends with:\n{log}",
        f"It is up, and costs: {_DOWN}. Then repeat the command.",
    )


def down(aws: Aws, place: Place) -> str | None:
    """End the machine; gives its id, or None if none was up."""
    aws.step(f"end the machine of stack {place.stack}")
    found = standing(aws, place)
    if found is not None:
        why = f"end {found.id}"
        aws.call("ec2", "terminate_instances", why=why, InstanceIds=[found.id])
    passwords.forget(aws, place, passwords.SERVER)
    return found.id if found else None


def _refuse_second(aws: Aws, place: Place) -> None:
    found = standing(aws, place)
    if found is not None:
        raise CloudError(
            f"machine {found.id} is up already ({found.state}, {found.hours:.1f} hours)",
            "Use it: `featuremill cloud notebook`; or end it: `featuremill cloud server down`.",
        )


def parameters(
    place: Place, architecture: str, hours: float, code: Code, told: str, key_pair: str | None
) -> dict[str, Any]:
    """Parameters of ``run_instances``."""
    tags = [
        {"Key": "featuremill", "Value": place.stack},
        {"Key": "featuremill-role", "Value": ROLE},
        {"Key": "Name", "Value": f"{place.stack}-server"},
    ]
    disk = {
        "VolumeSize": _DISK_GB,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    return {
        "ClientToken": uuid4().hex,
        "ImageId": _IMAGE + architecture,
        "InstanceType": TYPES[architecture],
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": place.output("ServerInstanceProfile")},
        # the public address is for what the machine fetches: nobody gets in
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": place.output("SubnetId"),
                "Groups": [place.output("ServerSecurityGroup")],
                "AssociatePublicIpAddress": True,
            }
        ],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": disk}],
        # when the credits of a burstable machine are gone it is slow, not dear
        "CreditSpecification": {"CpuCredits": "standard"},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "UserData": _first_command(place, hours, code.archive, told),
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags}
            for kind in ("instance", "volume", "network-interface")
        ],
        **({"KeyName": key_pair} if key_pair else {}),
    }


def _first_command(place: Place, hours: float, archive: str, told: str) -> str:
    """What the machine runs first: the packaged script, with the archive that was found."""
    bucket = place.output("Bucket")
    words = [
        str(round(60 * hours)),
        f"s3://{bucket}/{told}",
        f"s3://{bucket}/{script_key('server.sh')}",
        archive,
        bucket,
        place.region,
        passwords.parameter(place, passwords.SERVER),
        *(f"s3://{bucket}/{script_key(name)}" for name in _LOCKS),
    ]
    return f"#!/bin/bash\nset -- {' '.join(words)}\n{script('first.sh')}"


def own_notebooks() -> list[Path]:
    """The step-by-step notebook in each language; none where an installation lacks them."""
    package = Path(str(resources.files("featuremill")))
    # in a checkout they stand beside src
    for folder in (package / "notebooks", package.parents[1] / "notebooks"):
        if found := sorted(folder.glob("featuremill*.ipynb")):
            return found
    return []


def read_notebooks(given: Iterable[Path] = ()) -> dict[str, bytes]:
    """Name → content of the notebooks given, and of our own that have other names.

    Raises
    ------
    ConfigError
        If one of those given is no file.
    """
    for notebook in given:
        if not notebook.is_file():
            raise ConfigError(f"--notebook {notebook} is no file", "Name an .ipynb file.")
    return {path.name: path.read_bytes() for path in (*own_notebooks(), *given)}


def put_notebooks(aws: Aws, place: Place, folder: str, notebooks: Mapping[str, bytes]) -> None:
    """Put notebooks into a folder of the bucket; what is there already is left as it is."""
    for name, content in notebooks.items():
        aws.step(f"put {name} in the bucket, unless it is there")
        aws.call(
            "s3",
            "put_object",
            forgives=("PreconditionFailed",),
            Bucket=place.output("Bucket"),
            Key=f"{folder}/{name}",
            Body=content,
            # what somebody worked on there must not be lost
            IfNoneMatch="*",
        )
