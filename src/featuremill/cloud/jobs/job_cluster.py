"""A job on a cluster of its own: EMR on EC2, gone when the job is over.

Only real AWS shows that bootstrap action and step work on its machines: unverified here.
"""

from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import certificates, job
from featuremill.cloud.jobs.fleets import INSTALLED, Machines, instances, job_flow, put_script
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.packaging.shipped import Code, find_code
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig


def submit(
    aws: Aws, place: Place, config: RunConfig, name: str, machines: Machines, minutes: int = 240
) -> Job:
    """Start a run on a cluster that does this one run and ends.

    The driver runs on the primary, which has nothing else to do; its log is the step's.

    Parameters
    ----------
    aws, place, config, name
        As for :func:`featuremill.cloud.jobs.serverless.submit`.
    machines : Machines
        What the cluster is made of.
    minutes : int
        After which the run is ended, and with it the cluster: idleness alone would not end one
        whose application hangs.
    """
    code = find_code(aws, place, machines.architecture, config.model)
    put_script(aws, place, "install.sh")
    certificates.provide(aws, place)
    aws.step("start a cluster for the job")
    asked = parameters(place, config, name, machines, minutes, code)
    cluster = aws.call("emr", "run_job_flow", **asked)["JobFlowId"]
    aws.step("ask for the job's step")
    first = aws.call("emr", "list_steps", ClusterId=cluster)["Steps"][0]["Id"]
    return job.submitted(job.CLUSTER, cluster, first, name, config.destination)


def parameters(
    place: Place, config: RunConfig, name: str, machines: Machines, minutes: int, code: Code
) -> dict[str, Any]:
    """Parameters of ``run_job_flow``."""
    return {
        **job_flow(place, machines, name, code, place.output("JobInstanceProfile")),
        "Applications": [{"Name": "Spark"}],
        "Instances": instances(place, machines, keep=False),
        "Steps": [_step(config, name, minutes)],
    }


def _step(config: RunConfig, name: str, minutes: int) -> dict[str, Any]:
    limit = ["timeout", "--kill-after=60", str(60 * minutes)]
    command = [*limit, "spark-submit", "--deploy-mode", "client", f"{INSTALLED}/job.py"]
    return {
        "Name": f"featuremill {name}",
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": [*command, *config.words()],
        },
    }
