"""Options that the commands of ``featuremill cloud`` share, and how a plan is carried out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from featuremill.cloud import place
from featuremill.cloud.aws import Aws
from featuremill.cloud.dry import lines
from featuremill.cloud.place import Place
from featuremill.cloud.plan import Answers, Plan

INTERRUPTED = 130
"""What a command ends with after Ctrl-C."""


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--profile`` and ``--endpoint-url``."""
    command = click.option("--profile", metavar="NAME", help="AWS profile to sign in with.")(
        command
    )
    return click.option("--endpoint-url", metavar="URL", help="In place of AWS, for tests.")(
        command
    )


def dry_run_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--dry-run``, for every command that changes anything."""
    return click.option(
        "--dry-run", is_flag=True, help="Show every call that would be made, and make none."
    )(command)


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--yes``, for commands that ask."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(command)


def here() -> Place:
    """The stack that belongs to the current folder.

    Raises
    ------
    ConfigError
        If there is none.
    """
    return place.load(Path())


def connect(region: str, profile: str | None, endpoint_url: str | None) -> Aws:
    """A connection, not used yet."""
    return Aws(region, profile, endpoint_url)


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


def carry_out(plan: Plan, aws: Aws, *, dry_run: bool) -> Answers | None:
    """Show a plan, or run it with a line for each step.

    Returns
    -------
    dict or None
        Answers of the named steps; None after a dry run.
    """
    if dry_run:
        for line in lines(plan):
            click.echo(line)
        click.echo("dry run: nothing was called")
        return None
    from featuremill.cloud.execute import execute

    return execute(plan, aws, report=lambda text: click.echo(text, err=True))
