"""EMR on EC2: machines, their scaling and their settings, as one ``run_job_flow``.

One on-demand primary, one on-demand core node, and task nodes on Spot machines that turn into
on-demand ones where there are none. Only real AWS shows how fleets and managed scaling really
choose machines: unverified here.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import RELEASE
from featuremill.cloud.aws.worker_size import SLOT_MB, Fleet, on_nodes
from featuremill.cloud.jobs.job import PYTHON, WORKER_ENVIRONMENT
from featuremill.cloud.packaging.shipped import Code
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import ConfigError
from featuremill.workers.protocol import TASK_ATTEMPTS

INSTALLED = "/opt/featuremill"
"""Where the bootstrap action puts packages and entry point on every node."""

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"x86_64": ("m7i", "m5"), "arm64": ("m7g", "m6g")}
)
SIZES: Mapping[str, int] = MappingProxyType({"xlarge": 4, "2xlarge": 8, "4xlarge": 16})
"""Size of an instance → vCPU, with 4 GB each."""

_IDLE_SECONDS = (60, 604_800)
_SPOT_MINUTES = 10
"""How long to look for Spot machines before on-demand ones are taken."""


@dataclass(frozen=True)
class Machines:
    """What a cluster is made of.

    Parameters
    ----------
    architecture : str
        ``x86_64`` or ``arm64``.
    size : str
        Of each node.
    nodes : tuple of (int, int)
        Fewest and most nodes beside the primary.
    idle_hours : float
        Idle time after which the cluster ends itself.
    slot_mb : int
        Memory of each task slot's Python.
    key_pair : str, optional
        Name of an EC2 key pair, for SSH.
    """

    architecture: str
    size: str = "xlarge"
    nodes: tuple[int, int] = (2, 4)
    idle_hours: float = 3.0
    slot_mb: int = SLOT_MB
    key_pair: str | None = None

    def __post_init__(self) -> None:
        for option, value, known in (
            ("--architecture", self.architecture, FAMILIES),
            ("--size", self.size, SIZES),
        ):
            if value not in known:
                raise ConfigError(f"{option} is {value!r}", f"Choose one of {', '.join(known)}.")
        fewest, most = self.nodes
        if not 1 <= fewest <= most:
            raise ConfigError(
                f"--min-nodes is {fewest} and --max-nodes is {most}: the fewest must be 1 or more,"
                " and no more than the most",
                "The default is --min-nodes 2 --max-nodes 4.",
            )
        shortest, longest = _IDLE_SECONDS
        if not shortest <= self.idle_seconds <= longest:
            raise ConfigError(
                f"--idle-hours is {self.idle_hours}, it must be from {shortest / 3600:.2f} to"
                f" {longest // 3600}",
                "The default is 3.",
            )

    @property
    def idle_seconds(self) -> int:
        """The same, as AWS wants it."""
        return round(self.idle_hours * 3600) if math.isfinite(self.idle_hours) else 0

    @property
    def fleet(self) -> Fleet:
        """Executors for these nodes."""
        return on_nodes(SIZES[self.size], self.nodes[1], self.slot_mb)


def job_flow(
    place: Place,
    machines: Machines,
    name: str,
    code: Code,
    profile: str,
    packages: str | None = None,
) -> dict[str, Any]:
    """What every cluster has in common, as parameters of ``run_job_flow``.

    ``profile`` is of its nodes; ``packages`` names the lock file of Python's packages to have there
    beside featuremill.
    """
    bucket = place.output("Bucket")
    beside = [f"s3://{bucket}/{script_key(packages)}"] if packages else []
    return {
        "Name": f"{place.stack}-{name}",
        "ReleaseLabel": RELEASE,
        "LogUri": f"s3://{bucket}/{LOGS}/",
        "ServiceRole": place.output("ServiceRole"),
        "JobFlowRole": profile,
        "SecurityConfiguration": place.output("SecurityConfiguration"),
        "VisibleToAllUsers": True,
        "ScaleDownBehavior": "TERMINATE_AT_TASK_COMPLETION",
        "ManagedScalingPolicy": {"ComputeLimits": _limits(machines)},
        "AutoTerminationPolicy": {"IdleTimeout": machines.idle_seconds},
        "BootstrapActions": [
            {
                "Name": "install featuremill",
                "ScriptBootstrapAction": {
                    "Path": f"s3://{bucket}/{script_key('install.sh')}",
                    "Args": [code.archive, code.entry, INSTALLED, *beside],
                },
            }
        ],
        "Configurations": _configurations(machines.fleet),
        # AmazonEMRServicePolicy_v2 lets the service touch only what carries the second tag
        "Tags": [
            {"Key": "featuremill", "Value": place.stack},
            {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"},
        ],
    }


LOGS = "logs/emr"
"""Where in the bucket clusters put logs."""


def instances(place: Place, machines: Machines, *, keep: bool) -> dict[str, Any]:
    """Machines and network of a cluster, as ``Instances`` of ``run_job_flow``.

    Parameters
    ----------
    keep : bool
        Whether it goes on when it has no steps left.
    """
    types = [
        {"InstanceType": f"{family}.{machines.size}", "WeightedCapacity": 1}
        for family in FAMILIES[machines.architecture]
    ]
    on_demand = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
    spot = {
        "SpotSpecification": {
            "TimeoutDurationMinutes": _SPOT_MINUTES,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
            "AllocationStrategy": "price-capacity-optimized",
        },
        **on_demand,
    }
    fleets = [
        _fleet("MASTER", types, on_demand, TargetOnDemandCapacity=1),
        _fleet("CORE", types, on_demand, TargetOnDemandCapacity=1),
        _fleet("TASK", types, spot, TargetSpotCapacity=machines.nodes[0] - 1),
    ]
    return {
        # a fleet of nothing is refused
        "InstanceFleets": fleets if machines.nodes[0] > 1 else fleets[:2],
        # EMR takes the zone that has the machines
        "Ec2SubnetIds": [place.output("SubnetId"), place.output("SecondSubnetId")],
        "EmrManagedMasterSecurityGroup": place.output("PrimarySecurityGroup"),
        "EmrManagedSlaveSecurityGroup": place.output("CoreSecurityGroup"),
        "KeepJobFlowAliveWhenNoSteps": keep,
        "TerminationProtected": False,
        **({"Ec2KeyName": machines.key_pair} if machines.key_pair else {}),
    }


def _fleet(
    kind: str, types: Sequence[Mapping[str, Any]], launch: Mapping[str, Any], **target: int
) -> dict[str, Any]:
    # the primary takes one machine, whatever it weighs
    own = [{"InstanceType": each["InstanceType"]} for each in types] if kind == "MASTER" else types
    return {
        "Name": kind.lower(),
        "InstanceFleetType": kind,
        "InstanceTypeConfigs": list(own),
        "LaunchSpecifications": dict(launch),
        **target,
    }


def _limits(machines: Machines) -> dict[str, Any]:
    fewest, most = machines.nodes
    return {
        "UnitType": "InstanceFleetUnits",
        "MinimumCapacityUnits": fewest,
        "MaximumCapacityUnits": most,
        # what is added is task nodes, on Spot machines
        "MaximumCoreCapacityUnits": 1,
        "MaximumOnDemandCapacityUnits": 1,
    }


def _configurations(fleet: Fleet) -> list[dict[str, Any]]:
    environment = {"PYTHONPATH": f"{INSTALLED}/deps", "PYSPARK_PYTHON": PYTHON}
    exported = {**environment, "PYSPARK_DRIVER_PYTHON": PYTHON, **WORKER_ENVIRONMENT}
    workers = {**environment, **WORKER_ENVIRONMENT}
    spark = {
        "spark.pyspark.python": PYTHON,
        # for the driver on the cluster, which is where Livy puts that of a notebook
        **{f"spark.yarn.appMasterEnv.{name}": value for name, value in workers.items()},
        **{f"spark.executorEnv.{name}": value for name, value in workers.items()},
        **fleet.properties(),
        "spark.task.maxFailures": str(TASK_ATTEMPTS),
    }
    return [
        _exporting("spark-env", exported),
        _exporting("livy-env", exported),
        {"Classification": "spark-defaults", "Properties": spark},
    ]


def _exporting(classification: str, variables: Mapping[str, str]) -> dict[str, Any]:
    export = {"Classification": "export", "Properties": dict(variables)}
    return {"Classification": classification, "Properties": {}, "Configurations": [export]}


def script(name: str) -> str:
    """Text of what machines fetch: a shell script, or a lock file."""
    file = resources.files("featuremill.cloud.jobs") / "bootstrap" / name
    return file.read_text(encoding="utf-8")


def script_key(name: str) -> str:
    """Key of it in the bucket; another text has another key."""
    digest = hashlib.sha256(script(name).encode()).hexdigest()[:12]
    stem, _, suffix = name.partition(".")
    return f"code/{stem}-{digest}.{suffix}"


def put_script(aws: Aws, place: Place, name: str) -> None:
    """Put it where machines fetch it."""
    aws.step(f"put {name} in the bucket")
    aws.call(
        "s3",
        "put_object",
        Bucket=place.output("Bucket"),
        Key=script_key(name),
        Body=script(name),
    )
