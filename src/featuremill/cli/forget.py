"""``forget``: erases images from a result, for good."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featuremill.cli.options import INTERRUPTED, s3_options
from featuremill.errors import ConfigError

if TYPE_CHECKING:
    from featuremill.workflows.forget import Erased
    from featuremill.workflows.forget.path_lists import PathList

_EXIT_CODES = """\b
Exit codes:
  0    the images are gone
  1    some images are not there, the answer was no, or the forget could not be finished
  2    refused before anything was written: an option, DEST, a run holds it, no terminal to ask at
  130  interrupted
"""


@click.command(epilog=_EXIT_CODES)
@click.argument("destination", metavar="DEST")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--list",
    "listed",
    metavar="FILE",
    help="File with one path on each line; - reads standard input.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Go on without asking.")
@s3_options
@click.pass_context
def forget(
    context: click.Context,
    destination: str,
    paths: tuple[str, ...],
    listed: str | None,
    dry_run: bool,
    yes: bool,
    endpoint_url: str | None,
    region: str | None,
) -> None:
    """Erase images from everything at DEST, for good.

    Their rows go from the tables, the older versions of the tables, the CSV files, the report and
    the records of runs; on a bucket that keeps versions, all earlier versions of these go. A
    salted hash of each path stays, and no later run embeds the image again. A PATH is one as the
    tables have it, a file, an s3:// URL, or the end of one path of the tables. Unknown paths are
    not recorded; if no path matches, nothing changes.

    The images themselves are not deleted, nor are copies of results elsewhere. The fitted PCA is
    made of sums over all images, and the next run fits it without these.

    After an interruption all that reads or writes images at DEST refuses it until the same command,
    or `featuremill forget DEST`, has finished.

    \b
    Examples:
      featuremill forget results photos/Kiwi/12.jpg
      featuremill forget s3://fruits/results s3://fruits/training/Kiwi/12.jpg --yes
      featuremill forget results --list paths.txt --dry-run
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.workflows.forget import forget as erase

    if listed == "-" and not (yes or dry_run):
        raise ConfigError(
            "--list - reads standard input, so no question can be asked", "Give --yes too."
        )
    lines = _lines(listed)
    given = [*paths, *lines.lines]
    with _nothing_begun(context):
        plan = erase(destination, given, dry_run=True, endpoint_url=endpoint_url, region=region)
        lines.require_text(plan.not_found)
        if dry_run or not (yes and plan.anything):
            _print(plan)
        if dry_run or not plan.anything:
            context.exit(1 if plan.not_found else 0)
        if not (yes or _agreed()):
            click.echo("nothing was changed")
            context.exit(1)
    with ConsoleProgress() as progress:
        erased = erase(
            destination, given, endpoint_url=endpoint_url, region=region, progress=progress
        )
    _print(erased)
    context.exit(1 if erased.not_found else 0)


def _lines(listed: str | None) -> "PathList":
    from featuremill.workflows.forget.path_lists import parse

    try:
        if listed is None:
            data = b""
        else:
            data = sys.stdin.buffer.read() if listed == "-" else Path(listed).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"--list {listed} cannot be read: {error.strerror}",
            "Name a file with one path on each line.",
        ) from error
    return parse(data, f"--list {listed}")


@contextmanager
def _nothing_begun(context: click.Context) -> Iterator[None]:
    """Say of an interruption that there is nothing to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\ninterrupted. Nothing was changed.", err=True)
        context.exit(INTERRUPTED)


def _agreed() -> bool:
    # click.confirm makes one exception of Ctrl-C and of the end of the input
    click.echo("This cannot be undone. Go on? [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise ConfigError(
            "there is no terminal to ask at", "Give --yes to forget without a question."
        )
    return answer.strip().lower() in ("y", "yes")


def _print(erased: "Erased") -> None:
    click.echo(f"forget      {erased.destination}")
    if erased.dry_run and erased.pending:
        click.echo("unfinished  an earlier forget was interrupted: this one would finish it")
    for path in erased.meant.values():
        if path in erased.paths:
            click.echo(f"image       {path!r}")
    if erased.anything:
        _print_rows(erased)
        _print_rest(erased)
    else:
        click.echo("unchanged   there is nothing to be removed: nothing was changed")
    for path in erased.not_found:
        meant = erased.meant.get(path)
        # quoted, so that blanks and characters without a glyph show
        click.echo(f"not found   {path!r}")
        if meant is not None:
            click.echo(f"            there is {meant!r}")


def _print_rows(erased: "Erased") -> None:
    rows, verb = erased.rows, "would remove" if erased.dry_run else "removed"
    click.echo(
        f"features    {verb} {rows.get('embedded', 0):,} embedded and"
        f" {rows.get('rejected', 0):,} rejected rows"
    )
    click.echo(f"reduced     {verb} {rows.get('reduced', 0):,} rows")


def _print_rest(erased: "Erased") -> None:
    if erased.dry_run:
        click.echo(f"outputs     would rewrite {_outputs(erased)}")
        click.echo("history     would remove all older versions of the tables, for all images")
        return
    click.echo(f"outputs     rewrote {_outputs(erased)}")
    click.echo(
        f"history     removed {erased.older_files:,} older files of the tables and"
        f" {erased.log_files:,} of their logs"
    )
    if erased.versions is not None:
        click.echo(f"versions    removed {erased.versions:,} earlier versions of objects")


def _outputs(erased: "Erased") -> str:
    return ", ".join(erased.rewritten) or "none: there are none"
