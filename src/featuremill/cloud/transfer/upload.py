"""Brings images into the bucket: in parallel, without holding them on disk, and checked.

What is there already is not sent again, so the same command goes on after an interruption.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer.sources import Entry, Found, Source
from featuremill.errors import CloudError, ConfigError, FeaturemillError, SourceError
from featuremill.storage.archive_bounds import Agree

INPUT = "input"

_EACH = Entry("<each file>", 0, bytes)
"""Stands in a dry run for what the source holds."""
_GO_ON = "What was sent is kept; run the same command again to resume."

Progress = Callable[[int, int], None]
"""Told the files done and their bytes, now and then."""


@dataclass(frozen=True)
class Kept:
    """An object as S3 lists it."""

    size: int
    etag: str


Listing = dict[str, Kept]
"""Names below the folder in the bucket → what is there."""


@dataclass
class Uploaded:
    """What came of an upload.

    Parameters
    ----------
    sent, there : int
        Files sent, and files that had been there already.
    size : int
        Bytes of both.
    left_out : counter
        Reason → files that were not meant to be sent.
    others : int
        Objects in the folder of the bucket that are not of this source.
    """

    sent: int = 0
    there: int = 0
    size: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    others: int = 0

    @property
    def files(self) -> int:
        """All files of the source that are in the bucket."""
        return self.sent + self.there


def upload(
    aws: Aws,
    place: Place,
    source: Source,
    to: str = INPUT,
    progress: Progress = lambda _files, _bytes: None,
    agree: Agree = lambda _: False,
) -> Uploaded:
    """Bring a source into the bucket.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    source : Source
        As :func:`~featuremill.cloud.transfer.sources.open_source` gives it.
    to : str
        Folder of the bucket: ``input``, or one below it.
    progress : callable
        Told after each file.
    agree : callable
        Asked whether to go on, where an archive unpacks to more than is usual.
    """
    bucket, folder = place.output("Bucket"), check_folder(to)
    where = f"s3://{bucket}/{folder}"
    aws.step(f"see what is in {where}")
    there = listing(aws, bucket, folder)
    aws.step(f"send what is missing there of {source.title}")
    outcome, expected = send(aws, bucket, folder, there, source, progress, agree)
    aws.step(f"check count, sizes and checksums in {where}")
    now = listing(aws, bucket, folder)
    return aws.here(lambda: verified(where, outcome, expected, now), outcome)


def listing(aws: Aws, bucket: str, folder: str) -> Listing:
    """Everything below a folder of the bucket."""
    prefix = f"{folder}/"
    return {
        entry["Key"].removeprefix(prefix): Kept(entry["Size"], entry["ETag"].strip('"'))
        for entry in aws.objects(bucket, prefix)
    }


def check_folder(to: str) -> str:
    """The folder of the bucket, without slashes around it; refused where no job may read.

    Raises
    ------
    ConfigError
        If it is neither ``input`` nor below it.
    """
    parts = to.strip("/").split("/")
    if parts[0] != INPUT or {"", ".", ".."} & set(parts):
        raise ConfigError(
            f"--to is {to!r}, must be {INPUT} or a folder below it",
            "The job may read nothing else: for example --to input/autumn.",
        )
    return "/".join(parts)


def send(
    aws: Aws,
    bucket: str,
    folder: str,
    there: Listing,
    source: Source,
    progress: Progress = lambda _files, _bytes: None,
    agree: Agree = lambda _: False,
) -> tuple[Uploaded, Listing]:
    """Send all of a source that is not there, and tell what must be in the bucket afterwards."""
    outcome, expected = Uploaded(), Listing()
    # made in this thread: boto3 may not make clients in several at the same time
    aws.client("s3")
    begun: set[str] = set()

    def again(entry: Entry) -> bool:
        """Whether an archive holds a name twice, of which the later one counts."""
        known = entry.name in begun
        begun.add(entry.name)
        return known

    one = partial(_sent, aws, bucket, folder, there)
    try:
        found = aws.here(lambda: source.entries(agree), iter([_EACH]))
        for name, kept, sent in each(_wanted(found, outcome), one, lambda entry: entry.size, again):
            expected[name] = kept
            outcome.sent += sent
            outcome.there += not sent
            outcome.size += kept.size
            progress(outcome.files, outcome.size)
    except FeaturemillError as error:
        if isinstance(error, SourceError) and not outcome.files:
            raise
        done = f"{error.problem} (after {outcome.files:,} files)"
        raise CloudError(done, f"{error.remedy} {_GO_ON}".strip()) from error
    if not expected:
        reasons = (f"{count:,} {why}" for why, count in outcome.left_out.items())
        left_out = ", ".join(reasons) or "it is empty"
        raise SourceError(
            f"{source.title} holds no file to send: {left_out}", "Name the folder of images."
        )
    return outcome, expected


def _sent(
    aws: Aws, bucket: str, folder: str, there: Listing, entry: Entry
) -> tuple[str, Kept, bool]:
    """Send a file unless it is there; tells its name, what is there now, whether it was sent.

    boto3 sends the SHA-256 along, and S3 refuses what it does not fit.
    """
    data, kept = entry.read(), there.get(entry.name)
    place: dict[str, Any] = {"Bucket": bucket, "Key": f"{folder}/{entry.name}"}
    if kept and kept.size == len(data) and _is(aws, place, kept, data):
        return entry.name, kept, False
    why = f"send {entry.name!r}"
    sent = aws.call("s3", "put_object", why=why, **place, Body=data, ChecksumAlgorithm="SHA256")
    return entry.name, Kept(len(data), sent["ETag"].strip('"')), True


def _is(aws: Aws, place: dict[str, Any], kept: Kept, data: bytes | bytearray) -> bool:
    if hashlib.md5(data, usedforsecurity=False).hexdigest() == kept.etag:
        return True
    # with a key of one's own, or sent in parts, the ETag is no MD5
    why = f"compare {place['Key']!r}"
    found = aws.call("s3", "head_object", why=why, **place, ChecksumMode="ENABLED")
    sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return bool(found.get("ChecksumSHA256") == sha256)


def _wanted(found: Iterable[Found], outcome: Uploaded) -> Iterator[Entry]:
    for one in found:
        if isinstance(one, Entry):
            yield one
        else:
            outcome.left_out[one.why] += 1


def verified(where: str, outcome: Uploaded, expected: Listing, now: Listing) -> Uploaded:
    """What came of it, after a look at what is in the bucket now.

    Raises
    ------
    CloudError
        If anything of it is missing or another.
    """
    wrong = [name for name, kept in expected.items() if now.get(name) != kept]
    if wrong:
        some = ", ".join(wrong[:3])
        raise CloudError(
            f"{where} lacks or has changed {len(wrong):,} of {len(expected):,} files: {some}",
            f"Is something else writing there? {_GO_ON}",
        )
    # markers of folders, which the console makes, are no images
    outcome.others = sum(name not in expected and not name.endswith("/") for name in now)
    return outcome
