"""A job on a cluster of its own: EMR on EC2, gone when the job is over.

Only real AWS shows that bootstrap action and step work on its machines: unverified here.
"""

from typing import Any

from featuremill.cloud.aws.plan import Answers, Call, Later, Plan, Wait
from featuremill.cloud.jobs import certificates, job
from featuremill.cloud.jobs.fleets import INSTALLED, Machines, instances, job_flow, put_script
from featuremill.cloud.jobs.job import Job, Submission
from featuremill.cloud.packaging.shipped import find_code
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig

_CLUSTER, _STEPS = "cluster", "steps"


def submission(
    place: Place,
    config: RunConfig,
    name: str,
    machines: Machines,
    hours: float = 4.0,
    seconds: float = 20.0,
) -> Submission:
    """A run on a cluster that does this one run and ends.

    The driver runs on the primary, which has nothing else to do; its log is the step's.

    Parameters
    ----------
    place, config, name
        As for :func:`featuremill.cloud.jobs.serverless.submission`.
    machines : Machines
        What the cluster is made of.
    hours : float
        After which the run is ended, and with it the cluster: idleness alone would not end one
        whose application hangs.
    seconds : float
        Between two looks at how it is.
    """
    cluster, step = Later(_CLUSTER, "JobFlowId"), Later(_STEPS, "Steps[0].Id")
    parameters = {
        **job_flow(place, machines, name, place.output("JobInstanceProfile")),
        "Applications": [{"Name": "Spark"}],
        "Instances": instances(place, machines, keep=False),
        "Steps": [_step(config, name, hours)],
    }
    ask = {"ClusterId": cluster}
    plan: Plan = [
        find_code(place, machines.architecture, config.model),
        put_script(place, "install.sh"),
        certificates.provide(place),
        Call("emr", "run_job_flow", parameters, "start a cluster for the job", _CLUSTER),
        Call("emr", "list_steps", ask, "ask for the job's step", _STEPS, changes=False),
    ]
    look = {"ClusterId": cluster, "StepId": step}
    wait = Wait(
        Call("emr", "describe_step", look, "wait for the job", changes=False),
        "Step.Status.State",
        ("COMPLETED",),
        ("CANCELLED", "FAILED", "INTERRUPTED"),
        reason="Step.Status.FailureDetails.Message || Step.Status.StateChangeReason.Message",
        seconds=seconds,
        # what comes before the run itself is not part of its time
        limit=3600 * (hours + 0.5),
    )

    def started(answers: Answers) -> Job:
        flow, first = answers[_CLUSTER]["JobFlowId"], answers[_STEPS]["Steps"][0]["Id"]
        return job.submitted(job.CLUSTER, flow, first, name, config.destination)

    return Submission(plan, wait, started)


def _step(config: RunConfig, name: str, hours: float) -> dict[str, Any]:
    limit = ["timeout", "--kill-after=60", str(round(3600 * hours))]
    command = [*limit, "spark-submit", "--deploy-mode", "client", f"{INSTALLED}/job.py"]
    return {
        "Name": f"featuremill {name}",
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": [*command, *config.words()],
        },
    }
