"""The clients of an S3 bucket, and what their errors mean.

Two clients speak for one store, botocore and obstore, and each has its own words for the same
trouble; here both become one reason and one remedy. Nothing heavy is imported before a client
is made.
"""

import os
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

READ_AHEAD = 32
"""One GET waits tens of milliseconds; this many hide that behind a worker's arithmetic."""

# a stalled connection is given up, but a large image on a slow line is not: obstore's own limit
# of 30 s for a whole request would need 3 MB/s for each of the images fetched at once
_TIMEOUTS: "ClientConfig" = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "10min"}
# S3 asks for patience (503 Slow Down) while it grows with a new load, which takes minutes
_RETRIES: "RetryConfig" = {"max_retries": 10, "retry_timeout": timedelta(minutes=3)}
# botocore renews credentials ten minutes before their end, but only when it is asked for them
_ASK_FOR_CREDENTIALS = timedelta(minutes=10)

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

_LOG_IN = "Set AWS_PROFILE, or run `aws configure` or `aws sso login`."
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
        config = Config(region_name=self.region, max_pool_connections=READ_AHEAD)
        self.listing = session.client("s3", endpoint_url=endpoint_url, config=config)
        # only botocore knows profiles and AWS's partitions: the others are told what it found
        self.endpoint: str = self.listing.meta.endpoint_url
        self.objects = Objects(
            bucket,
            region=self.region,
            endpoint=self.endpoint,
            virtual_hosted_style_request=False,
            credential_provider=Boto3CredentialProvider(session, ttl=_ASK_FOR_CREDENTIALS),
            client_options={**_TIMEOUTS, "allow_http": self.endpoint.startswith("http:")},
            retry_config=_RETRIES,
        )


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


def _bucket_region(session: Any, bucket: str, endpoint_url: str | None) -> str:
    """Region of a bucket, which S3 tells even to those whom it denies everything else."""
    from botocore.exceptions import ClientError

    hint = session.region_name or _ANY_REGION
    client = session.client("s3", region_name=hint, endpoint_url=endpoint_url)
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return str(headers.get("x-amz-bucket-region", hint))


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
    text = str(error).strip()
    message = re.search(r"<Message>([^<]*)</Message>", text)
    if message is not None:
        return f"{code(error)}: {message[1]}"
    return text.splitlines()[0] if text else type(error).__name__


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
    """What to do about an error."""
    return _LOG_IN if _is_about_credentials(error) else _CHECK
