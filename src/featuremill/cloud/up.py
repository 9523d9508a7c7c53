"""Everything from an empty account to results: the other commands, one after the other.

Every part is skipped, by the part itself, where it has been done already; so after whatever went
wrong the same command goes on.
"""

from dataclasses import dataclass
from pathlib import Path

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import DEFAULT_REGION
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.jobs import serverless
from featuremill.cloud.jobs.job import SERVERLESS, Job, destination_of, last_job, source_of
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.jobs.status import Status, status
from featuremill.cloud.packaging import architecture
from featuremill.cloud.packaging.archive import Recipe
from featuremill.cloud.packaging.package import Packaged, package
from featuremill.cloud.stack.parameters import DEFAULT_STACK, StackOptions
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer.sources import Source
from featuremill.cloud.transfer.upload import INPUT, Progress, Uploaded, upload
from featuremill.config import RunConfig
from featuremill.errors import ConfigError
from featuremill.storage.archive_bounds import Agree


@dataclass(frozen=True)
class Errand:
    """What is to be brought up, run and brought home.

    Parameters
    ----------
    source : Source
        The images.
    name : str
        Of the results.
    model : str
        Name of the network.
    limits : JobLimits
        What the job may use.
    destination : Path
        Folder for the results.
    """

    source: Source
    name: str
    model: str
    limits: JobLimits
    destination: Path

    def recipe(self, place: Place) -> Recipe:
        """The archive that the stack's machines need.

        Raises
        ------
        ModelError
            If there is no such model.
        """
        recipe = Recipe(architecture.get(place.output("Architecture")), self.model)
        recipe.check()
        return recipe

    def config(self, place: Place) -> RunConfig:
        """The run, with all that a person may choose at its default but for the network.

        Raises
        ------
        ConfigError
            If the name cannot be one of results.
        """
        ends = source_of(place), destination_of(place, self.name)
        return RunConfig(*ends, model=self.model, region=place.region)


def stack_for(
    before: Place | None,
    region: str | None,
    architecture: str | None,
    email: str | None,
    max_vcpu: int = DEFAULT_VCPU,
) -> StackOptions:
    """The stack of a folder, or a new one.

    Parameters
    ----------
    before : Place or None
        The stack that the folder belongs to.
    region, architecture, email : str or None
        As they are asked for; what is None stays as it is, or takes the default.
    max_vcpu : int
        That the application must be allowed to use.

    Raises
    ------
    ConfigError
        If the folder's stack is in another region, or an option is out of its bounds.
    """
    if before is not None and region not in (None, before.region):
        raise ConfigError(
            f"--region is {region}, but this folder belongs to stack {before.stack} in"
            f" {before.region}",
            "Go to another folder, or take that stack down: `featuremill cloud destroy`.",
        )
    known = before.outputs if before else {}
    allowed = int(known.get("MaximumVcpu", DEFAULT_VCPU))
    return StackOptions(
        stack=before.stack if before else DEFAULT_STACK,
        region=before.region if before else region or DEFAULT_REGION,
        allowed_regions=before.allowed_regions if before else (),
        architecture=architecture,
        email=email,
        max_vcpu=max_vcpu if max_vcpu > allowed else None,
    )


def bring(
    aws: Aws,
    place: Place,
    errand: Errand,
    sent: Progress = lambda _files, _bytes: None,
    agree: Agree = lambda _: False,
) -> tuple[Uploaded, Packaged]:
    """Bring images and archive into the bucket."""
    uploaded = upload(aws, place, errand.source, INPUT, sent, agree)
    return uploaded, package(aws, errand.recipe(place), place.output("Bucket"))


def submit(aws: Aws, place: Place, errand: Errand) -> Job:
    """Submit the job."""
    return serverless.submit(aws, place, errand.config(place), errand.name, errand.limits)


def under_way(aws: Aws, place: Place, errand: Errand, *, all_there: bool) -> Status | None:
    """The job of these results that makes another one needless, if there is one.

    That is one that still goes on, and one that succeeded if nothing has been sent since.

    Parameters
    ----------
    aws, place, errand
        The connection, the stack and what is wanted.
    all_there : bool
        Whether images and archive were all in the bucket before.
    """
    if not place.last_job:
        return None
    job, application = last_job(place), place.output("ApplicationId")
    ours = (SERVERLESS, application, destination_of(place, errand.name))
    if (job.kind, job.where, job.destination) != ours:
        return None
    found = status(aws, place, job)
    return found if not found.failed and (all_there or not found.over) else None
