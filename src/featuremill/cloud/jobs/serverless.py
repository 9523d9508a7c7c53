"""A job on EMR Serverless: no cluster, billed by the second, nothing to shut down.

Only real AWS shows that a job starts with these properties: unverified here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU, DRIVER, SLOT_MB, serverless
from featuremill.cloud.jobs import job
from featuremill.cloud.jobs.job import PYTHON, WORKER_ENVIRONMENT, Job
from featuremill.cloud.packaging.shipped import Code, find_code
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig
from featuremill.errors import ConfigError
from featuremill.workers.protocol import TASK_ATTEMPTS

LOGS = "logs/serverless"
"""Where in the bucket the service puts logs."""
DEFAULT_TIMEOUT = 240
_TIMEOUT = (5, 10_080)
"""Minutes; AWS takes no less, and a week is longer than anything here takes."""

# where the archive lies for driver and executors; pip --target leaves packages at its top
_DEPS = "./deps"


@dataclass(frozen=True)
class JobLimits:
    """What a job may use at most.

    Parameters
    ----------
    max_vcpu : int
        vCPUs at once, the driver's included.
    timeout : int
        Minutes after which AWS stops it.
    slot_mb : int
        Memory of each task slot's Python.
    """

    max_vcpu: int = DEFAULT_VCPU
    timeout: int = DEFAULT_TIMEOUT
    slot_mb: int = SLOT_MB

    def __post_init__(self) -> None:
        if not _TIMEOUT[0] <= self.timeout <= _TIMEOUT[1]:
            raise ConfigError(
                f"--timeout is {self.timeout}, it must be from {_TIMEOUT[0]} to {_TIMEOUT[1]:,}"
                " minutes",
                f"The default is {DEFAULT_TIMEOUT}.",
            )


def submit(
    aws: Aws, place: Place, config: RunConfig, name: str, limits: JobLimits | None = None
) -> Job:
    """Start a run of this configuration.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    config : RunConfig
        The run; source and destination as :func:`~featuremill.cloud.jobs.job.source_of` and
        :func:`~featuremill.cloud.jobs.job.destination_of` give them.
    name : str
        Of the results.
    limits : JobLimits, optional
        The most it may use.
    """
    code = find_code(aws, place, place.output("Architecture"), config.model)
    aws.step(f"start the job for {config.destination}")
    asked = parameters(place, config, name, limits or JobLimits(), code)
    started = aws.call("emr-serverless", "start_job_run", **asked)
    where, identifier = place.output("ApplicationId"), started["jobRunId"]
    return job.submitted(job.SERVERLESS, where, identifier, name, config.destination)


def check_capacity(place: Place, max_vcpu: int) -> None:
    """Refuse more vCPUs than the stack's application may use: the rest would never come.

    Raises
    ------
    ConfigError
        If it is more; a stack of an earlier version does not say.
    """
    allowed = place.outputs.get("MaximumVcpu")
    if allowed is not None and max_vcpu > int(allowed):
        raise ConfigError(
            f"--max-vcpu is {max_vcpu:,}, the application of stack {place.stack} may use {allowed}",
            f"Take {allowed}, or raise it: `featuremill cloud deploy --max-vcpu {max_vcpu}`.",
        )


def default_vcpu(place: Place) -> int:
    """The vCPUs of a job that says nothing of them: the usual number, or what the stack may use."""
    return min(DEFAULT_VCPU, int(place.outputs.get("MaximumVcpu", DEFAULT_VCPU)))


def parameters(
    place: Place, config: RunConfig, name: str, limits: JobLimits, code: Code
) -> dict[str, Any]:
    """Parameters of ``start_job_run``."""
    bucket = place.output("Bucket")
    properties = spark_properties(limits, code.archive).items()
    submit = {
        "entryPoint": code.entry,
        "entryPointArguments": config.words(),
        "sparkSubmitParameters": " ".join(f"--conf {key}={value}" for key, value in properties),
    }
    logs = {"s3MonitoringConfiguration": {"logUri": f"s3://{bucket}/{logs_of(name)}/"}}
    return {
        "applicationId": place.output("ApplicationId"),
        # a repetition after a lost answer must not start a second job
        "clientToken": uuid4().hex,
        "name": f"featuremill-{name}",
        "executionRoleArn": place.output("JobRoleArn"),
        "executionIamPolicy": {"policy": narrowed_policy(bucket, config, name)},
        "jobDriver": {"sparkSubmit": submit},
        "configurationOverrides": {"monitoringConfiguration": logs},
        "executionTimeoutMinutes": limits.timeout,
        # the next run goes on where this one ended, but only a person decides to pay for it
        "retryPolicy": {"maxAttempts": 1},
        "tags": {"featuremill": place.stack},
    }


def spark_properties(limits: JobLimits, archive: str) -> Mapping[str, str]:
    """Spark's properties of a job that runs from an archive."""
    environment = {"PYTHONPATH": _DEPS, "PYSPARK_PYTHON": PYTHON}
    driver = {**environment, "PYSPARK_DRIVER_PYTHON": PYTHON, **WORKER_ENVIRONMENT}
    executor = {**environment, **WORKER_ENVIRONMENT}
    return {
        "spark.archives": f"{archive}#deps",
        **{f"spark.emr-serverless.driverEnv.{name}": value for name, value in driver.items()},
        **{f"spark.executorEnv.{name}": value for name, value in executor.items()},
        "spark.driver.cores": str(DRIVER.cores),
        "spark.driver.memory": f"{DRIVER.heap_mb}m",
        "spark.driver.memoryOverhead": f"{DRIVER.overhead_mb}m",
        **serverless(limits.max_vcpu, limits.slot_mb).properties(),
        "spark.task.maxFailures": str(TASK_ATTEMPTS),
    }


def logs_of(name: str) -> str:
    """Folder of the bucket for the logs of the runs that make the results of a name.

    Each has its own, since a job may write wherever its logs are kept, and people read them.
    """
    return f"{LOGS}/{name}"


def narrowed_policy(bucket: str, config: RunConfig, name: str) -> str:
    """Policy that keeps one run to its own source, results and logs, whatever its role may do.

    What it allows beyond the role has no effect: the job may do what both allow.
    """
    whole = f"arn:aws:s3:::{bucket}"

    def below(url: str) -> str:
        return f"arn:aws:s3:::{url.removeprefix('s3://')}/*"

    results, read = below(config.destination), ["s3:GetObject"]
    write = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    statements = [
        _allow(["s3:ListBucket", "s3:GetBucketLocation"], [whole]),
        _allow(read, [below(config.source), f"{whole}/code/*", results]),
        _allow([*write, "s3:ListMultipartUploadParts"], [results]),
        _allow(["s3:PutObject"], [f"{whole}/{logs_of(name)}/*"]),
        _allow(["logs:CreateLogStream", "logs:PutLogEvents", "logs:Describe*"], ["*"]),
        # for buckets with a key of their own
        _allow(["kms:Decrypt", "kms:GenerateDataKey"], ["*"]),
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _allow(actions: list[str], resources: list[str]) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
