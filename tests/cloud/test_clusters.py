"""`cloud cluster`: JupyterHub behind a password of its own, one at a time, ended in time."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.dry_run import DryRun
from featuremill.cloud.jobs import job_cluster
from featuremill.cloud.jobs.fleets import FAMILIES, Machines, script, script_key
from featuremill.cloud.notebooks import clusters
from featuremill.cloud.notebooks.server import read_notebooks
from featuremill.cloud.stack import passwords as secret
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig
from featuremill.errors import CloudError, ConfigError
from tests.cloud.scripted import answering
from tests.cloud.stack import (
    ARCHIVE,
    BUCKET,
    deployed,
    described,
    dry_run,
    featuremill,
    flow_of,
    folder,
)

__all__ = ["folder"]

MACHINES = Machines("x86_64")
SCRIPTS = ("install.sh", "jupyterhub.sh", "first.sh", "server.sh")


@pytest.fixture
def stack(aws: Aws) -> Place:
    return deployed(aws)


def flow(stack: Place, machines: Machines = MACHINES) -> dict[str, Any]:
    """Parameters of the call that starts the cluster."""
    return flow_of(lambda dry: clusters.up(dry, stack, machines, read_notebooks()))


def start(aws: Aws, stack: Place, notebooks: tuple[Path, ...] = ()) -> str:
    return clusters.up(aws, stack, MACHINES, read_notebooks(notebooks))


def test_a_cluster_has_livy_and_jupyterhub_and_ends_itself_when_idle(
    aws: Aws, stack: Place
) -> None:
    cluster = aws.client("emr").describe_cluster(ClusterId=start(aws, stack))["Cluster"]
    assert cluster["ReleaseLabel"] == "emr-7.14.0"
    assert [each["Name"] for each in cluster["Applications"]] == ["Spark", "Livy", "JupyterHub"]
    assert cluster["AutoTerminate"] is False
    assert {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"} in cluster["Tags"]
    assert cluster["SecurityConfiguration"] == "featuremill"
    assert cluster["Ec2InstanceAttributes"]["EmrManagedMasterSecurityGroup"] == "sg-11111111"
    asked = flow(stack)
    assert asked["AutoTerminationPolicy"] == {"IdleTimeout": 10_800}
    assert asked["Instances"]["KeepJobFlowAliveWhenNoSteps"] is True
    assert asked["ManagedScalingPolicy"]["ComputeLimits"]["MaximumCapacityUnits"] == 4


def test_the_archive_is_installed_on_every_node_and_sparks_python_finds_it(
    aws: Aws, stack: Place
) -> None:
    cluster = start(aws, stack)
    [action] = aws.client("emr").list_bootstrap_actions(ClusterId=cluster)["BootstrapActions"]
    assert action["ScriptPath"] == f"s3://{BUCKET}/{script_key('install.sh')}"
    assert action["Args"][0] == f"s3://{BUCKET}/{ARCHIVE}"
    assert action["Args"][2] == "/opt/featuremill"
    settings = {each["Classification"]: each for each in flow(stack)["Configurations"]}
    spark = settings["spark-defaults"]["Properties"]
    for where in ("spark.yarn.appMasterEnv", "spark.executorEnv"):
        assert spark[f"{where}.PYTHONPATH"] == "/opt/featuremill/deps"
        assert spark[f"{where}.PYSPARK_PYTHON"] == "python3.11"
    exported = settings["spark-env"]["Configurations"][0]["Properties"]
    assert exported["PYTHONPATH"] == "/opt/featuremill/deps"


def test_the_published_password_is_replaced_by_one_that_no_plan_and_no_cluster_holds(
    aws: Aws, stack: Place
) -> None:
    start(aws, stack)
    password = secret.read(aws, stack, secret.JUPYTERHUB)
    assert len(password) >= 24
    shown: list[str] = []
    clusters.up(DryRun("eu-west-1", tell=shown.append), stack, MACHINES, {})
    assert "Value: (not shown)" in "\n".join(shown)
    [standing] = clusters.standing(aws, stack)
    [step] = aws.client("emr").list_steps(ClusterId=standing.id)["Steps"]
    assert step["ActionOnFailure"] == "TERMINATE_CLUSTER"
    assert password not in str(step)
    assert "/featuremill/featuremill/jupyterhub eu-west-1" in step["Config"]["Args"][2]
    parameter = aws.client("ssm").get_parameter(Name="/featuremill/featuremill/jupyterhub")
    assert parameter["Parameter"]["Type"] == "SecureString"


def test_every_cluster_has_another_password(aws: Aws, stack: Place) -> None:
    passwords = set()
    for _ in range(2):
        start(aws, stack)
        passwords.add(secret.read(aws, stack, secret.JUPYTERHUB))
        clusters.down(aws, stack)
    assert len(passwords) == 2


def test_notebooks_are_kept_in_the_bucket_and_never_overwritten(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    notebook = tmp_path / "fruits.ipynb"
    key = f"notebooks/jupyter/jovyan/{notebook.name}"
    for content in (b"first", b"second"):
        notebook.write_bytes(content)
        start(aws, stack, (notebook,))
        clusters.down(aws, stack)
    assert aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"first"
    kept, livy = flow(stack)["Configurations"][-2:]
    assert kept["Classification"] == "jupyter-s3-conf"
    assert kept["Properties"]["s3.persistence.bucket"] == f"{BUCKET}/notebooks"
    assert livy == {
        "Classification": "jupyter-sparkmagic-conf",
        "Properties": {"ignore_ssl_errors": "true"},
    }


def test_a_studio_reaches_a_cluster_by_its_gateway() -> None:
    place = described()
    with_studio = replace(place, outputs={**place.outputs, "StudioUrl": "https://es-1.example"})
    for each, gateways in ((place, 0), (with_studio, 1)):
        applications = flow(each)["Applications"]
        assert applications.count({"Name": "JupyterEnterpriseGateway"}) == gateways


def test_a_cluster_has_the_step_by_step_notebook_and_what_it_draws_with(
    aws: Aws, stack: Place
) -> None:
    start(aws, stack)
    listed = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="notebooks/jupyter/jovyan/")
    names = {each["Key"].rpartition("/")[2] for each in listed["Contents"]}
    assert names == {"featuremill.ipynb", "featuremill.fr.ipynb"}
    [bootstrap] = flow(stack)["BootstrapActions"]
    key = script_key("figures.lock")
    assert bootstrap["ScriptBootstrapAction"]["Args"][3:] == [f"s3://{BUCKET}/{key}"]
    lock = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert "\nmatplotlib==" in lock


def test_a_notebook_that_is_no_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no file"):
        read_notebooks((Path("nowhere.ipynb"),))


def test_a_second_cluster_is_refused_while_the_first_costs_money(aws: Aws, stack: Place) -> None:
    first = start(aws, stack)
    with pytest.raises(CloudError, match=f"cluster {first} is up already") as refused:
        start(aws, stack)
    assert "cloud cluster down" in refused.value.remedy


def test_only_the_stacks_own_clusters_are_listed_and_ended(aws: Aws, stack: Place) -> None:
    other = start(aws, replace(stack, stack="featuremill-2"))
    own = start(aws, stack)
    assert [each.id for each in clusters.standing(aws, stack)] == [own]
    with pytest.raises(CloudError, match=f"cluster {other} is not up, or is none of stack"):
        clusters.down(aws, stack, other)
    assert clusters.down(aws, stack) == [own]
    assert clusters.standing(aws, stack) == []
    state = aws.client("emr").describe_cluster(ClusterId=other)["Cluster"]["Status"]["State"]
    assert state == "WAITING"


def test_ending_what_is_not_there_is_no_error(aws: Aws, stack: Place) -> None:
    asked: list[str] = []
    recorded = replace(
        aws, recorder=lambda _service, operation, _parameters: asked.append(operation)
    )
    assert clusters.down(recorded, stack) == []
    assert asked == ["ListClusters", "DeleteParameter"]


@pytest.mark.parametrize("architecture", FAMILIES)
def test_all_machines_of_a_cluster_are_of_one_architecture(architecture: str) -> None:
    fleets = flow(described(), Machines(architecture))["Instances"]["InstanceFleets"]
    types = {each["InstanceType"] for fleet in fleets for each in fleet["InstanceTypeConfigs"]}
    assert types == {f"{family}.xlarge" for family in FAMILIES[architecture]}


def test_up_list_and_down(aws: Aws, stack: Place, endpoint: str, folder: Path) -> None:
    project_file.save(stack, folder)
    up = featuremill("cloud", "cluster", "up", "--endpoint-url", endpoint)
    assert up.exit_code == 0, up.output
    assert "is ready" in up.stdout
    assert "WAITING" in featuremill("cloud", "cluster", "list", "--endpoint-url", endpoint).stdout
    down = featuremill("cloud", "cluster", "down", "--endpoint-url", endpoint)
    assert down.stdout.startswith("ended: j-")
    listed = featuremill("cloud", "cluster", "list", "--endpoint-url", endpoint)
    assert listed.stdout == "no cluster is up\n"


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_dry_run_shows_the_cluster_and_calls_nothing(command: str, folder: Path) -> None:
    shown = dry_run("cloud", "cluster", command)
    assert f"emr.{'run' if command == 'up' else 'terminate'}_job_flow" in shown


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_machines_run_is_valid_and_stops_at_the_first_error(name: str) -> None:
    subprocess.run(["bash", "-n"], input=script(name), text=True, check=True)
    assert script(name).startswith("#!/bin/bash\n")
    assert "\nset -euo pipefail\n" in script(name)


def test_ending_the_notebooks_leaves_a_jobs_cluster_and_the_other_way_round(
    aws: Aws, stack: Place
) -> None:
    own, job = start(aws, stack), start_job(aws, stack)
    password = secret.read(aws, stack, secret.JUPYTERHUB)
    assert clusters.down(aws, stack, job) == [job]
    assert secret.read(aws, stack, secret.JUPYTERHUB) == password
    job = start_job(aws, stack)
    assert clusters.down(aws, stack) == [own]
    assert [each.id for each in clusters.standing(aws, stack)] == [job]
    with pytest.raises(CloudError, match="ParameterNotFound"):
        secret.read(aws, stack, secret.JUPYTERHUB)


def start_job(aws: Aws, stack: Place) -> str:
    config = RunConfig("s3://pictures/input", "s3://pictures/results/main")
    return job_cluster.submit(aws, stack, config, "main", MACHINES).where


def test_whoever_stops_waiting_is_told_that_the_cluster_costs(
    aws: Aws, stack: Place, endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_file.save(stack, folder)

    def ctrl_c(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("featuremill.cloud.aws.client.Aws.wait", ctrl_c)
    left = featuremill("cloud", "cluster", "up", "--endpoint-url", endpoint)
    assert left.exit_code == 130
    assert "goes on, and costs" in left.stderr
    assert "`featuremill cloud cluster down` ends it" in left.stderr


def test_a_cluster_is_asked_for_once_since_emr_cannot_tell_a_repetition_from_a_second_one() -> None:
    asked: dict[str, Any] = {"Name": "notebooks", "Instances": {}}
    with answering(500) as endpoint:
        aws = Aws("eu-west-1", endpoint_url=endpoint.address)
        with pytest.raises(CloudError):
            aws.call("emr", "run_job_flow", **asked)
    assert len(endpoint.requests) == 1
    nowhere = Aws("eu-west-1", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(CloudError, match="AWS may have done it all the same") as lost:
        nowhere.call("emr", "run_job_flow", **asked)
    assert "cloud cluster list" in lost.value.remedy
