"""The only module that calls AWS: clients, calls, and errors turned into something to act on.

boto3 is imported where it is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from featuremill._utils.extras import require
from featuremill._utils.threads import THREADS
from featuremill.cloud.aws import remedies
from featuremill.errors import CloudError

if TYPE_CHECKING:
    import boto3

T = TypeVar("T")

Say = Callable[[str], None]
"""Told a line for people."""

_ATTEMPTS = 6

_ONCE = (("emr", "run_job_flow"),)
"""Calls of which AWS cannot tell a repetition from a second wish: they are not tried again."""

Recorder = Callable[[str, str, Mapping[str, Any]], None]
"""Told service, operation and parameters of every call before it is made."""

_GOES_ON = "It goes on without this command: `featuremill cloud status` tells how it is."
_PARTS = {"ChecksumAlgorithm": "SHA256"}
"""Sent with every part of a file: S3 refuses what arrives otherwise."""


@dataclass(eq=False)
class Aws:
    """A connection to one account and region, by which commands call AWS and tell what they do.

    A command is a plain function of a connection. A dry run is the same function of a
    :class:`featuremill.cloud.aws.dry_run.DryRun`, which shows what is called and calls nothing.

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
    report : callable
        Told about each step before it begins, and about states that are waited for.
    sleep : callable
        Called with the seconds between two questions.
    """

    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    recorder: Recorder | None = None
    owner: str = ""
    report: Say = lambda _: None
    sleep: Callable[[float], None] = time.sleep
    doing: str = field(default="", init=False)
    dry: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("aws", "AWS")

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
    def _clients(self) -> dict[tuple[str, int], Any]:
        return {}

    def client(self, service: str, attempts: int = _ATTEMPTS) -> Any:
        """A client with bounded waiting and retries that adapt to throttling.

        Raises
        ------
        CloudError
            If there cannot be one: no such profile, region or endpoint.
        """
        if (service, attempts) not in self._clients:
            self._clients[service, attempts] = self._connected(service, attempts)
        return self._clients[service, attempts]

    def _connected(self, service: str, attempts: int) -> Any:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            retries={"mode": "adaptive", "total_max_attempts": attempts},
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
        client.meta.events.register("provide-client-params", self._prepared)
        return client

    def _prepared(self, params: Mapping[str, Any], model: Any, **_: Any) -> Mapping[str, Any]:
        """A call's parameters, and whose the buckets must be: a name alone may be anybody's."""
        service = model.service_model.service_name
        if self.owner and service == "s3" and model.input_shape:
            owned = ("ExpectedBucketOwner", "ExpectedSourceBucketOwner")
            known = model.input_shape.members
            params = {**params, **{name: self.owner for name in owned if name in known}}
        if self.recorder:
            self.recorder(service, model.name, params)
        return params

    def step(self, why: str, *, silent: bool = False) -> None:
        """Begin a step of a command; an error of a call in it names it.

        Parameters
        ----------
        why : str
            What is done, as a phrase: ``start the job``.
        silent : bool
            Whether it is too little to be reported; a dry run shows it all the same.
        """
        self.doing = why
        if not silent:
            self.report(why)

    def call(
        self,
        service: str,
        operation: str,
        /,
        *,
        why: str = "",
        forgives: tuple[str, ...] = (),
        **parameters: Any,
    ) -> Any:
        """Make one call.

        Parameters
        ----------
        service, operation : str
            As boto3 names client and method: ``emr-serverless``, ``start_job_run``.
        why : str
            What it is for, where that is more than the step's phrase.
        forgives : tuple of str
            Error codes that mean it has been done already, or that there is no such thing.
        **parameters
            Of the call.

        Returns
        -------
        dict or None
            The answer; None after an error that is forgiven.

        Raises
        ------
        CloudError
            With what was tried, AWS' own words and a remedy.
        """
        once = (service, operation) in _ONCE
        client = self.client(service, 1 if once else _ATTEMPTS)
        try:
            return getattr(client, operation)(**parameters)
        except Exception as error:
            if error_code(error) in forgives:
                return None
            told = explained(error, why or self.doing or f"{service}.{operation}")
            if once and not error_code(error) and isinstance(told, CloudError):
                told = CloudError(f"{told.problem}. {remedies.PERHAPS_DONE}", remedies.LOOK_FIRST)
            raise told from error

    def account(self) -> str:
        """Number of the account that is signed in to.

        Raises
        ------
        CloudError
            As :meth:`call`.
        """
        why = "see who is signed in"
        return str(self.call("sts", "get_caller_identity", why=why)["Account"])

    def stack(self, name: str) -> Any:
        """A CloudFormation stack as it is, or None where there is none of this name.

        Raises
        ------
        CloudError
            As :meth:`call`.
        """
        # its words for a stack that does not exist
        missing, why = ("ValidationError",), f"look at stack {name}"
        answer = self.call(
            "cloudformation", "describe_stacks", why=why, forgives=missing, StackName=name
        )
        found = answer["Stacks"][0] if answer else None
        return None if found is None or found["StackStatus"] == "DELETE_COMPLETE" else found

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

    def objects(self, bucket: str, prefix: str = "") -> Iterator[Mapping[str, Any]]:
        """All objects of a bucket below a prefix, as S3 lists them.

        Raises
        ------
        CloudError
            As :meth:`call`.
        """
        for page in self.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", ())

    def send_file(self, file: Path, bucket: str, key: str) -> None:
        """Send a large file in parts, several at a time, each with its checksum.

        Raises
        ------
        CloudError
            As :meth:`call`.
        """
        with open(file, "rb") as content:
            try:
                self.client("s3").upload_fileobj(content, bucket, key, ExtraArgs=_PARTS)
            except Exception as error:
                raise explained(error, f"send {file.name} to s3://{bucket}/{key}") from error

    def told(self, what: str) -> str:
        """Stands in a dry run for what only AWS can tell."""
        return f"<{what}>"

    def here(self, work: Callable[[], T], stand_in: Any) -> T:  # noqa: ARG002
        """What work on this machine gives; a dry run does none, and takes the stand-in."""
        return work()

    def wait(
        self,
        service: str,
        operation: str,
        path: str,
        /,
        *,
        done: tuple[str, ...],
        failed: tuple[str, ...] = (),
        reason: str = "",
        seconds: float = 10.0,
        limit: float = 3600.0,
        remedy: str = _GOES_ON,
        **parameters: Any,
    ) -> Any:
        """Ask until an answer says that something is over.

        Parameters
        ----------
        service, operation
            Of the question, as for :meth:`call`.
        path : str
            JMESPath of the state in its answer.
        done, failed : tuple of str
            States that end the waiting, well or badly.
        reason : str
            JMESPath of the reason for a failure.
        seconds : float
            Between two questions.
        limit : float
            Seconds after which waiting is given up.
        remedy : str
            What to do then; what is waited for goes on.
        **parameters
            Of the question.

        Raises
        ------
        CloudError
            If it ends badly, or takes too long.
        """
        import jmespath

        until, last = time.monotonic() + limit, ""
        while True:
            answer = self.call(service, operation, **parameters)
            state = str(jmespath.search(path, answer))
            if state != last:
                self.report(f"{self.doing}: {state}")
                last = state
            if state in done:
                return answer
            if state in failed:
                why = jmespath.search(reason, answer) if reason else None
                because = f": {why}" if why else ""
                raise CloudError(f"{self.doing}: it ended as {state}{because}")
            if time.monotonic() >= until:
                raise CloudError(f"{self.doing}: still {state} after {limit:,.0f} seconds", remedy)
            self.sleep(seconds)

    def until(
        self,
        what: str,
        over: Callable[[], bool],
        seconds: float = 5.0,
        limit: float = 1800.0,
        remedy: str = "Look at it in the console, then repeat the command.",
    ) -> None:
        """Wait until something is over.

        Parameters
        ----------
        what : str
            What is waited for, as a clause.
        over : callable
            Asked again and again.
        seconds : float
            Between two questions.
        limit : float
            Seconds after which waiting is given up.
        remedy : str
            What to do then.

        Raises
        ------
        CloudError
            If it takes longer.
        """
        end = time.monotonic() + limit
        while not over():
            if time.monotonic() >= end:
                raise CloudError(
                    f"gave up after {limit / 60:.0f} minutes of waiting until {what}", remedy
                )
            self.sleep(seconds)


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
