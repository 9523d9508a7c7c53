"""``forget``: images erased from a result, for good."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featuremill.cli.options import s3_options
from featuremill.errors import ConfigError

if TYPE_CHECKING:
    from featuremill.erasure import Erased

_EXIT_CODES = """\b
Exit codes:
  0    the images are gone
  1    some images were in no table, or the forget could not be finished
  2    refused before anything was written: an option, DEST, or a run holds it
  130  interrupted
"""


@click.command(epilog=_EXIT_CODES)
@click.argument("destination", metavar="DEST")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--list", "listed", metavar="FILE", help="A file with one path a line; - reads them.")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
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
    tables have it, a file, or an s3:// URL.

    The images themselves are not deleted, nor are copies of results elsewhere. The fitted PCA is
    made of sums over all images, and the next run fits it without these.

    After an interruption runs refuse DEST until the same command, or `featuremill forget DEST`,
    has finished.

    \b
    Examples:
      featuremill forget results photos/Kiwi/12.jpg
      featuremill forget s3://fruits/results s3://fruits/training/Kiwi/12.jpg --yes
      featuremill forget results --list paths.txt --dry-run
    """
    from featuremill.console import ConsoleProgress
    from featuremill.erasure import forget as erase

    if listed == "-" and not (yes or dry_run):
        raise ConfigError("--list - leaves nobody to be asked", "Give --yes too.")
    given = [*paths, *_lines(listed)]
    plan = erase(destination, given, dry_run=True, endpoint_url=endpoint_url, region=region)
    if dry_run or not yes:
        _print(plan)
    if dry_run:
        context.exit(1 if plan.not_found else 0)
    if not yes:
        click.confirm("This cannot be undone. Go on?", abort=True, err=True)
    with ConsoleProgress() as progress:
        erased = erase(
            destination, given, endpoint_url=endpoint_url, region=region, progress=progress
        )
    _print(erased)
    context.exit(1 if erased.not_found else 0)


def _lines(listed: str | None) -> list[str]:
    if listed is None:
        return []
    try:
        data = sys.stdin.buffer.read() if listed == "-" else Path(listed).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"--list {listed} cannot be read: {error.strerror}", "Name a file with a path a line."
        ) from error
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line]


def _print(erased: "Erased") -> None:
    rows = erased.rows
    verb = "would remove" if erased.dry_run else "removed"
    click.echo(f"forget      {erased.destination}")
    click.echo(
        f"features    {verb} {rows.get('embedded', 0):,} embedded and"
        f" {rows.get('rejected', 0):,} rejected rows"
    )
    click.echo(f"reduced     {verb} {rows.get('reduced', 0):,} rows")
    verb = "would rewrite" if erased.dry_run else "rewrote"
    click.echo(f"outputs     {verb} {', '.join(erased.rewritten) or 'none: there are none'}")
    if not erased.dry_run:
        click.echo(
            f"history     removed {erased.older_files:,} older files of the tables and"
            f" {erased.log_files:,} of their logs"
        )
        if erased.versions is not None:
            click.echo(f"versions    removed {erased.versions:,} earlier versions of objects")
    for path in erased.not_found:
        click.echo(f"not found   {path}")
