"""A prefix of an S3 bucket, or of a store that speaks S3.

Objects are listed by botocore, whose paginator takes any key, and read and written by obstore,
which is several times faster; the few keys that obstore cannot address (``//``, ``.``, ``..``,
control characters) are read by botocore too. Every process builds its own clients from the
fields below and the usual AWS credential chain, so nothing secret is pickled.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, cast

from featuremill import names
from featuremill.errors import SourceError, StorageError
from featuremill.storage.base import Fetched, Listed, Store


@dataclass(frozen=True)
class S3Store:
    """Objects below ``s3://bucket/prefix``."""

    bucket: str
    prefix: str
    endpoint_url: str | None = None
    region: str | None = None
    # one GET waits tens of milliseconds; this many hide that behind a worker's arithmetic
    read_ahead: int = 32

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields travel to other processes, never a client or its credentials."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self) -> Iterator[Listed]:
        """Every object below the prefix, by key."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._key("")
        )
        with self._listing_failures():
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = f"s3://{self.bucket}/{entry['Key']}"
                    version = entry["ETag"].strip('"')
                    yield Listed(names.encode(key.encode()), entry["Size"], version)

    def fetch(self, path: str) -> Fetched:
        """Bytes of one object."""
        key = names.decode(path).decode().removeprefix(f"s3://{self.bucket}/")
        import obstore
        from obstore.exceptions import BaseError

        try:
            result = obstore.get(self._objects, key)
            return Fetched(bytes(result.bytes()), (result.meta["e_tag"] or "").strip('"'))
        except ValueError:
            return self._fetch_unaddressable(key)
        except FileNotFoundError as error:
            raise OSError("gone since it was listed") from error
        except BaseError as error:
            raise OSError(_first_line(error)) from error

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
            return bytes(obstore.get(self._objects, self._key(name)).bytes())

    def open(self, name: str) -> BinaryIO:
        """Reader that fetches the ranges it is asked for."""
        import obstore

        with self._failures("read", name):
            reader = obstore.open_reader(self._objects, self._key(name))
        return cast(BinaryIO, reader)

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None where there is none."""
        import obstore

        with self._failures("read", name):
            try:
                return obstore.head(self._objects, self._key(name))["size"]
            except FileNotFoundError:
                return None

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all objects below a folder."""
        import obstore

        with self._failures("list", prefix):
            for batch in obstore.list(self._objects, self._key(prefix)):
                for entry in batch:
                    yield entry["path"].removeprefix(self._key(""))

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        import obstore

        with self._failures("write", name):
            obstore.put(self._objects, self._key(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Put an object on the condition that there is none (If-None-Match)."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._failures("write", name):
            try:
                obstore.put(self._objects, self._key(name), data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Multipart upload that is completed at the end of the block.

        After an error it is left uncompleted: the object does not appear, and the bucket's
        lifecycle rule for aborted uploads removes the parts.
        """
        import obstore

        with self._failures("write", name):
            file = obstore.open_writer(self._objects, self._key(name))
            yield cast(BinaryIO, file)
            file.close()

    def remove(self, name: str) -> None:
        """Delete an object."""
        import obstore

        with self._failures("remove", name), suppress(FileNotFoundError):
            obstore.delete(self._objects, self._key(name))

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """URI of a Delta table, with keys as fresh as the credential chain gives them."""
        options = {"AWS_REGION": self._region}
        if self.endpoint_url:
            options["AWS_ENDPOINT_URL"] = self.endpoint_url
            options["AWS_ALLOW_HTTP"] = str(self.endpoint_url.startswith("http:")).lower()
        credentials = self._session.get_credentials()
        if credentials is not None:
            frozen = credentials.get_frozen_credentials()
            options["AWS_ACCESS_KEY_ID"] = frozen.access_key
            options["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
            if frozen.token:
                options["AWS_SESSION_TOKEN"] = frozen.token
        return f"s3://{self.bucket}/{self._key(name)}", options

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @cached_property
    def _session(self) -> Any:
        import boto3

        return boto3.Session(region_name=self.region)

    @cached_property
    def _region(self) -> str:
        return self.region or self._session.region_name or "eu-west-1"

    @cached_property
    def _client(self) -> Any:
        from botocore.config import Config

        return self._session.client(
            "s3",
            region_name=self._region,
            endpoint_url=self.endpoint_url,
            config=Config(retries={"mode": "adaptive", "max_attempts": 10}),
        )

    @cached_property
    def _objects(self) -> Any:
        from obstore.auth.boto3 import Boto3CredentialProvider
        from obstore.store import S3Store as Objects

        return Objects(
            self.bucket,
            region=self._region,
            endpoint=self.endpoint_url,
            virtual_hosted_style_request=self.endpoint_url is None,
            credential_provider=Boto3CredentialProvider(self._session),
            client_options={"allow_http": (self.endpoint_url or "").startswith("http:")},
        )

    def _fetch_unaddressable(self, key: str) -> Fetched:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            return Fetched(answer["Body"].read(), answer["ETag"].strip('"'))
        except (BotoCoreError, ClientError) as error:
            raise OSError(_first_line(error)) from error

    @contextmanager
    def _listing_failures(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except NoCredentialsError as error:
            raise SourceError(
                f"no AWS credentials to list {self.url}",
                "Set AWS_PROFILE, or run `aws configure` or `aws sso login`.",
            ) from error
        except (BotoCoreError, ClientError) as error:
            raise SourceError(
                f"cannot list {self.url}: {_first_line(error)}",
                "Check the bucket's name and region, your permission s3:ListBucket,"
                " and --endpoint-url.",
            ) from error

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as error:
            raise StorageError(
                f"cannot {verb} {self.url}/{name}: {_first_line(error)}",
                "Check credentials, permissions and the endpoint, then run the same command"
                " again: it goes on where it stopped.",
            ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
