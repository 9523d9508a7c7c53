"""Brings results to disk: in parallel, whole files only, and only what has changed."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws, explained
from featuremill.cloud.aws.plan import Answers, Plan, Work
from featuremill.cloud.jobs.job import check_name
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, DestinationError, StorageError

RESULTS = "results"
FETCHED = "fetched"
"""Name under which the plan's last step leaves its :class:`Fetched`."""

_GO_ON = "What was fetched is kept: the same command goes on from there."
_BLOCK = 1 << 20
_LONGEST = 255
"""Bytes of a name that file systems take."""

Progress = Callable[[int, int, int], None]
"""Told the files done, the bytes received, and how many files there are."""


@dataclass(frozen=True)
class Result:
    """An object that becomes a file."""

    name: str
    key: str
    size: int
    etag: str
    modified: datetime


@dataclass
class Fetched:
    """What came of it.

    Parameters
    ----------
    received, there : int
        Files received, and files that were on disk already.
    size : int
        Bytes received.
    """

    received: int = 0
    there: int = 0
    size: int = 0


def fetch(
    place: Place,
    destination: Path,
    name: str = "",
    progress: Progress = lambda _done, _bytes, _all: None,
) -> Plan:
    """Plan for bringing results to disk.

    Parameters
    ----------
    place : Place
        The stack.
    destination : Path
        Folder to write; made if it is missing.
    name : str
        Of the results; all of them if empty.
    progress : callable
        Told after each file.

    Returns
    -------
    sequence of Step
        Its step ``fetched`` answers with :class:`Fetched`.
    """
    bucket = place.output("Bucket")
    folder = f"{RESULTS}/{check_name(name)}" if name else RESULTS

    def look(aws: Aws, _answers: Answers) -> list[Result]:
        return _listed(aws, bucket, folder, destination)

    def receive(aws: Aws, answers: Answers) -> Fetched:
        results, outcome = answers["results"], Fetched()
        # made in this thread: boto3 may not make clients in several at the same time
        aws.client("s3")
        one = partial(_received, aws, bucket, destination)
        # the logs of tables last, which make their files count
        for logs in (False, True):
            part = [result for result in results if ("_delta_log/" in result.name) is logs]
            for size in each(part, one, lambda _: _BLOCK):
                outcome.received += size is not None
                outcome.there += size is None
                outcome.size += size or 0
                progress(outcome.received + outcome.there, outcome.size, len(results))
        return outcome

    why, calls = f"see what is in s3://{bucket}/{folder}", ("s3.list_objects_v2",)
    return [
        Work(why, look, "results", calls, changes=False),
        Work(f"write to {destination} what is not there yet", receive, FETCHED, ("s3.get_object",)),
    ]


def _listed(aws: Aws, bucket: str, folder: str, destination: Path) -> list[Result]:
    """Everything to fetch."""
    prefix = f"{folder}/"
    results = [
        Result(
            entry["Key"].removeprefix(prefix),
            entry["Key"],
            entry["Size"],
            entry["ETag"].strip('"'),
            entry["LastModified"],
        )
        for page in aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix)
        for entry in page.get("Contents", ())
        if not entry["Key"].endswith("/")
    ]
    if not results:
        raise CloudError(
            f"s3://{bucket}/{folder} holds nothing",
            "Is the job over? `featuremill cloud status` tells.",
        )
    _check_names([result.name for result in results], destination)
    return results


def _check_names(found: list[str], destination: Path) -> None:
    """Refuse, before anything is written, names that cannot be files or lead elsewhere."""
    folders = {name[:at] for name in found for at, letter in enumerate(name) if letter == "/"}
    for name in found:
        parts = name.split("/")
        if (
            {"", ".", ".."} & set(parts)
            or "\0" in name
            or name in folders
            or any(len(os.fsencode(part)) > _LONGEST for part in parts)
        ):
            raise DestinationError(
                f"{name!r} cannot be a file below {destination}",
                "Rename or delete that object: `aws s3 mv`, `aws s3 rm`.",
            )


def _received(aws: Aws, bucket: str, destination: Path, result: Result) -> int | None:
    """Receive one file unless it is there; tells its bytes."""
    path = destination / result.name
    if _unchanged(path, result):
        return None
    begun = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with begun.open("wb") as file:
            _receive(aws, bucket, result, file)
        modified = result.modified.timestamp()
        os.utime(begun, (modified, modified))
        begun.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}",
            f"Make room or name another folder. {_GO_ON}",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            begun.unlink(missing_ok=True)
    return result.size


def _receive(aws: Aws, bucket: str, result: Result, file: BinaryIO) -> None:
    # the version that was listed, or none: results may be rewritten meanwhile
    version = {"Bucket": bucket, "Key": result.key, "IfMatch": f'"{result.etag}"'}
    try:
        answer = aws.client("s3").get_object(**version, ChecksumMode="ENABLED")
        with contextlib.closing(answer["Body"]) as body:
            for block in body.iter_chunks(_BLOCK):
                file.write(block)
    except OSError:
        raise
    except Exception as error:
        failed = explained(error, f"fetch {result.name}")
        if isinstance(failed, CloudError):
            raise CloudError(failed.problem, f"{failed.remedy} {_GO_ON}".strip()) from error
        raise


def _unchanged(path: Path, result: Result) -> bool:
    """Whether a file is what is in the bucket: by its MD5, or where the ETag is none, its time."""
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != result.size:
        return False
    if int(status.st_mtime) == int(result.modified.timestamp()):
        return True
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest() == result.etag
