"""Logs of a job, as AWS leaves them in the bucket.

EMR Serverless renews them every 15 seconds, EMR on EC2 every five minutes. That they really lie
where this looks, only real AWS shows: unverified here.

A job may write whatever it likes where its logs are kept. So only names that logs have are read,
and of each log no more than a person would.
"""

import gzip
import re
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featuremill.cloud.aws.client import Aws, explained
from featuremill.cloud.jobs import fleets, serverless
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs.diagnose import Diagnosis, diagnose
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import StorageError

DRIVER = "driver"
_MOST_READ = 64
"""Logs that are read for a diagnosis: what fails on one executor fails on others."""

_LARGEST = 1 << 30
"""Bytes of a log, decompressed, that are read: 1 MB of zeros unpacks to 1 GB."""
_LONGEST = 1 << 16
"""Bytes of a line; what is longer goes on in the next one."""

# letters, digits and hyphens: no name leads out of the folder it is written to
_SERVERLESS = re.compile(
    r"(?:attempts/\d+/)?SPARK_(DRIVER|EXECUTOR)/(?:([\w-]+)/)?(?:archived/)?"
    r"(stdout|stderr)(?:[_.-]\w+)*",
    re.ASCII,
)
_STEP = re.compile(r"steps/([\w-]+)/(\w+)\.gz", re.ASCII)
_CONTAINER = re.compile(r"containers/[\w-]+/([\w-]+)/(\w+)\.gz(?:[_.-]\w+)*", re.ASCII)
_BOOTSTRAP = re.compile(r"node/([\w-]+)/bootstrap-actions/(?:[\w-]+/)+(\w+)\.gz", re.ASCII)


@dataclass(frozen=True)
class LogFile:
    """One log.

    Parameters
    ----------
    key, name : str
        Where it lies in the bucket, and below the job's folder.
    role : str
        Whose it is: ``driver``, ``executor 3``, ``bootstrap i-0ab``.
    stream : str
        ``stderr``, ``stdout``, ``controller``.
    size : int
        Bytes, compressed.
    """

    key: str
    name: str
    role: str
    stream: str
    size: int

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.role} {self.stream}"


def files(aws: Aws, place: Place, job: Job) -> list[LogFile]:
    """Logs of a job that are there: the driver's first, of each what it said of errors first."""
    bucket, prefix = place.output("Bucket"), _prefix(job)
    found = []
    for entry in aws.objects(bucket, prefix):
        name = entry["Key"].removeprefix(prefix)
        whose = _whose(name, job)
        if whose:
            found.append(LogFile(entry["Key"], name, *whose, entry["Size"]))
    return sorted(found, key=_order)


def lines(aws: Aws, place: Place, log: LogFile) -> Iterator[str]:
    """Lines of a log, as far as it was written when it was asked for.

    Raises
    ------
    CloudError
        If it cannot be read.
    """
    try:
        answer = aws.client("s3").get_object(Bucket=place.output("Bucket"), Key=log.key)
        with answer["Body"] as body, gzip.GzipFile(fileobj=body) as file:
            try:
                yield from _bounded(file)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                # still being written, or no log
                return
    except Exception as error:
        raise explained(error, f"read {log.key}") from error


def _bounded(file: gzip.GzipFile) -> Iterator[str]:
    read = 0
    while line := file.readline(_LONGEST):
        read += len(line)
        if read > _LARGEST:
            yield f"(cut here: this log has more than {_LARGEST >> 30} GiB)"
            return
        yield line.decode("utf-8", "replace").rstrip("\n")


def end(aws: Aws, place: Place, logs: Sequence[LogFile], most: int) -> tuple[LogFile, list[str]]:
    """The first log that says anything, else the first of all, and its last lines.

    Parameters
    ----------
    logs : sequence of LogFile
        At least one.
    most : int
        Lines.
    """
    for log in logs:
        if last := [*deque(lines(aws, place, log), maxlen=most)]:
            return log, last
    return logs[0], []


def fetch(aws: Aws, place: Place, job: Job, folder: Path) -> list[Path]:
    """Write all logs of a job to a folder, decompressed.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    written: list[Path] = []
    for log in files(aws, place, job):
        target = folder / re.sub(r"\.gz", "", log.name)
        if target in written:
            # beside a log that is compressed, one of the same name that is not
            target = folder / log.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines(aws, place, log))
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror or error}", "Name another folder."
            ) from error
        written.append(target)
    return written


def explain(aws: Aws, place: Place, job: Job, ended: str = "") -> Diagnosis | None:
    """Name the cause of a job's failure; None where nothing is said of it yet.

    Parameters
    ----------
    ended : str
        AWS' own reason.
    """
    found = files(aws, place, job)[:_MOST_READ]
    return diagnose(((log.title, lines(aws, place, log)) for log in found), ended)


def _prefix(job: Job) -> str:
    if job.kind == jobs.SERVERLESS:
        return f"{serverless.logs_of(job.name)}/applications/{job.where}/jobs/{job.id}/"
    return f"{fleets.LOGS}/{job.where}/"


def _whose(name: str, job: Job) -> tuple[str, str] | None:
    """Role and stream of a log, or None for what is none of this job's."""
    if job.kind == jobs.SERVERLESS:
        match = _SERVERLESS.fullmatch(name)
        if match is None:
            return None
        driver = match[1] == "DRIVER"
        return (DRIVER if driver else f"executor {match[2]}"), match[3]
    if step := _STEP.fullmatch(name):
        return (DRIVER, step[2]) if step[1] == job.id else None
    for pattern, role in ((_CONTAINER, "executor"), (_BOOTSTRAP, "bootstrap")):
        if match := pattern.fullmatch(name):
            return f"{role} {match[1]}", match[2]
    return None


def _order(log: LogFile) -> tuple[bool, int, list[str | int], str]:
    """By number where a name holds one: executor 2 comes before executor 10."""
    # spark-submit puts out both streams of the driver's Python as one; Spark itself logs to stderr
    streams = ("stdout", "stderr") if log.role == DRIVER else ("stderr", "stdout")
    rank = streams.index(log.stream) if log.stream in streams else len(streams)
    parts = [part.zfill(12) if part.isdigit() else part for part in re.split(r"(\d+)", log.role)]
    return log.role != DRIVER, rank, [*parts], log.name
