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
from featuremill.cloud.aws.plan import Answers, Call, Later, Plan, Wait, Work
from featuremill.cloud.jobs.fleets import put_script, script, script_key
from featuremill.cloud.packaging.shipped import CODE, find_code
from featuremill.cloud.stack import passwords
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError

SERVER = "server"
ENDED = "ended"
ROLE = "server"

TYPES: Mapping[str, str] = MappingProxyType({"x86_64": "t3.medium", "arm64": "t4g.medium"})
"""2 vCPU and 4 GB: two task slots beside JupyterLab."""

_IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
_SPARK = "pyspark>=4.1,<4.2"
_DISK_GB = 30
# where the machine fetches its notebooks from, and puts them back
_NOTEBOOKS = "notebooks/server"
_HOURS = (0.5, 168.0)


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


def up(place: Place, hours: float = 8.0, key_pair: str | None = None, seconds: float = 5.0) -> Plan:
    """Plan for the machine, which ends itself after some hours; its notebooks stay.

    Parameters
    ----------
    place : Place
        The stack.
    hours : float
        After which it ends, from 0.5 to 168.
    key_pair : str, optional
        Name of an EC2 key pair, for SSH.
    seconds : float
        Between two looks at whether it runs.

    Returns
    -------
    sequence of Step
        ``server`` answers as ``run_instances`` does.

    Raises
    ------
    ConfigError
        If the hours are out of bounds.
    """
    if not _HOURS[0] <= hours <= _HOURS[1]:
        raise ConfigError(
            f"--hours is {hours}, it must be from {_HOURS[0]:g} to {_HOURS[1]:g}",
            "The default is 8.",
        )
    architecture = place.output("Architecture")
    return [
        Work(
            "see that no machine is up",
            lambda aws, _answers: _refuse_second(aws, place),
            calls=("ec2.describe_instances",),
            changes=False,
        ),
        find_code(place, architecture),
        put_script(place, "server.sh"),
        *put_notebooks(place, _NOTEBOOKS),
        passwords.make(place, passwords.SERVER),
        Call(
            "ec2",
            "run_instances",
            _parameters(place, architecture, hours) | ({"KeyName": key_pair} if key_pair else {}),
            f"start a {TYPES[architecture]}",
            SERVER,
        ),
        _until_running(seconds),
    ]


def down(place: Place) -> Plan:
    """Plan for ending the machine; ``ended`` answers with its id or None."""

    def end(aws: Aws, _answers: Answers) -> str | None:
        found = standing(aws, place)
        if found is None:
            return None
        parameters = {"InstanceIds": [found.id]}
        aws.call(Call("ec2", "terminate_instances", parameters, f"end {found.id}"))
        return found.id

    calls = ("ec2.describe_instances", "ec2.terminate_instances")
    return [
        Work(f"end the machine of stack {place.stack}", end, ENDED, calls),
        passwords.forget(place, passwords.SERVER),
    ]


def _refuse_second(aws: Aws, place: Place) -> None:
    found = standing(aws, place)
    if found is not None:
        raise CloudError(
            f"machine {found.id} is up already ({found.state}, {found.hours:.1f} hours)",
            "Use it: `featuremill cloud notebook`; or end it: `featuremill cloud server down`.",
        )


def _until_running(seconds: float) -> Wait:
    call = Call(
        "ec2",
        "describe_instances",
        {"InstanceIds": [Later(SERVER, "Instances[0].InstanceId")]},
        "wait until the machine runs",
        changes=False,
    )
    return Wait(
        call,
        "Reservations[0].Instances[0].State.Name",
        ("running",),
        ("shutting-down", "terminated", "stopped"),
        reason="Reservations[0].Instances[0].StateReason.Message",
        seconds=seconds,
        limit=600,
        remedy="It goes on, and costs: `featuremill cloud server down` ends it.",
    )


def _parameters(place: Place, architecture: str, hours: float) -> dict[str, Any]:
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
        "UserData": _first_command(place, hours),
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags}
            for kind in ("instance", "volume", "network-interface")
        ],
    }


def _first_command(place: Place, hours: float) -> Later:
    """What the machine runs first: the packaged script, with the archive that is found."""
    bucket = place.output("Bucket")
    words = [
        str(round(60 * hours)),
        f"s3://{bucket}/{script_key('server.sh')}",
        "{}",
        bucket,
        place.region,
        passwords.parameter(place, passwords.SERVER),
        f"'{_SPARK}'",
    ]
    return Later(CODE, "archive", f"#!/bin/bash\nset -- {' '.join(words)}\n{script('first.sh')}")


def own_notebooks() -> list[Path]:
    """The step-by-step notebook in each language; none where an installation lacks them."""
    package = Path(str(resources.files("featuremill")))
    # in a checkout they stand beside src
    for folder in (package / "notebooks", package.parents[1] / "notebooks"):
        if found := sorted(folder.glob("featuremill*.ipynb")):
            return found
    return []


def put_notebooks(place: Place, folder: str, given: Iterable[Path] = ()) -> list[Call]:
    """Steps that put notebooks into a folder of the bucket: those given, and our own.

    Parameters
    ----------
    place : Place
        Whose bucket.
    folder : str
        Where in it; what is there already under the same name is left as it is.
    given : iterable of Path
        They come before our own of the same name.

    Raises
    ------
    ConfigError
        If one of those given is no file.
    """
    wanted = {path.name: path for path in (*own_notebooks(), *given)}
    return [_put(place, folder, path) for path in wanted.values()]


def _put(place: Place, folder: str, notebook: Path) -> Call:
    if not notebook.is_file():
        raise ConfigError(f"--notebook {notebook} is no file", "Name an .ipynb file.")
    return Call(
        "s3",
        "put_object",
        {
            "Bucket": place.output("Bucket"),
            "Key": f"{folder}/{notebook.name}",
            "Body": notebook.read_bytes(),
            # what somebody worked on there must not be lost
            "IfNoneMatch": "*",
        },
        f"put {notebook.name} in the bucket, unless it is there",
        forgives=("PreconditionFailed",),
    )
