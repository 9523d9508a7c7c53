"""Brings images into the bucket: in parallel, without holding them on disk, and checked.

What is there already is not sent again, so the same command goes on after an interruption.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer.bounds import Agree
from featuremill.cloud.transfer.sources import Entry, Found, Source
from featuremill.errors import CloudError, ConfigError, FeaturemillError, SourceError

INPUT = "input"
UPLOADED = "uploaded"
"""Name under which the plan's last step leaves its :class:`Uploaded`."""

_GO_ON = "What was sent is kept: the same command goes on from there."

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
    place: Place,
    source: Source,
    to: str = INPUT,
    progress: Progress = lambda _files, _bytes: None,
    agree: Agree = lambda _: False,
) -> Plan:
    """Plan for bringing a source into the bucket.

    Parameters
    ----------
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

    Returns
    -------
    sequence of Step
        Its step ``uploaded`` answers with :class:`Uploaded`.
    """
    bucket, folder = place.output("Bucket"), _checked_folder(to)
    where = f"s3://{bucket}/{folder}"

    def look(aws: Aws, _answers: Answers) -> Listing:
        return listing(aws, bucket, folder)

    def send(aws: Aws, answers: Answers) -> tuple[Uploaded, Listing]:
        return _Sending(aws, bucket, folder, answers["there"]).all_of(source, progress, agree)

    def check(aws: Aws, answers: Answers) -> Uploaded:
        outcome, expected = answers["sent"]
        return _verified(where, outcome, expected, listing(aws, bucket, folder))

    missing = f"send what is missing there of {source.title}"
    looks, sends = (
        ("s3.list_objects_v2",),
        ("s3.put_object", "s3.head_object where an ETag is no MD5"),
    )
    checks = f"check count, sizes and checksums in {where}"
    return [
        Work(f"see what is in {where}", look, "there", looks, changes=False),
        Work(missing, send, "sent", sends),
        Work(checks, check, UPLOADED, looks, changes=False),
    ]


def listing(aws: Aws, bucket: str, folder: str) -> Listing:
    """Everything below a folder of the bucket."""
    prefix = f"{folder}/"
    return {
        entry["Key"].removeprefix(prefix): Kept(entry["Size"], entry["ETag"].strip('"'))
        for page in aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix)
        for entry in page.get("Contents", ())
    }


def _checked_folder(to: str) -> str:
    parts = to.strip("/").split("/")
    if parts[0] != INPUT or {"", ".", ".."} & set(parts):
        raise ConfigError(
            f"--to is {to!r}, must be {INPUT} or a folder below it",
            "The job may read nothing else: for example --to input/autumn.",
        )
    return "/".join(parts)


@dataclass
class _Sending:
    """One upload while it runs."""

    aws: Aws
    bucket: str
    folder: str
    there: Mapping[str, Kept]

    def all_of(self, source: Source, progress: Progress, agree: Agree) -> tuple[Uploaded, Listing]:
        """Send everything, and tell what must be in the bucket afterwards."""
        outcome, expected = Uploaded(), Listing()
        # made in this thread: boto3 may not make clients in several at the same time
        self.aws.client("s3")
        begun: set[str] = set()

        def again(entry: Entry) -> bool:
            """Whether an archive holds a name twice, of which the later one counts."""
            known = entry.name in begun
            begun.add(entry.name)
            return known

        try:
            jobs = _wanted(source.entries(agree), outcome)
            for name, kept, sent in each(jobs, self._one, lambda entry: entry.size, again):
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

    def _one(self, entry: Entry) -> tuple[str, Kept, bool]:
        """Send a file unless it is there; tells its name, what is there now, whether it was sent.

        boto3 sends the SHA-256 along, and S3 refuses what it does not fit.
        """
        data = entry.read()
        kept = self.there.get(entry.name)
        if kept and kept.size == len(data) and self._is(entry.name, kept, data):
            return entry.name, kept, False
        put = {**self._object(entry.name), "Body": data, "ChecksumAlgorithm": "SHA256"}
        sent = self.aws.call(Call("s3", "put_object", put, f"send {entry.name!r}"))
        return entry.name, Kept(len(data), sent["ETag"].strip('"')), True

    def _is(self, name: str, kept: Kept, data: bytes | bytearray) -> bool:
        if hashlib.md5(data, usedforsecurity=False).hexdigest() == kept.etag:
            return True
        # with a key of one's own, or sent in parts, the ETag is no MD5
        head = {**self._object(name), "ChecksumMode": "ENABLED"}
        found = self.aws.call(Call("s3", "head_object", head, f"compare {name!r}", changes=False))
        sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return bool(found.get("ChecksumSHA256") == sha256)

    def _object(self, name: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": f"{self.folder}/{name}"}


def _wanted(found: Iterable[Found], outcome: Uploaded) -> Iterator[Entry]:
    for one in found:
        if isinstance(one, Entry):
            yield one
        else:
            outcome.left_out[one.why] += 1


def _verified(where: str, outcome: Uploaded, expected: Listing, now: Listing) -> Uploaded:
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
