"""The only module that calls AWS: clients, calls, and errors turned into something to act on.

boto3 is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from featuremill.cloud.parallel import THREADS
from featuremill.errors import CloudError

if TYPE_CHECKING:
    import boto3

    from featuremill.cloud.plan import Call

Recorder = Callable[[str, str, Mapping[str, Any]], None]
"""Told service, operation and parameters of every call before it is made."""

_REMEDIES: Mapping[str, str] = {
    "ExpiredToken": "Sign in again (aws sso login, or new keys) and repeat the command.",
    "ExpiredTokenException": "Sign in again (aws sso login, or new keys) and repeat the command.",
    "RequestExpired": "Sign in again; if that does not help, set this machine's clock.",
    "InvalidClientTokenId": "The access key is unknown to AWS: check the profile.",
    "UnrecognizedClientException": "The access key is unknown to AWS: check the profile.",
    "SignatureDoesNotMatch": "The secret key does not belong to the access key: check the profile.",
    "AccessDenied": "Ask for the operator policy: `featuremill cloud deploy --operator NAME` by an"
    " administrator attaches it.",
    "AccessDeniedException": "Ask for the operator policy: `featuremill cloud deploy --operator"
    " NAME` by an administrator attaches it.",
    "BucketAlreadyExists": "Bucket names are shared by all accounts: choose another --bucket.",
    "BucketAlreadyOwnedByYou": "It is yours already: choose another --bucket or delete it.",
    "ServiceQuotaExceededException": "Ask for a higher quota in the Service Quotas console, or"
    " lower --max-vcpu.",
    "LimitExceededException": "Ask for a higher quota in the Service Quotas console.",
    "ThrottlingException": "AWS asks for patience: repeat the command in a minute.",
    "SlowDown": "S3 asks for patience: repeat the command, which goes on where it was.",
}


@dataclass(frozen=True)
class Aws:
    """A connection to one account and region.

    Parameters
    ----------
    region : str
        Checked by :func:`featuremill.cloud.regions.check_region`.
    profile : str or None
        Of the AWS configuration; None for the environment's own credentials.
    endpoint_url : str or None
        In place of AWS, for every service.
    recorder : callable or None
        Told about every call.
    """

    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    recorder: Recorder | None = None

    @cached_property
    def session(self) -> boto3.Session:
        """The session all clients come from.

        Raises
        ------
        CloudError
            If the profile is unknown.
        """
        import boto3
        from botocore.exceptions import ProfileNotFound

        try:
            return boto3.Session(profile_name=self.profile, region_name=self.region)
        except ProfileNotFound as error:
            raise CloudError(
                f"AWS profile {self.profile!r} is unknown",
                "`aws configure list-profiles` lists them; `aws configure --profile NAME` adds.",
            ) from error

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """A client with bounded waiting and retries that adapt to throttling."""
        from botocore.config import Config

        if service not in self._clients:
            retries = {"mode": "adaptive", "total_max_attempts": 6}
            config = Config(
                retries=retries,
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=THREADS,
            )
            client = self.session.client(service, endpoint_url=self.endpoint_url, config=config)
            if self.recorder:
                client.meta.events.register("provide-client-params", self._record)
            self._clients[service] = client
        return self._clients[service]

    def _record(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        if self.recorder:
            service = model.service_model.service_name
            self.recorder(service, model.name, params)

    def call(self, call: Call) -> Any:
        """Make one call.

        Returns
        -------
        dict or None
            The answer; None where an error means that it has been done already.

        Raises
        ------
        CloudError
            With what was tried, AWS' own words and a remedy.
        """
        try:
            return getattr(self.client(call.service), call.operation)(**call.parameters)
        except Exception as error:
            if error_code(error) in call.forgives:
                return None
            raise explained(error, call.why) from error

    def pages(self, service: str, operation: str, **parameters: Any) -> Iterator[Any]:
        """Pages of a listing.

        Raises
        ------
        CloudError
            As :meth:`call`.
        """
        try:
            yield from self.client(service).get_paginator(operation).paginate(**parameters)
        except Exception as error:
            raise explained(error, f"{service}.{operation}") from error


def error_code(error: Exception) -> str:
    """AWS' code for an error or for what it was raised from, or an empty string."""
    from botocore.exceptions import ClientError

    origin = error.__cause__ if isinstance(error, CloudError) else error
    return str(origin.response["Error"].get("Code", "")) if isinstance(origin, ClientError) else ""


def explained(error: Exception, doing: str) -> Exception:
    """Turn what boto3 raises into a :class:`CloudError`; other errors are returned as they are.

    Parameters
    ----------
    error : Exception
        What was raised.
    doing : str
        What was being done, as a phrase.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
    )

    if isinstance(error, ClientError):
        code, message = error_code(error), error.response["Error"].get("Message", "")
        return CloudError(f"{doing}: AWS answered {code}: {message}", _REMEDIES.get(code, ""))
    if isinstance(error, NoCredentialsError):
        return CloudError(
            f"{doing}: no AWS credentials were found",
            "Sign in: `aws configure sso` or `aws configure`; or choose --profile NAME.",
        )
    if isinstance(error, EndpointConnectionError):
        return CloudError(
            f"{doing}: {error}", "Check the network, the region's name and --endpoint-url."
        )
    if isinstance(error, BotoCoreError):
        return CloudError(f"{doing}: {error}")
    return error
