"""What a command is going to do, as data: shown by :mod:`featuremill.cloud.aws.dry_run`, run by one
executor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featuremill.cloud.aws.client import Aws

Answers = dict[str, Any]
"""Answers of the named steps that have run."""


@dataclass(frozen=True)
class Later:
    """A value that an earlier step's answer will hold.

    Parameters
    ----------
    step : str
        Name of that step.
    path : str
        Where in its answer, as a JMESPath expression.
    form : str
        Text around the value, with ``{}`` in its place.
    """

    step: str
    path: str
    form: str = "{}"


@dataclass(frozen=True)
class Call:
    """One call of an AWS API.

    Parameters
    ----------
    service, operation : str
        As boto3 names client and method: ``emr-serverless``, ``start_job_run``.
    parameters : mapping
        Of the call; values may be :class:`Later`, at any depth.
    why : str
        What it is for, as a phrase: ``start the job``.
    name : str
        Under which the answer is kept for later steps.
    changes : bool
        False for calls that only read.
    forgives : tuple of str
        Error codes that mean it has been done already.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    why: str
    name: str = ""
    changes: bool = True
    forgives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wait:
    """Ask until an answer says that something is over.

    Parameters
    ----------
    call : Call
        A reading call, repeated.
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
    """

    call: Call
    path: str
    done: tuple[str, ...]
    failed: tuple[str, ...]
    reason: str = ""
    seconds: float = 10.0
    limit: float = 3600.0
    remedy: str = "It goes on without this command: `featuremill cloud status` tells how it is."


@dataclass(frozen=True)
class Work:
    """Something that is no single call: many uploads, an archive to build, versions to delete.

    Parameters
    ----------
    why : str
        As for :class:`Call`, with the figures known beforehand.
    does : callable
        Takes the connection and the answers so far; what it returns is kept under ``name``.
    name : str
        As for :class:`Call`.
    calls : tuple of str
        ``service.operation`` of the calls it makes.
    changes : bool
        False for work that only reads.
    """

    why: str
    does: "Callable[[Aws, Answers], Any]" = field(repr=False)
    name: str = ""
    calls: tuple[str, ...] = ()
    changes: bool = True


Step = Call | Wait | Work
Plan = Sequence[Step]
