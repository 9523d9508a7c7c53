"""``featuremill cloud upload`` and ``fetch``."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from featuremill.cli.cloud.options import (
    Access,
    agreeing,
    changing_aws,
    tell,
    was_dry,
    yes_option,
)
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.transfer.upload import INPUT, check_folder

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_AT_A_TERMINAL = 0.2


@contextmanager
def counting(verb: str, aws: Aws) -> Iterator[Callable[..., None]]:
    """One line on standard error that is kept up to date, or some lines where it is no terminal.

    Yields a function of the files done, their bytes and, if it is known, how many there are.
    """
    terminal, due = sys.stderr.isatty(), 0.0

    def show(files: int, size: int, total: int | None = None) -> None:
        nonlocal due
        now = time.monotonic()
        if now < due or aws.dry:
            return
        due = now + (_SECONDS_AT_A_TERMINAL if terminal else _SECONDS_BETWEEN_LINES)
        start, of = "\r\x1b[2K" if terminal else "", f" of {total:,}" if total is not None else ""
        line = f"{start}{verb} {files:,}{of} files, {size / 1e6:,.1f} MB"
        click.echo(line, nl=not terminal, err=True)

    try:
        yield show
    finally:
        if terminal and due:
            click.echo(err=True)


@click.command()
@click.argument("source", metavar="SRC")
@click.option(
    "--to",
    default=INPUT,
    show_default=True,
    metavar="FOLDER",
    help="Folder of the bucket to send to: input, or one below it.",
)
@click.option(
    "--follow-links",
    is_flag=True,
    help="Send files outside SRC too, where links of SRC lead to them.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Send only files whose path below SRC matches; may be repeated.",
)
@yes_option
@changing_aws
def upload(
    source: str,
    to: str,
    follow_links: bool,
    include: tuple[str, ...],
    yes: bool,
    access: Access,
) -> None:
    """Bring images into the stack's bucket.

    SRC is a folder, a zip or tar archive, the https address of one, or the name of a public archive
    of fruit: fruits-360 (94,110 images of 141 classes, MIT licence), fruits-360-2025 (102,639 of
    155, CC BY-SA 4.0), fruits-360-2020 (90,483 of 131, MIT licence; its folder Training holds the
    67,692 that courses speak of) or fruits-course (the zip of the course itself). The project's
    tests never fetch these. Archives are not unpacked on disk; one that unpacks to very much is
    asked about. Hidden files, files over 256 MiB and links that lead out of SRC stay behind. What
    is there already is not sent again: after an interruption, repeat the command.

    \b
    Examples:
      featuremill cloud upload photos
      featuremill cloud upload photos.zip --to input/autumn
      featuremill cloud upload fruits-360
      featuremill cloud upload fruits-360-2020 --include 'Training/*'
    """
    from featuremill.cloud.transfer.sources import open_source
    from featuremill.cloud.transfer.upload import upload as bring

    images = open_source(source, follow_links=follow_links, include=include)
    check_folder(to)
    place, aws = access.to_stack()
    with counting("sent", aws) as show:
        done = bring(aws, place, images, to, show, agreeing(yes=yes))
    if was_dry(aws):
        return
    tell(
        f"{done.files:,} files, {done.size / 1e6:,.1f} MB: {done.sent:,} sent,"
        f" {done.there:,} there already; count, sizes and checksums agree"
    )
    for why, count in done.left_out.items():
        tell(f"left out: {count:,} {why}")
    if done.others:
        tell(f"note: {done.others:,} other objects lie in {to}, and the job will read them too")


@click.command()
@click.argument("destination", metavar="[DEST]", default="results", type=click.Path(path_type=Path))
@click.option(
    "--name",
    default="",
    metavar="NAME",
    help="Name of the results: they come from results/NAME.  [default: all]",
)
@changing_aws
def fetch(destination: Path, name: str, access: Access) -> None:
    """Bring results to disk, in DEST (results).

    Files that are there and have not changed are not fetched again.

    \b
    Examples:
      featuremill cloud fetch
      featuremill cloud fetch out --name main
    """
    from featuremill.cloud.jobs.job import check_name
    from featuremill.cloud.transfer.fetch import fetch as bring

    if name:
        check_name(name)
    place, aws = access.to_stack()
    with counting("fetched", aws) as show:
        done = bring(aws, place, destination, name, show)
    if was_dry(aws):
        return
    tell(
        f"{done.received:,} files, {done.size / 1e6:,.1f} MB fetched,"
        f" {done.there:,} there already, in {destination}"
    )
