"""What moto does not know of jobs: that they fail, or take time; Spark's page; what they cost."""

import json
from typing import Any

FAILS = "out-of-memory"
"""A job of this name fails, in the words of EMR Serverless."""
GOES_ON = "takes-long"
"""A job of this name runs until it is cancelled."""

BILLED = {"vCPUHour": 0.25, "memoryGBHour": 1.5, "storageGBHour": 0.0}
"""What every job is billed."""

REASON = (
    "Job failed, please check complete logs in configured logging destination. ExitCode: 1."
    " Last few exceptions: py4j.protocol.Py4JJavaError: An error occurred while calling o93.collect"
)


def install() -> None:
    """Add it to moto."""
    from moto.ce.responses import CostExplorerResponse
    from moto.core.responses import ActionResult
    from moto.core.utils import utcnow
    from moto.emr.responses import ElasticMapReduceResponse
    from moto.emrserverless import models, responses, urls

    started = models.JobRun.__init__

    def start(self: Any, *args: Any, **named: Any) -> None:
        started(self, *args, **named)
        if str(self.name).endswith(FAILS):
            self.state, self.state_details = "FAILED", REASON
        if str(self.name).endswith(GOES_ON):
            self.state = "RUNNING"
        # moto knows the day only
        self.created_at = self.updated_at = utcnow()
        self.billed_resource_utilization = dict(BILLED)

    def dashboard(self: Any) -> ActionResult:
        return ActionResult({"url": f"https://spark.example/{self._get_param('jobRunId')}"})

    def tags(self: Any) -> str:
        # as long as nobody has activated one
        return json.dumps({"CostAllocationTags": []})

    def configurations(self: Any) -> ActionResult:
        there = [{"Name": name} for name in self.backend.security_configurations]
        return ActionResult({"SecurityConfigurations": there})

    clusters: Any = ElasticMapReduceResponse
    # at an address that names no region it would take every cluster to be in us-east-1
    del clusters.get_region_from_url
    clusters.list_security_configurations = configurations
    costs: Any = CostExplorerResponse
    costs.list_cost_allocation_tags = tags
    models.JobRun.__init__ = start  # type: ignore[method-assign]
    answers: Any = responses.EMRServerlessResponse
    answers.get_dashboard_for_job_run = dashboard
    job = "{0}/applications/(?P<applicationId>[^/]+)/jobruns/(?P<jobRunId>[^/]+)"
    urls.url_paths[f"{job}/dashboard$"] = answers.dispatch
