"""``sample``: draws a smaller copy of a labelled set."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.options import parsed, s3_options
from featuremill.workflows.sample.config import MODES, SampleConfig

if TYPE_CHECKING:
    from featuremill.workflows.sample import Sampled

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    images could not be brought; run the same command again to resume
  2    refused before anything was written: an option, the source, the destination
  130  interrupted; run the same command again to resume
"""


@click.command(epilog=_EXIT_CODES)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DEST")
@click.option("--per-class", type=int, metavar="N", help="Take N images of each class.")
@click.option("--fraction", type=float, metavar="F", help="Take this share of each class.")
@click.option(
    "--total", type=int, metavar="N", help="Take N images in all, in proportion to the classes."
)
@click.option("--classes", metavar="A,B", help="Take only images in folders of these names.")
@click.option(
    "--random-classes", type=int, metavar="N", help="Take only N classes, drawn by the seed."
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Take only images whose path below SRC matches; may be repeated.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Skip images whose path below SRC matches; may be repeated.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Number that decides which images are drawn.",
)
@click.option(
    "--mode",
    default="copy",
    show_default=True,
    metavar="|".join(MODES),
    help="How images get to DEST; links need both to be folders, and symbolic links are absolute.",
)
@click.option(
    "--follow-links", is_flag=True, help="Also take images outside SRC that links lead to."
)
@click.option("--dry-run", is_flag=True, help="Show what would be taken, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of a table.")
@s3_options
def sample(as_json: bool, **options: Any) -> None:
    """Draw a sample of SRC's images into DEST, class by class.

    SRC and DEST are folders or s3://bucket/prefix; DEST must be empty. Images keep their paths
    below SRC, and so their labels. Give one of --per-class, --fraction and --total.

    Links that lead out of SRC are skipped and counted, unless --follow-links takes them.

    The same seed chooses the same images wherever SRC lies, and a larger sample of the same seed
    holds the smaller one. With --per-class, images added to a class displace at most as many. Every
    class gives at least one image, unless --total is less than the number of classes.

    \b
    Examples:
      featuremill sample photos small --per-class 50
      featuremill sample s3://fruits/training s3://fruits/tenth --fraction 0.1 --seed 7
      featuremill sample s3://fruits/training few --total 600 --random-classes 12
      featuremill sample photos two --per-class 9 --classes Apple,Pear --mode symlink --dry-run
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.workflows.sample import sample as take

    config = SampleConfig(**parsed(**options))
    with ConsoleProgress() as progress:
        taken = take(config, progress=progress)
    if as_json:
        totals = {"images": taken.images, "bytes": taken.bytes}
        click.echo(json.dumps(asdict(taken) | totals))
    else:
        _print(taken)


def _print(taken: "Sampled") -> None:
    from rich.cells import cell_len, set_cell_size

    rows = [(one.label, one.available, one.taken, one.bytes) for one in taken.classes]
    together = sum(one.available for one in taken.classes)
    rows.append(("together", together, taken.images, taken.bytes))
    # a Chinese letter is two columns wide
    width = max(cell_len(label) for label, *_ in rows)
    click.echo(f"{'class':{width}}  {'available':>11}  {'taken':>11}  {'MB':>9}")
    for label, available, count, size in rows:
        padded = set_cell_size(label, width)
        click.echo(f"{padded}  {available:11,}  {count:11,}  {size / 1e6:9,.2f}")
    if taken.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in taken.left_out.items())
        click.echo(f"left out    {reasons}")
    if taken.dry_run:
        click.echo("nothing was written (--dry-run)")
        return
    before = f", {taken.already_there:,} of them before" if taken.already_there else ""
    click.echo(f"written     {taken.images:,} images to {taken.destination}{before}")
