"""`cloud server`: one small machine without an open port, which ends itself."""

import base64
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import fleets
from featuremill.cloud.notebooks import server
from featuremill.cloud.stack import passwords, project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError
from tests.cloud.stack import (
    ARCHIVE,
    BUCKET,
    deployed,
    describe,
    described,
    dry_run,
    featuremill,
    flow_of,
    folder,
)

__all__ = ["folder"]


@pytest.fixture
def stack(aws: Aws) -> Place:
    """A stack with a real subnet, security group and profile to put the machine in."""
    ec2, iam = aws.client("ec2"), aws.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="server", Description="server", VpcId=vpc)
    iam.create_instance_profile(InstanceProfileName="featuremill-server")
    standing = deployed(aws)
    outputs = {**standing.outputs, "SubnetId": subnet, "ServerSecurityGroup": group["GroupId"]}
    describe(aws, outputs)
    return replace(standing, outputs=outputs)


@pytest.fixture(autouse=True)
def one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every machine tells how it went under the same name."""
    monkeypatch.setattr(server, "launched", lambda: "1")


def tell(aws: Aws, how: str, log: bytes = b"") -> None:
    """What the machine puts in the bucket when it is through."""
    aws.client("s3").put_object(Bucket=BUCKET, Key=f"logs/server/1/{how}", Body=log)


def start(aws: Aws, stack: Place, hours: float = 8.0) -> dict[str, Any]:
    tell(aws, "ready")
    server.up(aws, stack, hours)
    found = server.standing(aws, stack)
    assert found is not None
    described = aws.client("ec2").describe_instances(InstanceIds=[found.id])
    instance: dict[str, Any] = described["Reservations"][0]["Instances"][0]
    return instance


def asked(stack: Place, hours: float = 8.0) -> dict[str, Any]:
    """Parameters of the call that starts the machine."""
    return flow_of(lambda dry: server.up(dry, stack, hours), "run_instances")


def test_the_machine_finds_the_step_by_step_notebook_in_the_bucket(aws: Aws, stack: Place) -> None:
    start(aws, stack)
    # the folder that the machine's script copies from
    assert "notebooks=s3://$bucket/notebooks/server\n" in fleets.script("server.sh")
    kept = [line for line in fleets.script("server.sh").splitlines() if "aws s3 sync" in line]
    assert all("--no-follow-symlinks" in line for line in kept if line.startswith("Exec"))
    assert fleets.script("server.sh").count("User=jupyter\n") == 3
    listed = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="notebooks/server/")
    names = {each["Key"].rpartition("/")[2] for each in listed["Contents"]}
    assert names == {"featuremill.ipynb", "featuremill.fr.ipynb"}


def test_the_machine_is_small_tagged_and_asks_for_a_token_to_its_metadata(
    aws: Aws, stack: Place
) -> None:
    machine = start(aws, stack)
    assert machine["InstanceType"] == "t3.medium"
    assert {"Key": "featuremill", "Value": "featuremill"} in machine["Tags"]
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    [interface] = machine["NetworkInterfaces"]
    assert [each["GroupId"] for each in interface["Groups"]] == [
        stack.output("ServerSecurityGroup")
    ]
    volume = aws.client("ec2").describe_volumes()["Volumes"][0]
    assert volume["Encrypted"]


def test_graviton_is_the_stacks_architecture() -> None:
    arm = replace(described(), outputs={**described().outputs, "Architecture": "arm64"})
    parameters = asked(arm)
    assert parameters["InstanceType"] == "t4g.medium"
    assert parameters["ImageId"].endswith("/al2023-ami-kernel-default-arm64")


def test_what_it_runs_first_installs_the_archive_and_holds_no_secret(
    aws: Aws, stack: Place
) -> None:
    machine = start(aws, stack, hours=2)
    attribute = aws.client("ec2").describe_instance_attribute(
        InstanceId=machine["InstanceId"], Attribute="userData"
    )
    first = base64.b64decode(attribute["UserData"]["Value"]).decode()
    assert first.startswith("#!/bin/bash\n")
    given = first.splitlines()[1]
    assert given.startswith(f"set -- 120 s3://{BUCKET}/logs/server/1 s3://{BUCKET}/code/server-")
    assert f".sh s3://{BUCKET}/{ARCHIVE} {BUCKET} eu-west-1 /featuremill/" in given
    keys = [fleets.script_key(name) for name in ("setuptools.lock", "server.lock")]
    locks = " ".join(f"s3://{BUCKET}/{key}" for key in keys)
    assert given.endswith(f"/featuremill/featuremill/server {locks}")
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key=keys[1])["Body"].read().decode()
    assert {"jupyterlab", "matplotlib", "pyspark"} <= set(re.findall("^([^=]+)==", stored, re.M))
    assert passwords.read(aws, stack, passwords.SERVER) not in first
    assert len(first) < 16_384, "AWS takes no more"


SYSTEMCTL = '#!/bin/sh\necho "$@" >>{folder}/systemctl\n'
# what is put there arrives, what is fetched does not
NO_CODE = """#!/bin/sh
if [ "$3" = - ]; then cat >{folder}/told; echo "$4" >{folder}/where; exit; fi
echo 'fatal error: An error occurred (403)' >&2
exit 1
"""


def test_when_it_ends_is_set_before_anything_can_fail_and_outlives_a_reboot(
    tmp_path: Path,
) -> None:
    """What it runs first, really run, where nothing can be fetched from the bucket."""
    units, programs = tmp_path / "etc" / "systemd" / "system", tmp_path / "programs"
    units.mkdir(parents=True)
    programs.mkdir()
    for name, text in (
        ("systemctl", SYSTEMCTL.format(folder=tmp_path)),
        ("aws", NO_CODE.format(folder=tmp_path)),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    command = asked(described(), hours=2)["UserData"]
    first = re.sub("<archive[^>]*>", "archive", command).replace("/etc/", f"{tmp_path}/etc/")
    first = first.replace("/var/log", str(tmp_path))
    begun = datetime.now(UTC)
    ended = subprocess.run(
        ["bash", "-c", first],
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    # whoever waits for it is told why
    assert (tmp_path / "where").read_text() == f"s3://{BUCKET}/logs/server/1/failed\n"
    assert "403" in (tmp_path / "told").read_text()
    assert (tmp_path / "systemctl").read_text().endswith("enable --now end.timer\n")
    timer = (units / "end.timer").read_text()
    # a moment, so that a reboot does not begin it anew, which is made up for if it was missed
    when = re.search(r"^OnCalendar=(.*) UTC$", timer, re.MULTILINE)
    assert when is not None
    ends = datetime.fromisoformat(when[1]).replace(tzinfo=UTC)
    assert abs((ends - begun).total_seconds() - 7200) < 60
    assert "\nPersistent=true\n" in timer
    assert "ExecStart=/usr/bin/systemctl --no-block poweroff" in (units / "end.service").read_text()


def test_what_failed_on_the_machine_is_shown(aws: Aws, stack: Place) -> None:
    tell(aws, "failed", b"Error: Unable to find a match: python3.11\n")
    with pytest.raises(CloudError, match="could not install itself") as failed:
        server.up(aws, stack)
    assert "Unable to find a match: python3.11" in failed.value.problem
    assert "`featuremill cloud server down` ends it" in failed.value.remedy


def test_a_machine_that_tells_nothing_is_not_waited_for_for_ever(
    aws: Aws, stack: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_READY_SECONDS", 0.0)
    with pytest.raises(CloudError, match="still installing after 0 seconds") as silent:
        server.up(aws, stack)
    assert "get-console-output" in silent.value.remedy


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_reads_the_moment_as_it_is_meant() -> None:
    shown = subprocess.run(
        ["systemd-analyze", "calendar", "2030-01-02 03:04:05 UTC"], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "2030-01-02 03:04:05 UTC" in shown.stdout


def test_shutting_down_ends_it_for_good_and_it_never_costs_more_than_it_says() -> None:
    parameters = asked(described())
    assert parameters["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert parameters["CreditSpecification"] == {"CpuCredits": "standard"}
    assert parameters["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True


def test_a_second_machine_is_refused_and_down_ends_the_first(aws: Aws, stack: Place) -> None:
    first = start(aws, stack)["InstanceId"]
    with pytest.raises(CloudError, match=f"machine {first} is up already"):
        start(aws, stack)
    assert server.down(aws, stack) == first
    assert server.standing(aws, stack) is None
    assert server.down(aws, stack) is None
    with pytest.raises(CloudError, match="ParameterNotFound"):
        passwords.read(aws, stack, passwords.SERVER)


@pytest.mark.parametrize("hours", [0.1, 169, float("nan")])
def test_hours_out_of_bounds_are_refused(hours: float) -> None:
    with pytest.raises(ConfigError, match=r"--hours is .* from 0.5 to 168"):
        server.up(Aws("eu-west-1"), described(), hours)


def test_up_and_down(aws: Aws, stack: Place, endpoint: str, folder: Path) -> None:
    project_file.save(stack, folder)
    tell(aws, "ready")
    up = featuremill("cloud", "server", "up", "--hours", "2", "--endpoint-url", endpoint)
    assert up.exit_code == 0, up.output
    assert "it ends itself in 2 hours" in up.stdout
    down = featuremill("cloud", "server", "down", "--endpoint-url", endpoint)
    assert down.stdout.startswith("ended: i-")


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_dry_run_shows_the_machine_and_calls_nothing(command: str, folder: Path) -> None:
    shown = dry_run("cloud", "server", command)
    assert f"ec2.{'run' if command == 'up' else 'terminate'}_instances" in shown
