"""Options that the commands of ``featuremill cloud`` share, and how they reach AWS."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from featuremill._utils.paths import visible
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.fleets import FAMILIES, SIZES
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.confirm import answers_of, confirmed
from featuremill.cloud.stack.project_file import Place

INTERRUPTED = 130
"""What a command ends with after Ctrl-C."""


@dataclass(frozen=True)
class Access:
    """How a command reaches AWS.

    Parameters
    ----------
    profile, endpoint_url : str or None
        As for :class:`~featuremill.cloud.aws.client.Aws`.
    dry_run : bool
        Whether nothing may be called.
    verbose : bool
        Whether a dry run shows each call, or the steps alone.
    """

    profile: str | None = None
    endpoint_url: str | None = None
    dry_run: bool = False
    verbose: bool = True

    def to_stack(
        self,
        *,
        check: Callable[[Place], Any] = lambda _: None,
        gone_too: bool = False,
        holds: bool = False,
    ) -> tuple[Place, Aws]:
        """The stack of the current folder, as AWS describes it, and a connection to its account.

        The folder's file may have come with somebody else's folder, so it is not believed; only a
        dry run, which calls nothing, shows what it says.

        Parameters
        ----------
        check : callable
            Refuses wrong options, before anything is asked of AWS.
        gone_too : bool
            As for :func:`~featuremill.cloud.stack.confirm.confirmed`.
        holds : bool
            As for :meth:`to_region`.

        Raises
        ------
        ConfigError
            If there is none, or it belongs to another account than the one signed in to.
        CloudError
            If AWS knows no such stack.
        """
        where = here()
        check(where)
        aws = self.to_region(where.region, where.account, there=where, holds=holds)
        return confirmed(where, aws, gone_too=gone_too), aws

    def to_region(
        self, region: str, owner: str = "", *, there: Place | None = None, holds: bool = False
    ) -> Aws:
        """A connection, not used yet, or what shows its calls in place of one.

        Parameters
        ----------
        region, owner : str
            As for :class:`~featuremill.cloud.aws.client.Aws`.
        there : Place, optional
            The stack that a dry run takes to be there.
        holds : bool
            Whether a dry run takes the account to hold one of everything.
        """
        aws = Aws(region, self.profile, self.endpoint_url, owner=owner, report=say)
        if not self.dry_run:
            return aws
        from featuremill.cloud.aws.dry_run import DryRun

        known = answers_of(there, holds=holds) if there else {}
        return DryRun(
            region,
            self.profile,
            owner=owner,
            tell=tell,
            holds=holds,
            known=known,
            verbose=self.verbose,
        )


def reaching_aws(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--profile`` and ``--endpoint-url``, which the command takes as ``access``."""

    @wraps(command)
    def run(
        *words: Any,
        profile: str | None,
        endpoint_url: str | None,
        dry_run: bool = False,
        verbose: bool = True,
        **more: Any,
    ) -> Any:
        return command(*words, access=Access(profile, endpoint_url, dry_run, verbose), **more)

    run = click.option("--profile", metavar="NAME", help="AWS profile to sign in with.")(run)
    return click.option(
        "--endpoint-url", metavar="URL", help="Address that answers in place of AWS, for tests."
    )(run)


def changing_aws(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same with ``--dry-run``, for every command that changes anything."""
    return click.option(
        "--dry-run", is_flag=True, help="Show every call that would be made, and make none."
    )(reaching_aws(command))


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Processors, size and number of a cluster's machines, and how long it may be idle."""
    settings: dict[str, dict[str, Any]] = {
        "--architecture": {
            "metavar": "|".join(FAMILIES),
            "help": "Processors of the cluster's machines.  [default: the stack's]",
        },
        "--size": {
            "default": "xlarge",
            "metavar": "|".join(SIZES),
            "help": "EC2 instance size.",
        },
        "--min-nodes": {"default": 2, "help": "Smallest number of nodes beside the primary."},
        "--max-nodes": {"default": 4, "help": "Largest number of nodes beside the primary."},
        "--idle-hours": {"default": 3.0, "help": "Hours after which the idle cluster ends."},
    }
    for flag, setting in reversed(settings.items()):
        command = click.option(flag, show_default="default" in setting, **setting)(command)
    return command


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--yes``, for commands that ask."""
    return click.option("--yes", "-y", is_flag=True, help="Go on without asking.")(command)


def agreeing(*, yes: bool) -> Callable[[str], bool]:
    """Asks at a terminal whether to do what a sentence says; elsewhere only ``--yes`` agrees."""

    def agree(question: str) -> bool:
        return yes or (sys.stdin.isatty() and click.confirm(visible(question), err=True))

    return agree


def tell(text: object) -> None:
    """Print a line of results, in which a terminal obeys nothing that others wrote."""
    click.echo(visible(str(text)))


def say(text: str) -> None:
    """Tell what is going on, beside the results."""
    click.echo(visible(text), err=True)


def here() -> Place:
    """The stack that belongs to the current folder.

    Raises
    ------
    ConfigError
        If there is none.
    """
    return project_file.load(Path())


def was_dry(aws: Aws) -> bool:
    """Whether the command that ends here called nothing; it is said."""
    if aws.dry:
        click.echo("dry run: nothing was called")
    return aws.dry


@contextmanager
def interrupted(goes_on: str) -> Iterator[None]:
    """Say on Ctrl-C what goes on without this command, and how to end it.

    Parameters
    ----------
    goes_on : str
        A sentence.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted. {goes_on}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
