"""Brings results to disk: in parallel, whole files only, and only what has changed."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws, explained
from featuremill.cloud.jobs.job import check_name
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, DestinationError, StorageError

RESULTS = "results"

_GO_ON = "What was fetched is kept; run the same command again to resume."
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
    aws: Aws,
    place: Place,
    destination: Path,
    name: str = "",
    progress: Progress = lambda _done, _bytes, _all: None,
) -> Fetched:
    """Bring results to disk.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    destination : Path
        Folder to write; made if it is missing.
    name : str
        Of the results; all of them if empty.
    progress : callable
        Told after each file.
    """
    bucket = place.output("Bucket")
    folder = f"{RESULTS}/{check_name(name)}" if name else RESULTS
    aws.step(f"see what is in s3://{bucket}/{folder}")
    results = listed(aws, bucket, folder, destination)
    aws.step(f"write to {destination} what is not there yet")
    return receive(aws, bucket, destination, results, progress)


def receive(
    aws: Aws,
    bucket: str,
    destination: Path,
    results: list[Result],
    progress: Progress = lambda _done, _bytes, _all: None,
) -> Fetched:
    """Write to disk what is not there yet of what was listed."""
    outcome = Fetched()
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


def listed(aws: Aws, bucket: str, folder: str, destination: Path) -> list[Result]:
    """Everything to fetch.

    Raises
    ------
    CloudError
        If there is nothing.
    DestinationError
        If a name cannot be that of a file.
    """
    prefix = f"{folder}/"
    there = [*aws.objects(bucket, prefix)]
    told, now = {"ETag": aws.told("ETag"), "Size": 0}, datetime.now(UTC)
    stand_in: Mapping[str, Any] = {"Key": f"{prefix}<each file>", "LastModified": now, **told}
    results = [
        Result(
            entry["Key"].removeprefix(prefix),
            entry["Key"],
            entry["Size"],
            entry["ETag"].strip('"'),
            entry["LastModified"],
        )
        for entry in aws.here(lambda: there, [stand_in])
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
    try:
        # the version that was listed, or none: results may be rewritten meanwhile
        version: dict[str, Any] = {
            "Bucket": bucket,
            "Key": result.key,
            "IfMatch": f'"{result.etag}"',
        }
        why = f"fetch {result.name}"
        answer = aws.call("s3", "get_object", why=why, **version, ChecksumMode="ENABLED")
        aws.here(lambda: _write(answer["Body"], path, result), None)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}",
            f"Make room or name another folder. {_GO_ON}",
        ) from error
    except CloudError as error:
        raise CloudError(error.problem, f"{error.remedy} {_GO_ON}".strip()) from error.__cause__
    return result.size


def _write(body: Any, path: Path, result: Result) -> None:
    """Write a file, which is there whole or not at all."""
    begun = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.part")
    try:
        # first, so that it is closed where there is nowhere to write
        with contextlib.closing(body):
            path.parent.mkdir(parents=True, exist_ok=True)
            with begun.open("wb") as file:
                file.writelines(_blocks(body, result))
        modified = result.modified.timestamp()
        os.utime(begun, (modified, modified))
        begun.replace(path)
    finally:
        with contextlib.suppress(OSError):
            begun.unlink(missing_ok=True)


def _blocks(body: Any, result: Result) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(_BLOCK)
    except Exception as error:
        raise explained(error, f"fetch {result.name}") from error


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
