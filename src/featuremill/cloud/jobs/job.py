"""What a submitted job is, and what is asked of it: the arguments of ``featuremill run``."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from featuremill.cloud.stack.project_file import FILE, Place
from featuremill.errors import ConfigError

DEFAULT_NAME = "main"
PYTHON = "python3.11"
"""The interpreter on every release used here; the archive's packages are built for it."""

SERVERLESS = "serverless"
CLUSTER = "cluster"

WORKER_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        # one task slot is one core; nested thread pools would fight for it
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        # beside the packages, where compiled code would go, a worker may not write; its own
        # folder is nobody else's
        "NUMBA_CACHE_DIR": "./numba",
    }
)


@dataclass(frozen=True)
class Job:
    """A submitted job, as the file of the folder keeps it under ``last_job``.

    Parameters
    ----------
    kind : str
        ``serverless``, or ``cluster`` for a step of an EMR-on-EC2 cluster.
    where, id : str
        Application and job run, or cluster and step.
    name : str
        Of the results.
    destination : str
        ``s3://bucket/results/name``.
    submitted : str
        When, in UTC, as ISO 8601.
    """

    kind: str
    where: str
    id: str
    name: str
    destination: str
    submitted: str

    def kept_in(self, place: Place) -> Place:
        """The place with this as its newest job."""
        return replace(place, last_job=asdict(self))

    @property
    def started(self) -> datetime:
        """When it was submitted."""
        return datetime.fromisoformat(self.submitted)


def last_job(place: Place) -> Job:
    """The newest job submitted from this folder.

    Raises
    ------
    ConfigError
        If none was.
    """
    if not place.last_job:
        raise ConfigError(
            f"no job of stack {place.stack} was submitted from this folder",
            "Submit one: `featuremill cloud submit`.",
        )
    try:
        job = Job(**place.last_job)
        _ = job.started
        for identifier in (job.where, job.id):
            if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", identifier):
                raise ValueError(f"{identifier!r} is no identifier")
        # the stack's own bucket, whatever the file says
        return replace(job, destination=destination_of(place, job.name))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{FILE} is damaged where it names the newest job: {error}",
            f"Delete last_job in {FILE}; `featuremill cloud status` then asks AWS.",
        ) from error


def submitted_here(place: Place) -> Job | None:
    """The newest job submitted from this folder, if one was.

    Raises
    ------
    ConfigError
        If what is kept of it is damaged.
    """
    return last_job(place) if place.last_job else None


def submitted(kind: str, where: str, identifier: str, name: str, destination: str) -> Job:
    """A job that was submitted just now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Job(kind, where, identifier, name, destination, now)


def check_name(name: str) -> str:
    """Refuse what cannot name a folder of results.

    Raises
    ------
    ConfigError
        If it is not made of letters, digits, dots, underscores and hyphens.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        return name
    raise ConfigError(
        f"--name is {name!r}", "Take up to 64 letters, digits, dots, underscores and hyphens."
    )


def source_of(place: Place, source: str = "") -> str:
    """URL of the images: all that was uploaded, or one folder of it."""
    folder = source.strip("/").removeprefix("input").strip("/")
    return f"s3://{place.output('Bucket')}/input" + (f"/{folder}" if folder else "")


def destination_of(place: Place, name: str) -> str:
    """URL of the results of a name."""
    return f"s3://{place.output('Bucket')}/results/{check_name(name)}"
