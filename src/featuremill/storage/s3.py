"""Stores objects below a prefix of an S3 bucket, or of a store that speaks S3.

Objects are listed by botocore, whose paginator takes any key, and read and written by obstore,
which is several times faster; the few keys that obstore cannot address are read by botocore too.
Every process makes its own clients, by the usual AWS credential chain, so a store is only its
description and nothing secret is pickled.
"""

import errno
import io
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from featuremill._utils import paths
from featuremill.errors import SourceError, StorageError
from featuremill.storage import s3_versions
from featuremill.storage.base import FetchedImage, Listed, Ranges, Span, Store, no_room
from featuremill.storage.s3_clients import (
    READ_AHEAD,
    Clients,
    client_errors,
    code,
    concerns_store,
    is_passing,
    only_to,
    pauses,
    reason,
    refuses_condition,
    refuses_keys,
    remedy,
    renewed_clients,
    shared_clients,
    whole_body,
)

T = TypeVar("T")

_NO_CONDITIONS = (
    "the store of bucket {} ignores conditional writes (If-None-Match), which keep two runs"
    " and two commits apart"
)
_OTHER_STORE = "Write the results to a store that obeys them, such as AWS S3, or to a folder."

_READ_BUFFER = 1 << 17
"""A Parquet footer with what stands beside it, or some text columns of a row group, in one GET."""


@dataclass(frozen=True)
class S3Store:
    """Objects below ``s3://bucket/prefix``."""

    bucket: str
    prefix: str
    endpoint_url: str | None = None
    region: str | None = None
    read_ahead: int = READ_AHEAD
    block: int = 8 << 20
    unconfirmed: str = ""
    """Endpoint that nobody but a record names: nothing signed is sent there, nor elsewhere."""

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields travel to other processes, never a client or its credentials."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self) -> Iterator[Listed]:
        """Every object below the prefix, by key."""
        try:
            for entry in self._entries(self._key("")):
                path = paths.encode(f"s3://{self.bucket}/{entry['Key']}".encode())
                yield Listed(path, entry["Size"], _version(entry["ETag"]))
        except client_errors() as error:
            raise SourceError(f"cannot list {self.url}: {reason(error)}", remedy(error)) from error

    def fetch(self, path: str, span: Span | None = None) -> FetchedImage:
        """Bytes of one object, or some of them, in one request.

        Raises
        ------
        OSError
            If this object cannot be had.
        StorageError
            If none could be had, as after credentials have expired.
        """
        key = paths.decode(path).decode().removeprefix(f"s3://{self.bucket}/")
        try:
            return self._ask(partial(_fetch, self.bucket, key, span))
        except client_errors() as error:
            if concerns_store(error) or (is_passing(error) and not self._answers()):
                raise StorageError(
                    f"cannot read {self.url}: {reason(error)}", remedy(error)
                ) from error
            if isinstance(error, FileNotFoundError) or code(error) == "NoSuchKey":
                raise OSError("gone since it was listed") from error
            raise OSError(reason(error)) from error

    def contains(self, other: Store) -> bool:
        """Whether the other prefix lies in this one."""
        return (
            isinstance(other, S3Store)
            and other.bucket == self.bucket
            and other.endpoint_url == self.endpoint_url
            and f"{other.prefix}/".startswith(self._key(""))
        )

    def read(self, name: str) -> bytes:
        """Whole content of an object."""
        import obstore

        with self._failures("read", name):
            key = self._key(name)
            return self._ask(lambda clients: bytes(obstore.get(clients.objects, key).bytes()))

    def open(self, name: str) -> BinaryIO:
        """Reader that fetches the ranges it is asked for."""
        with self._failures("read", name):
            size = self._ask(partial(_size, self._key(name)))
        return cast(
            BinaryIO, io.BufferedReader(Ranges(partial(self.read_range, name), size), _READ_BUFFER)
        )

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None where there is none."""
        try:
            with self._failures("read", name):
                return self._ask(partial(_size, self._key(name)))
        except FileNotFoundError:
            return None

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all objects below a folder; markers of folders are none."""
        start = len(self._key(""))
        with self._failures("list", prefix):
            for entry in self._entries(self._key(f"{prefix}/".lstrip("/"))):
                if not entry["Key"].endswith("/"):
                    yield entry["Key"][start:]

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        import obstore

        with self._failures("write", name):
            self._ask(lambda clients: obstore.put(clients.objects, self._key(name), data))

    def create(self, name: str, data: bytes) -> bool:
        """Put an object on the condition that there is none (If-None-Match).

        An attempt whose answer is lost may have arrived; then what is there is compared with
        the data, so that no writer takes its own object for another's.

        Raises
        ------
        StorageError
            If it cannot be written, also because the store knows no conditions: some refuse
            them, others pay no heed.
        """
        with self._failures("write", name):
            created = self._create(name, data)
            if created and not self._clients.keeps_conditions:
                # an object that is there is written once more, with the very same content
                if self._create(name, data, again=True):
                    raise self._without_conditions(name)
                self._clients.keeps_conditions = True
        return created

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Stream into a temporary file that is uploaded at the end, in parts if it is large.

        An upload in parts that is begun and never completed stays in the bucket, unseen and
        paid for; obstore's own writer leaves one if the block raises.
        """
        import obstore

        with tempfile.TemporaryFile() as file:
            try:
                yield cast(BinaryIO, file)
            except OSError as error:
                if (full := no_room(error, Path(tempfile.gettempdir()))) is None:
                    raise
                raise StorageError(
                    f"cannot write {self.url}/{name} by way of {tempfile.gettempdir()}: {full[0]}",
                    f"{full[1]} TMPDIR names another folder.",
                ) from error

            def upload(clients: Clients) -> None:
                file.seek(0)
                obstore.put(clients.objects, self._key(name), file)

            with self._failures("write", name):
                self._ask(upload)

    def remove(self, name: str) -> None:
        """Delete an object."""
        import obstore

        with suppress(FileNotFoundError), self._failures("remove", name):
            self._ask(lambda clients: obstore.delete(clients.objects, self._key(name)))

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps, or once kept, earlier versions of its objects."""
        with self._failures("see versions of", ""):
            return self._ask(
                lambda clients: s3_versions.keeps_versions(
                    clients.listing, self.bucket, self._key("")
                )
            )

    def half_written(self, folder: str) -> Iterator[str]:  # noqa: ARG002  (there is nothing to look for)
        """None: an object is there as a whole or not at all."""
        return iter(())

    def purge(self, prefix: str) -> int:
        """Remove earlier versions, and what hides objects that were deleted."""
        with self._failures("remove versions of", prefix):
            return s3_versions.purge(self._clients.listing, self.bucket, self._key(prefix))

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """URI of a Delta table, with keys that the store has just accepted."""
        with self._failures("open", name):
            clients = self._ask(partial(_accepted, self._key(f"{name}/_delta_log/")))
            keys = clients.credentials.get_frozen_credentials()
        options = {
            "AWS_REGION": clients.region,
            "AWS_ENDPOINT_URL": clients.endpoint,
            "AWS_ALLOW_HTTP": str(clients.endpoint.startswith("http:")).lower(),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            **cast(dict[str, str], only_to(clients.endpoint)),
        }
        if keys.token:
            options["AWS_SESSION_TOKEN"] = keys.token
        return f"s3://{self.bucket}/{self._key(name)}", options

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object."""
        import obstore

        key = self._key(name)
        with self._failures("read", name):
            return self._ask(
                lambda clients: bytes(
                    obstore.get_range(clients.objects, key, start=start, length=length)
                )
            )

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @cached_property
    def _clients(self) -> Clients:
        if self.unconfirmed:
            raise StorageError(
                f"only the record of a run says that {self.url} is read through {self.unconfirmed},"
                " so no signed request was sent there; if you trust that store,"
                f" give --endpoint-url {self.unconfirmed}"
            )
        return shared_clients(self.bucket, self.endpoint_url, self.region)

    def _ask(self, call: Callable[[Clients], T]) -> T:
        """Make a call, again while S3 is busy, and once with renewed credentials."""
        waits = pauses()
        renewed = False
        while True:
            clients = self._clients
            try:
                return call(clients)
            except client_errors() as error:
                if not renewed and refuses_keys(error):
                    renewed = True
                    self.__dict__["_clients"] = renewed_clients(
                        clients, self.bucket, self.endpoint_url, self.region
                    )
                    continue
                pause = next(waits, None) if is_passing(error) else None
                if pause is None:
                    raise
            time.sleep(pause)

    def _answers(self) -> bool:
        """Whether the store answers at all, be it with a refusal."""
        try:
            self._clients.listing.head_bucket(Bucket=self.bucket)
        except client_errors() as error:
            return not is_passing(error)
        return True

    def _create(self, name: str, data: bytes, *, again: bool = False) -> bool:
        """Whether this call wrote the object; ``again`` where it is known to have the data."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        uncertain = False

        def put(clients: Clients) -> bool:
            nonlocal uncertain
            try:
                obstore.put(clients.once, self._key(name), data, mode="create")
            except AlreadyExistsError as error:
                if is_passing(error):
                    raise
                with suppress(FileNotFoundError):
                    return uncertain and not again and self.read(name) == data
                return False
            except client_errors() as error:
                if refuses_condition(error):
                    raise StorageError(_NO_CONDITIONS.format(self.bucket), _OTHER_STORE) from error
                uncertain = True
                raise
            return True

        return self._ask(put)

    def _without_conditions(self, name: str) -> StorageError:
        """Error for a store that pays no heed to conditions, after what was written is gone."""
        self.remove(name)
        problem, remedy = _NO_CONDITIONS.format(self.bucket), _OTHER_STORE
        # who may not see versions has at least removed the newest
        with suppress(StorageError):
            if self.keeps_versions():
                problem += "; the bucket keeps versions, and some stores then ignore conditions"
                remedy = "Name a bucket that never kept versions, or another store, such as AWS S3."
                self.purge(name)
        return StorageError(problem, remedy)

    def _entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        where = {"Bucket": self.bucket, "Prefix": prefix}
        while True:
            page = self._ask(lambda clients: clients.listing.list_objects_v2(**where))
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except client_errors() as error:
            where = f"{self.url}/{name}"
            if isinstance(error, FileNotFoundError) and not concerns_store(error):
                raise FileNotFoundError(errno.ENOENT, "no such object", where) from error
            raise StorageError(f"cannot {verb} {where}: {reason(error)}", remedy(error)) from error


def _fetch(bucket: str, key: str, span: Span | None, clients: Clients) -> FetchedImage:
    import obstore

    if _obstore_addresses(key):
        result = obstore.get(clients.objects, key, options={"range": span} if span else None)
        return FetchedImage(bytes(result.bytes()), _version(result.meta["e_tag"] or ""))
    ranged = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
    answer = clients.listing.get_object(Bucket=bucket, Key=key, **ranged)
    return FetchedImage(whole_body(answer["Body"]), _version(answer["ETag"]))


def _size(key: str, clients: Clients) -> int:
    import obstore

    return obstore.head(clients.objects, key)["size"]


def _accepted(folder: str, clients: Clients) -> Clients:
    """The clients, unless the store refuses their keys."""
    import obstore

    try:
        # a GET, since a refusal of HEAD does not say why
        obstore.get(clients.objects, f"{folder}_last_checkpoint").bytes()
    except client_errors() as error:
        if refuses_keys(error):
            raise
    return clients


def _obstore_addresses(key: str) -> bool:
    """Whether obstore reads the object of exactly this key.

    It refuses some keys and silently reads ``a`` where ``/a`` or ``a/`` was asked for.
    """
    parts = key.split("/")
    return not {"", ".", ".."} & set(parts) and not re.search(r"[\x00-\x1f\x7f]", key)


def _version(etag: str) -> str:
    return etag.strip('"')
