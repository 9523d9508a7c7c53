"""A prefix of an S3 bucket, or of a store that speaks S3.

Objects are listed by botocore, whose paginator takes any key, and read and written by obstore,
which is several times faster; the few keys that obstore cannot address are read by botocore too.
Every process makes its own clients, by the usual AWS credential chain, so a store is only its
description and nothing secret is pickled.
"""

import errno
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from featuremill import names
from featuremill.errors import SourceError, StorageError
from featuremill.storage.base import Fetched, Listed, Store
from featuremill.storage.s3_clients import (
    READ_AHEAD,
    Clients,
    client_errors,
    code,
    concerns_store,
    reason,
    remedy,
    shared_clients,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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
                path = names.encode(f"s3://{self.bucket}/{entry['Key']}".encode())
                yield Listed(path, entry["Size"], _version(entry["ETag"]))
        except client_errors() as error:
            raise SourceError(f"cannot list {self.url}: {reason(error)}", remedy(error)) from error

    def fetch(self, path: str) -> Fetched:
        """Bytes of one object.

        Raises
        ------
        OSError
            If this object cannot be had.
        StorageError
            If none could be had, as after credentials have expired.
        """
        key = names.decode(path).decode().removeprefix(f"s3://{self.bucket}/")
        try:
            return self._fetch(key)
        except client_errors() as error:
            if concerns_store(error):
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
            return bytes(obstore.get(self._clients.objects, self._key(name)).bytes())

    def open(self, name: str) -> BinaryIO:
        """Reader that fetches the ranges it is asked for."""
        import obstore

        with self._failures("read", name):
            size = obstore.head(self._clients.objects, self._key(name))["size"]
        return cast(BinaryIO, io.BufferedReader(_Ranges(self, name, size), _READ_BUFFER))

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None where there is none."""
        import obstore

        try:
            with self._failures("read", name):
                return obstore.head(self._clients.objects, self._key(name))["size"]
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
            obstore.put(self._clients.objects, self._key(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Put an object on the condition that there is none (If-None-Match)."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._failures("write", name):
            try:
                obstore.put(self._clients.objects, self._key(name), data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Stream into a temporary file that is uploaded at the end, in parts if it is large.

        An upload in parts that is begun and never completed stays in the bucket, unseen and
        paid for; obstore's own writer leaves one if the block raises.
        """
        import obstore

        with tempfile.TemporaryFile() as file:
            yield cast(BinaryIO, file)
            file.seek(0)
            with self._failures("write", name):
                obstore.put(self._clients.objects, self._key(name), file)

    def remove(self, name: str) -> None:
        """Delete an object."""
        import obstore

        with suppress(FileNotFoundError), self._failures("remove", name):
            obstore.delete(self._clients.objects, self._key(name))

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """URI of a Delta table, with keys as fresh as the credential chain gives them."""
        with self._failures("open", name):
            clients = self._clients
            keys = clients.credentials.get_frozen_credentials()
        options = {
            "AWS_REGION": clients.region,
            "AWS_ENDPOINT_URL": clients.endpoint,
            "AWS_ALLOW_HTTP": str(clients.endpoint.startswith("http:")).lower(),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        }
        if keys.token:
            options["AWS_SESSION_TOKEN"] = keys.token
        return f"s3://{self.bucket}/{self._key(name)}", options

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object."""
        import obstore

        with self._failures("read", name):
            data = obstore.get_range(
                self._clients.objects, self._key(name), start=start, length=length
            )
            return bytes(data)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @cached_property
    def _clients(self) -> Clients:
        return shared_clients(self.bucket, self.endpoint_url, self.region)

    def _entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._clients.listing.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            yield from page.get("Contents", ())

    def _fetch(self, key: str) -> Fetched:
        import obstore

        if _obstore_addresses(key):
            result = obstore.get(self._clients.objects, key)
            return Fetched(bytes(result.bytes()), _version(result.meta["e_tag"] or ""))
        answer = self._clients.listing.get_object(Bucket=self.bucket, Key=key)
        return Fetched(answer["Body"].read(), _version(answer["ETag"]))

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except client_errors() as error:
            where = f"{self.url}/{name}"
            if isinstance(error, FileNotFoundError) and not concerns_store(error):
                raise FileNotFoundError(errno.ENOENT, "no such object", where) from error
            raise StorageError(f"cannot {verb} {where}: {reason(error)}", remedy(error)) from error


class _Ranges(io.RawIOBase):
    """An object as a file; each read is one request.

    Unlike obstore's own reader it is a file in every respect (a context manager, ``closed`` an
    attribute), and what it reads lies in memory of Python's own.
    """

    def __init__(self, store: S3Store, name: str, size: int) -> None:
        self._store = store
        self._name = name
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._position)
        if length <= 0:
            return 0
        view[:length] = self._store.read_range(self._name, self._position, length)
        self._position += length
        return length


def _obstore_addresses(key: str) -> bool:
    """Whether obstore reads the object of exactly this key.

    It refuses some keys and silently reads ``a`` where ``/a`` or ``a/`` was asked for.
    """
    parts = key.split("/")
    return not {"", ".", ".."} & set(parts) and not re.search(r"[\x00-\x1f\x7f]", key)


def _version(etag: str) -> str:
    return etag.strip('"')
