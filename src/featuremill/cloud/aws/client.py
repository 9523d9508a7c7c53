"""The only module that calls AWS: clients, calls, and errors turned into something to act on.

boto3 is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from featuremill._utils.threads import THREADS
from featuremill.cloud.aws import remedies
from featuremill.errors import CloudError

if TYPE_CHECKING:
    import boto3

    from featuremill.cloud.aws.plan import Call

Recorder = Callable[[str, str, Mapping[str, Any]], None]
"""Told service, operation and parameters of every call before it is made."""


@dataclass(frozen=True)
class Aws:
    """A connection to one account and region.

    Parameters
    ----------
    region : str
        Checked by :func:`featuremill.cloud.aws.regions.check_region`.
    profile : str or None
        Of the AWS configuration; None for the environment's own credentials.
    endpoint_url : str or None
        In place of AWS, for every service.
    recorder : callable or None
        Told about every call.
    owner : str
        Account that every bucket must belong to, or S3 refuses the call; any if empty.
    """

    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    recorder: Recorder | None = None
    owner: str = ""

    @cached_property
    def session(self) -> boto3.Session:
        """The session all clients come from.

        Raises
        ------
        CloudError
            If the profile is unknown, or AWS' configuration cannot be read.
        """
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            return boto3.Session(profile_name=self.profile, region_name=self.region)
        except BotoCoreError as error:
            raise explained(error, "sign in to AWS") from error

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """A client with bounded waiting and retries that adapt to throttling.

        Raises
        ------
        CloudError
            If there cannot be one: no such profile, region or endpoint.
        """
        if service not in self._clients:
            self._clients[service] = self._connected(service)
        return self._clients[service]

    def _connected(self, service: str) -> Any:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            retries={"mode": "adaptive", "total_max_attempts": 6},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=THREADS,
        )
        try:
            client = self.session.client(service, endpoint_url=self.endpoint_url, config=config)
        except (BotoCoreError, ValueError) as error:
            # the latter is what boto3 says of an address that is none
            problem = f"connect to {service}: {error}"
            raise CloudError(problem, remedies.of_exception(error)) from error
        events = client.meta.events
        if self.owner and service == "s3":
            events.register("provide-client-params.s3", self._own)
        if self.recorder:
            events.register("provide-client-params", self._record)
        return client

    def _own(self, params: Mapping[str, Any], model: Any, **_: Any) -> Mapping[str, Any]:
        """A call's parameters, and whose the buckets must be: a name alone may be anybody's."""
        known = model.input_shape.members if model.input_shape else {}
        owned = ("ExpectedBucketOwner", "ExpectedSourceBucketOwner")
        return {**params, **{name: self.owner for name in owned if name in known}}

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
        client = self.client(call.service)
        try:
            return getattr(client, call.operation)(**call.parameters)
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
        client = self.client(service)
        try:
            yield from client.get_paginator(operation).paginate(**parameters)
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
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        code, message = error_code(error), error.response["Error"].get("Message", "")
        remedy = remedies.of_answer(code, message)
        return CloudError(f"{doing}: AWS answered {code}: {message}", remedy)
    if isinstance(error, BotoCoreError):
        said = remedies.SAID.get(type(error).__name__, str(error))
        return CloudError(f"{doing}: {said}", remedies.of_exception(error))
    return error
