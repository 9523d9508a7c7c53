"""``check``: checks that a result is whole and sound."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.options import s3_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from featuremill.workflows.check import Check, CheckResult

_EXIT_CODES = """\b
Exit codes:
  0    no check failed
  1    a check failed, or storage did
  2    DEST holds no result, or an option or the source was refused
  130  interrupted
"""
_COLOURS = {"ok": "green", "failed": "red", "skipped": "bright_black"}


@click.command(epilog=_EXIT_CODES)
@click.argument("destination", metavar="DEST")
@click.option(
    "--min-variance",
    type=float,
    metavar="V",
    help="Smallest share of the variance that the components must hold.",
)
@click.option(
    "--components", type=int, metavar="K", help="Number of components that the PCA must have."
)
@click.option(
    "--expect-count", type=int, metavar="N", help="Number of images that must have features."
)
@click.option(
    "--source", metavar="SRC", help="Compare the rows with the images of SRC as they are now."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of a table.")
@s3_options
@click.pass_context
def check(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Check that the result at DEST is whole and sound.

    The command reads every file, every row of the tables and of the CSV, the PCA and the ledger of
    the newest run; it writes nothing. It prints one line for each check: its status, its name, what
    was found, and what it had to be.

    \b
    Examples:
      featuremill check results
      featuremill check results --min-variance 0.9 --expect-count 67692
      featuremill check s3://fruits/results --components 256 --source s3://fruits/training --json
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.workflows.check import CheckConfig
    from featuremill.workflows.check import check as look

    config = CheckConfig(**options)
    with ConsoleProgress() as progress:
        result = look(config, progress=progress)
    if as_json:
        checks = [asdict(one) for one in result.checks]
        click.echo(
            json.dumps({"destination": result.destination, "ok": result.ok, "checks": checks})
        )
    else:
        _print(result)
    context.exit(0 if result.ok else 1)


def _print(result: "CheckResult") -> None:
    print_checks(result.checks)
    skipped = sum(one.status == "skipped" for one in result.checks)
    made, failed = len(result.checks) - skipped, len(result.failed)
    outcome = f"{failed} of {made} checks failed" if failed else f"all {made} checks passed"
    click.echo(f"{outcome}, {skipped} skipped: {result.destination}")


def print_checks(checks: "Iterable[Check]") -> None:
    """One line for each: its status, its name, and what was found."""
    for one in checks:
        status = click.style(f"{one.status:7}", fg=_COLOURS[one.status])
        click.echo(f"{status}  {one.name:17}  {_said(one)}".rstrip())


def _said(one: "Check") -> str:
    if one.value is None:
        return one.note
    value = f"{one.value:,}" if isinstance(one.value, int) else one.value
    value = f"{one.value:.6g}" if isinstance(one.value, float) else value
    return f"{value} {one.note} (must be {one.bound})"
