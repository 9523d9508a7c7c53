"""``similar``, ``duplicates`` and ``outliers``: search among the images of a destination."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill._utils.formatting import tenths
from featuremill.cli.options import s3_options
from featuremill.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from featuremill._utils.progress import Progress
    from featuremill.search import Duplicates, Embedded, Member, Outlier, Outliers, Similar
    from featuremill.search.page import Page

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    storage failed
  2    refused: an option, the destination, the image
  130  interrupted
"""

_SHOWN_OF_A_GROUP = 8
_CSV_COLUMNS = ("group", "kind", "path", "label", "width", "height", "bytes", "cosine", "sha256")
_NUMBERS = ("", "cosine", "distance", "size", "bytes")


def _search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of all searches."""
    command = s3_options(command)
    for option in (
        click.option("--html", metavar="FILE", help="Write a page of thumbnails."),
        click.option("--json", "as_json", is_flag=True, help="Print one line of JSON."),
        click.option(
            "--on",
            default="features",
            show_default=True,
            metavar="features|reduced",
            help="What is compared: the network's features, or their PCA scores.",
        ),
    ):
        command = option(command)
    return command


@click.command(epilog=_EXIT_CODES)
@click.argument("destination", metavar="DEST")
@click.argument("image", metavar="IMAGE")
@click.option("--count", type=int, default=10, show_default=True, help="Number of images to find.")
@click.option("--label", help="Search only among images of this label.")
@click.option(
    "--weights",
    metavar="FILE",
    help="Keras file of the run, if it has been moved; new images need it.",
)
@_search_options
def similar(image: str, count: int, label: str | None, weights: str | None, **options: Any) -> None:
    """Find the images of DEST most similar to IMAGE, by the cosine of their features.

    IMAGE names an image of DEST by its path, its path below SRC, or the end of its path. Any other
    file or s3:// address is embedded with the network that computed DEST's features.

    \b
    Examples:
      featuremill similar results apple/apple_2.jpg
      featuremill similar results new.jpg --count 20 --html similar.html
      featuremill similar s3://fruits/results s3://fruits/new/1.jpg --label Apple --json
    """
    from featuremill.search import similar as search
    from featuremill.search.page import similar_page

    def find(embedded: "Embedded", progress: "Progress") -> "Similar":
        return search(embedded, image, count=count, label=label, weights=weights, progress=progress)

    _search(find, _print_similar, similar_page, **options)


@click.command(epilog=_EXIT_CODES)
@click.argument("destination", metavar="DEST")
@click.option(
    "--threshold",
    type=float,
    metavar="COSINE",
    help="Smallest cosine at which two images are near.  [default: by model, see above]",
)
@click.option("--count", type=int, default=20, show_default=True, help="Number of groups to show.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write all groups as a CSV file.")
@_search_options
def duplicates(threshold: float | None, count: int, csv_file: str | None, **options: Any) -> None:
    """Find images of DEST that show the same: copies, and pictures nearly the same.

    Each image, the largest first, takes all others that are near to it into its group: every image
    is near to the first of its group, and no chain of look-alikes becomes one group. Files of a
    group that may be copies are read again; they are copies if their SHA-256 is the same.

    The default threshold finds a photograph that was resized to half, recompressed or cropped by
    5 %: 0.9 for mobilenetv2, 0.98 for embedded, 0.95 on reduced features. Pictures of one kind of
    thing before an empty background are more alike, and need a higher one.

    \b
    Examples:
      featuremill duplicates results
      featuremill duplicates results --threshold 0.95 --csv duplicates.csv
      featuremill duplicates s3://fruits/results --count 50 --html duplicates.html
    """
    from featuremill.search import duplicates as search
    from featuremill.search.embedded import COUNT
    from featuremill.search.page import duplicates_page

    COUNT.check("count", count)
    _check_file(csv_file)

    def find(embedded: "Embedded", progress: "Progress") -> "Duplicates":
        found = search(embedded, threshold=threshold, progress=progress)
        if csv_file is not None:
            _write(csv_file, _groups_as_csv(found))
        return found

    def show(found: "Duplicates") -> None:
        _print_duplicates(found, count)
        if csv_file is not None:
            click.echo(f"written   {csv_file}")

    _search(find, show, lambda found: duplicates_page(found, count), **options)


@click.command(epilog=_EXIT_CODES)
@click.argument("destination", metavar="DEST")
@click.option(
    "--count",
    type=int,
    default=20,
    show_default=True,
    help="Number of images to show of either kind.",
)
@click.option("--label", help="Show only images of this label.")
@_search_options
def outliers(count: int, label: str | None, **options: Any) -> None:
    """Find the images of DEST that are least like all others, and those perhaps mislabelled.

    An image's distance is 1 - the mean cosine to its 10 nearest. An image whose label none of them
    has is perhaps mislabelled. The accuracy is the share of images whose label most of their 5
    nearest have.

    \b
    Examples:
      featuremill outliers results
      featuremill outliers results --on reduced --count 50 --html outliers.html
      featuremill outliers s3://fruits/results --label Apple --json
    """
    from featuremill.search import outliers as search
    from featuremill.search.page import outliers_page

    def find(embedded: "Embedded", progress: "Progress") -> "Outliers":
        return search(embedded, count=count, label=label, progress=progress)

    _search(find, _print_outliers, outliers_page, **options)


def _search(
    find: Callable[["Embedded", "Progress"], Any],
    show: Callable[[Any], None],
    page: Callable[[Any], "Page"],
    *,
    destination: str,
    on: str,
    as_json: bool,
    html: str | None,
    endpoint_url: str | None,
    region: str | None,
) -> None:
    """Load, search, print, and write the page if one is wanted."""
    from featuremill.cli.console import ConsoleProgress
    from featuremill.search import load
    from featuremill.search.page import render

    _check_file(html)
    with ConsoleProgress() as progress:
        embedded = load(
            destination, on=on, endpoint_url=endpoint_url, region=region, progress=progress
        )
        found = find(embedded, progress)
        if html is not None:
            _write(html, render(page(found), embedded, progress))
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    show(found)
    if html is not None:
        click.echo(f"page      {html}")


def _print_similar(found: "Similar") -> None:
    of = f" ({_printable(found.label)})" if found.label is not None else ""
    click.echo(f"{_printable(found.image)}{of}")
    click.echo(f"the nearest of {found.searched:,} images by cosine of their {found.on}")
    rows = [
        (str(rank), f"{each.cosine:.4f}", f"{each.width} x {each.height}", each.label, each.path)
        for rank, each in enumerate(found.neighbours, 1)
    ]
    _print_table(("", "cosine", "size", "label", "path"), rows)


def _print_duplicates(found: "Duplicates", count: int) -> None:
    for number, group in enumerate(found.groups[:count], 1):
        click.echo(f"group {number:,}: {len(group.images):,} images, {group.kind}")
        _print_group(group.images)
    if len(found.groups) > count:
        click.echo(f"and {len(found.groups) - count:,} more groups: --csv and --json have all")
    kinds = Counter(group.kind for group in found.groups)
    parts = "".join(f", {number:,} {kind}" for kind, number in kinds.items())
    click.echo(f"groups    {len(found.groups):,} of {found.grouped:,} images{parts}")
    click.echo(f"searched  {found.searched:,} images, {found.on}, cosine from {found.threshold:g}")
    for reason, number in found.unread.items():
        click.echo(f"unread    {number:,} images that may be copies: {_printable(reason)}")
    if found.grouped > found.searched / 2:
        click.echo("warning   most images are in a group: a higher --threshold may say more")


def _print_group(images: Sequence["Member"]) -> None:
    shown = images[:_SHOWN_OF_A_GROUP]
    sums = [member.sha256 for member in shown]
    rows = []
    for place, member in enumerate(shown):
        first = sums.index(member.sha256) if member.sha256 else place
        rows.append(
            (
                f"{place + 1}",
                f"{member.cosine:.4f}",
                f"{member.width} x {member.height}",
                f"{member.bytes:,}",
                f"of {first + 1}" if first < place else "",
                member.label,
                member.path,
            )
        )
    _print_table(("", "cosine", "size", "bytes", "copy", "label", "path"), rows)
    if len(images) > len(shown):
        click.echo(f"     and {len(images) - len(shown):,} more")


def _print_outliers(found: "Outliers") -> None:
    click.echo("farthest from all others")
    _print_table(("distance", "label", "around it", "path"), list(map(_outlier, found.farthest)))
    click.echo(f"perhaps mislabelled: {found.mislabelled_in_all:,}")
    _print_table(("distance", "label", "around it", "path"), list(map(_outlier, found.mislabelled)))
    if found.accuracy is not None:
        right = found.accuracy
        click.echo(
            f"accuracy  {tenths(right.share):.1f}% of the labels are those of the {right.k} nearest"
            f" (95 % interval {tenths(right.low):.1f}% to {tenths(right.high):.1f}%)"
        )
    click.echo(f"searched  {found.searched:,} images, {found.on}, {found.k} nearest of each")


def _outlier(outlier: "Outlier") -> tuple[str, ...]:
    around = ", ".join(f"{count} {label}" for label, count in outlier.labels.items())
    return (f"{outlier.distance:.4f}", outlier.label, around, outlier.path)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be; numbers stand on the right."""
    from rich.cells import cell_len, set_cell_size

    cells = [[_printable(cell) for cell in row] for row in (header, *rows)] if rows else []
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [
            # a Chinese letter is two columns wide
            cell.rjust(width) if name in _NUMBERS else set_cell_size(cell, width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        click.echo("  " + "  ".join(padded).rstrip())


def _groups_as_csv(found: "Duplicates") -> str:
    from featuremill.dataset.csv_files import csv_text

    rows = (
        (number, group.kind, *asdict(member).values())
        for number, group in enumerate(found.groups, 1)
        for member in group.images
    )
    return csv_text(_CSV_COLUMNS, rows)


def _printable(text: str) -> str:
    """Text without what would move a terminal's cursor or turn its direction."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _check_file(file: str | None) -> None:
    """Refuse, before a long search, a file that could not be written after it."""
    if file is None:
        return
    path = Path(file)
    if path.is_dir():
        raise ConfigError(f"{file} is a folder", "Name a file in it.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder", "Name a file in an existing folder.")


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"cannot write {file}: {error.strerror}", "Check space and permissions."
        ) from error
