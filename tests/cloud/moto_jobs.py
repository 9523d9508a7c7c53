"""What moto does not know of jobs: that they fail, and Spark's page."""

from typing import Any

FAILS = "out-of-memory"
"""A job of this name fails, in the words of EMR Serverless."""

REASON = (
    "Job failed, please check complete logs in configured logging destination. ExitCode: 1."
    " Last few exceptions: py4j.protocol.Py4JJavaError: An error occurred while calling o93.collect"
)


def install() -> None:
    """Add it to moto."""
    from moto.core.responses import ActionResult
    from moto.emrserverless import models, responses, urls

    started = models.JobRun.__init__

    def start(self: Any, *args: Any, **named: Any) -> None:
        started(self, *args, **named)
        if str(self.name).endswith(FAILS):
            self.state, self.state_details = "FAILED", REASON

    def dashboard(self: Any) -> ActionResult:
        return ActionResult({"url": f"https://spark.example/{self._get_param('jobRunId')}"})

    models.JobRun.__init__ = start  # type: ignore[method-assign]
    answers: Any = responses.EMRServerlessResponse
    answers.get_dashboard_for_job_run = dashboard
    job = "{0}/applications/(?P<applicationId>[^/]+)/jobruns/(?P<jobRunId>[^/]+)"
    urls.url_paths[f"{job}/dashboard$"] = answers.dispatch
