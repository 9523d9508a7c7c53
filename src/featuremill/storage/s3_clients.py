"""Makes the clients of an S3 bucket, explains their errors, and says how long to try again.

Two clients speak for one store, botocore and obstore, and each has its own words for the same
trouble; here both become one reason and one remedy. Nothing heavy is imported before a client
is made.
"""

import itertools
import os
import random
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from featuremill.errors import without_passwords

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig


READ_AHEAD = 32
"""One GET waits tens of milliseconds; this many hide that behind a worker's arithmetic."""

_CONNECT_SECONDS = 5.0
_STALL_SECONDS = 30.0
"""A connection on which nothing comes for so long is given up."""
_OBJECT_SECONDS = 300.0
"""One request with its whole body. obstore's own limit, a tenth of it, would need 3 MB/s for each
of the images fetched at once."""
_TRICKLE_BYTES = 512
# few: these are within one attempt of the store's own patience, for the parts of an upload. And
# soon: the other images that are being fetched last a worker for 50 ms, whereas 100 ms, obstore's
# own first pause, took a third of the speed from a bucket that failed 3 % of requests.
_RETRIES: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=20), "base": 3},
}
# botocore renews credentials ten minutes before their end, but only when it is asked for them
_ASK_FOR_CREDENTIALS = timedelta(minutes=10)

_NOWHERE = "127.0.0.1:9"
"""Where requests of another host than the store's are sent: nobody listens there."""

_ANY_REGION = "us-east-1"
"""Asked where a bucket is when no other is known, and told to stores that have no regions."""

_CREDENTIAL_CODES = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_STORE_CODES = _CREDENTIAL_CODES | {"NoSuchBucket", "RequestTimeTooSkewed"}
"""What S3 says of the whole store rather than of one object."""

_PASSING_CODES = {
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
}
_PASSING_STATUS = re.compile(r"status code: (?:408|429|5(?!01)\d\d)")
_UNEXPLAINED = re.compile(r"performing HEAD .*status code: 400")
"""HEAD's answer has no body that could name keys that have expired."""

_LOG_IN = "Set AWS_PROFILE, or run `aws configure` or `aws sso login`."
_TRY_LATER = "Check the network and --endpoint-url. Then run the same command again to resume."
_CHECK = "Check the bucket's name, your permissions and --endpoint-url."


class Clients:
    """Clients of one bucket, with the credentials and connections that they carry."""

    def __init__(self, bucket: str, endpoint_url: str | None, region: str | None) -> None:
        import boto3
        from botocore.config import Config
        from obstore.auth.boto3 import Boto3CredentialProvider
        from obstore.store import S3Store as Objects

        session = boto3.Session(region_name=region)
        # the first request comes first: without credentials it says so, the others would not
        self.region = _bucket_region(session, bucket, endpoint_url)
        self.credentials = session.get_credentials()
        # no retries are set here, so that AWS_MAX_ATTEMPTS and AWS_RETRY_MODE have their say
        config = Config(
            region_name=self.region,
            max_pool_connections=READ_AHEAD,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_STALL_SECONDS,
        )
        self.listing = session.client("s3", endpoint_url=endpoint_url, config=config)
        # only botocore knows profiles and AWS's partitions: the others are told what it found
        self.endpoint: str = self.listing.meta.endpoint_url
        objects = partial(
            Objects,
            bucket,
            region=self.region,
            endpoint=self.endpoint,
            virtual_hosted_style_request=False,
            # several stores that speak S3 know no request that deletes many
            disable_bulk_delete=True,
            credential_provider=Boto3CredentialProvider(session, ttl=_ASK_FOR_CREDENTIALS),
            client_options={
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=_STALL_SECONDS),
                "timeout": timedelta(seconds=_OBJECT_SECONDS),
                "allow_http": self.endpoint.startswith("http:"),
                **only_to(self.endpoint),
            },
        )
        self.objects = objects(retry_config=_RETRIES)
        # for writes on a condition: only who sees each attempt knows which of them arrived
        self.once = objects(retry_config={"max_retries": 0})
        self.keeps_conditions = False


def only_to(endpoint: str) -> "ClientConfig":
    """Options of obstore and Delta, which follow redirects, that keep them at a store's host.

    A store, or who speaks for it, could else have addresses read that only this machine reaches.
    A proxy of the user's decides for itself.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return {}
    return {"proxy_url": f"http://{_NOWHERE}", "proxy_excludes": host}


_made: dict[tuple[object, ...], Clients] = {}
_making = threading.Lock()


def shared_clients(bucket: str, endpoint_url: str | None, region: str | None) -> Clients:
    """Clients of a bucket, the same for all of this process, since each task brings its own store.

    They are made anew where the environment has changed: a notebook may choose another profile
    and run again.
    """
    environment = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    key = (bucket, endpoint_url, region, environment)
    with _making:
        if key not in _made:
            _made[key] = Clients(bucket, endpoint_url, region)
        return _made[key]


def renewed_clients(
    stale: Clients, bucket: str, endpoint_url: str | None, region: str | None
) -> Clients:
    """Clients with credentials asked for anew, after S3 has refused those of others.

    Of many threads that were refused, the first makes them.
    """
    with _making:
        for key in [key for key, clients in _made.items() if clients is stale]:
            del _made[key]
    return shared_clients(bucket, endpoint_url, region)


def _bucket_region(session: Any, bucket: str, endpoint_url: str | None) -> str:
    """Region of a bucket, which S3 tells even to those whom it denies everything else."""
    hint = session.region_name or _ANY_REGION
    client = session.client("s3", region_name=hint, endpoint_url=endpoint_url)
    answer = _head_bucket(client, bucket)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return str(headers.get("x-amz-bucket-region", hint))


def _head_bucket(client: Any, bucket: str) -> Any:
    """Repeat the request while the store is busy: a wrong region would spoil all that follows."""
    from botocore.exceptions import ClientError

    waits = pauses()
    while True:
        try:
            return client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if not is_passing(error):
                return error.response
            if (pause := next(waits, None)) is None:
                raise
        time.sleep(pause)


def whole_body(body: Any) -> bytes:
    """Content of botocore's answer, which knows no limit for a body that trickles."""
    from botocore.exceptions import ReadTimeoutError

    end = time.monotonic() + _OBJECT_SECONDS
    parts = []
    # each read waits until it is full
    while part := body.read(_TRICKLE_BYTES):
        parts.append(part)
        if time.monotonic() > end:
            raise ReadTimeoutError(endpoint_url="")
    return b"".join(parts)


def client_errors() -> tuple[type[Exception], ...]:
    """Everything the two clients raise; obstore says ValueError to a name it refuses."""
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.exceptions import BaseError

    return BaseError, BotoCoreError, ClientError, FileNotFoundError, ValueError


def code(error: Exception) -> str:
    """S3's own word for what was wrong, if it had one."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code", ""))
    match = re.search(r"<Code>(\w+)</Code>", str(error))
    return match[1] if match else ""


def reason(error: Exception) -> str:
    """One line for people, out of an answer of S3 or a client's own message."""
    text = without_passwords(str(error)).strip()
    if _NOWHERE in text:
        return "it leads to another address, which is not followed"
    message = re.search(r"<Message>([^<]*)</Message>", text)
    if message is not None:
        return f"{code(error)}: {message[1]}"
    if "kind: Timeout" in text or "TimedOut" in text or "Read timeout" in text:
        return "timed out"
    # obstore begins with the request and how long it took, which differs each time
    first = text.splitlines()[0] if text else type(error).__name__
    first = re.sub(r"^Generic S3 error: (Error performing .*? - )?", "", first)
    # and botocore names the object in its URL, which those who count reasons do not want
    return re.sub(r'(endpoint URL: "\w+://[^/"]*)[^"]*', r"\1", first)


def is_passing(error: Exception) -> bool:
    """Whether the same request may do better in a moment: S3 is busy or a connection broke."""
    from botocore import exceptions
    from obstore.exceptions import GenericError

    if code(error) in _PASSING_CODES:
        return True
    if "certificate" in str(error) or _NOWHERE in str(error):
        return False
    if isinstance(error, exceptions.ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status in (408, 429) or (status >= 500 and status != 501)
    if isinstance(error, GenericError):
        text = str(error)
        return "HTTP error: " in text or _PASSING_STATUS.search(text) is not None
    broken = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
    )
    return isinstance(error, broken)


def refuses_condition(error: Exception) -> bool:
    """Whether a store says that it knows no conditional writes."""
    return code(error) == "NotImplemented" or "status code: 501" in str(error)


def refuses_keys(error: Exception) -> bool:
    """Whether other credentials might be accepted."""
    return _is_about_credentials(error) or _UNEXPLAINED.search(str(error)) is not None


def _is_about_credentials(error: Exception) -> bool:
    from botocore import exceptions
    from obstore.exceptions import UnauthenticatedError

    kinds = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.ProfileNotFound,
        exceptions.CredentialRetrievalError,
        exceptions.SSOError,
        exceptions.TokenRetrievalError,
        UnauthenticatedError,
    )
    return isinstance(error, kinds) or code(error) in _CREDENTIAL_CODES


def concerns_store(error: Exception) -> bool:
    """Whether every other object would meet the same error."""
    return _is_about_credentials(error) or code(error) in _STORE_CODES


def remedy(error: Exception) -> str:
    """The remedy of an error."""
    if _is_about_credentials(error):
        return _LOG_IN
    return _TRY_LATER if is_passing(error) else _CHECK


_PATIENCE_SECONDS = 120.0
"""S3 asks for patience (503 Slow Down) while it grows with a new load, which takes minutes."""
_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 10.0


def pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt, until two minutes from now are over.

    They double, and each is drawn at random from zero up, so that workers that failed together
    do not come back together. There is always a first one: an attempt that took minutes until it
    timed out may have met one bad connection.
    """
    return _pauses(time.monotonic())


def _pauses(started: float) -> Iterator[float]:
    for attempt in itertools.count():
        pause = random.uniform(0.0, min(_LONGEST_SECONDS, _FIRST_SECONDS * 2**attempt))
        if attempt > 0 and time.monotonic() - started + pause > _PATIENCE_SECONDS:
            return
        yield pause
