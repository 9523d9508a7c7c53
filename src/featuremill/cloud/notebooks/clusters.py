"""Long-lived EMR clusters for notebooks: Spark, Livy and JupyterHub.

Only real AWS shows JupyterHub, its new password and notebooks in the bucket: unverified here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import certificates
from featuremill.cloud.jobs.fleets import Machines, instances, job_flow, put_script, script_key
from featuremill.cloud.notebooks.server import put_notebooks
from featuremill.cloud.packaging.shipped import Code, find_code
from featuremill.cloud.stack import passwords
from featuremill.cloud.stack.leftovers import is_ours
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

NAME = "notebooks"

_UP = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]
_READY_SECONDS = 1800.0

# JupyterHub keeps a user's notebooks in jupyter/<user> below what it takes for a bucket
_JUPYTER = "notebooks/jupyter/jovyan"

# Livy draws a notebook's figures on the cluster, with what is there
_FIGURES = "figures.lock"


@dataclass(frozen=True)
class RunningCluster:
    """A cluster of the stack that costs money now."""

    id: str
    name: str
    state: str
    since: datetime

    @property
    def hours(self) -> float:
        """How long it has been up."""
        return (datetime.now(UTC) - self.since).total_seconds() / 3600


def standing(aws: Aws, place: Place) -> list[RunningCluster]:
    """All clusters of the stack that are up or coming up, the newest first."""
    return sorted(_standing(aws, place), key=lambda each: each.since, reverse=True)


def _standing(aws: Aws, place: Place) -> Iterator[RunningCluster]:
    for page in aws.pages("emr", "list_clusters", ClusterStates=_UP):
        for found in page["Clusters"]:
            # the listing has no tags: the name first, which spares a call for each stranger
            if found["Name"].startswith(f"{place.stack}-") and is_ours(aws, place, found["Id"]):
                status = found["Status"]
                since = status["Timeline"]["CreationDateTime"]
                yield RunningCluster(found["Id"], found["Name"], status["State"], since)


def for_notebooks(aws: Aws, place: Place) -> RunningCluster | None:
    """The cluster that `cluster up` made, if it is up."""
    named = f"{place.stack}-{NAME}"
    return next((each for each in standing(aws, place) if each.name == named), None)


def up(aws: Aws, place: Place, machines: Machines, notebooks: Mapping[str, bytes]) -> str:
    """Start a cluster with JupyterHub, which ends itself when it is idle, and wait for it.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    machines : Machines
        What it is made of.
    notebooks : mapping
        Name → content of the notebooks to have there, as
        :func:`~featuremill.cloud.notebooks.server.read_notebooks` gives them; one of the same name
        in the bucket is left as it is.

    Returns
    -------
    str
        Id of the cluster.
    """
    aws.step("see that no cluster for notebooks is up")
    _refuse_second(aws, place)
    code = find_code(aws, place, machines.architecture)
    put_script(aws, place, "install.sh")
    put_script(aws, place, _FIGURES)
    certificates.provide(aws, place)
    put_script(aws, place, "jupyterhub.sh")
    put_notebooks(aws, place, _JUPYTER, notebooks)
    passwords.make(aws, place, passwords.JUPYTERHUB)
    aws.step("start a cluster")
    cluster = aws.call("emr", "run_job_flow", **parameters(place, machines, code))["JobFlowId"]
    aws.step("wait until the cluster is ready")
    aws.wait(
        "emr",
        "describe_cluster",
        "Cluster.Status.State",
        done=("WAITING",),
        failed=("TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"),
        reason="Cluster.Status.StateChangeReason.Message",
        seconds=20.0,
        limit=_READY_SECONDS,
        remedy="It goes on, and costs: `featuremill cloud cluster list` tells how it is,"
        " `featuremill cloud cluster down` ends it.",
        ClusterId=cluster,
    )
    return str(cluster)


def down(aws: Aws, place: Place, cluster: str | None = None) -> list[str]:
    """End the cluster for notebooks; gives the ids of what ended.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    cluster : str, optional
        Another one of the stack, such as a job's own.
    """
    named = f"{place.stack}-{NAME}"
    aws.step(f"end {cluster or f'the cluster for notebooks of stack {place.stack}'}")
    there = standing(aws, place)
    found = aws.here(
        lambda: [
            one.id for one in there if one.id == cluster or (not cluster and one.name == named)
        ],
        [cluster or there[0].id] if there else [],
    )
    if cluster and not found:
        raise CloudError(
            f"cluster {cluster} is not up, or is none of stack {place.stack}",
            "`featuremill cloud cluster list` shows those that are.",
        )
    if found:
        aws.call("emr", "terminate_job_flows", why="end the cluster", JobFlowIds=found)
    if not any(one.name == named and one.id not in found for one in there):
        passwords.forget(aws, place, passwords.JUPYTERHUB)
    return found


def _refuse_second(aws: Aws, place: Place) -> None:
    found = for_notebooks(aws, place)
    if found is not None:
        raise CloudError(
            f"cluster {found.id} is up already ({found.state}, {found.hours:.1f} hours)",
            "Use it: `featuremill cloud notebook`; or end it: `featuremill cloud cluster down`.",
        )


def parameters(place: Place, machines: Machines, code: Code) -> dict[str, Any]:
    """Parameters of ``run_job_flow``."""
    bucket, profile = place.output("Bucket"), place.output("InstanceProfile")
    flow = job_flow(place, machines, NAME, code, profile, _FIGURES)
    password = passwords.parameter(place, passwords.JUPYTERHUB)
    command = f"set -o pipefail; aws s3 cp s3://{bucket}/{script_key('jupyterhub.sh')} - | bash -s"
    step = {
        "Name": "replace JupyterHub's published password",
        # better no cluster than one that everybody knows the password of
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": ["bash", "-c", f"{command} -- {password} {place.region}"],
        },
    }
    persistence = {
        "Classification": "jupyter-s3-conf",
        "Properties": {
            "s3.persistence.enabled": "true",
            # a folder is not documented, but taken: the name is only put before the key
            "s3.persistence.bucket": f"{bucket}/notebooks",
        },
    }
    livy = {
        "Classification": "jupyter-sparkmagic-conf",
        # where nodes talk by TLS, Livy does too, and nobody but the nodes knows their certificate;
        # a notebook and its Livy are on the same machine
        "Properties": {"ignore_ssl_errors": "true"},
    }
    # workspaces of a Studio reach a cluster by its gateway
    gateway = ("JupyterEnterpriseGateway",) if place.outputs.get("StudioUrl") else ()
    applications = ("Spark", "Livy", "JupyterHub", *gateway)
    return {
        **flow,
        "Applications": [{"Name": name} for name in applications],
        "Configurations": [*flow["Configurations"], persistence, livy],
        "Instances": instances(place, machines, keep=True),
        "Steps": [step],
    }
