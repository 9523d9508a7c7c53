"""Writes what a search found as one HTML file of thumbnails, which needs no network."""

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from featuremill._utils.formatting import tenths
from featuremill._utils.progress import Progress
from featuremill.errors import ImageRejected, SourceError
from featuremill.images import decode
from featuremill.images.originals import GONE, read_again
from featuremill.search.duplicate_groups import Duplicates, Group
from featuremill.search.embedded import Embedded
from featuremill.search.most_similar import Similar
from featuremill.search.outlier_scores import Outlier, Outliers
from featuremill.search.query import read

EDGE: Final = 160
"""Longer edge of a thumbnail in pixels."""

IN_A_GROUP: Final = 12
"""Images of a group of duplicates that are shown."""


@dataclass(frozen=True)
class Card:
    """A picture and what is said of it."""

    path: str
    label: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """Pictures under a heading."""

    heading: str
    note: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Page:
    """All that is on a page but the pictures."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def similar_page(found: Similar) -> Page:
    """The image asked about, and its neighbours."""
    asked = Card(found.image, found.label or "", ())
    neighbours = tuple(
        Card(each.path, each.label, (f"cosine {each.cosine:.4f}", f"{each.width} × {each.height}"))
        for each in found.neighbours
    )
    return Page(
        f"Similar to {found.image.rpartition('/')[2]}",
        f"The nearest of {found.searched:,} images by cosine of their {found.on}.",
        (Section("Asked for", "", (asked,)), Section("Nearest first", "", neighbours)),
    )


def duplicates_page(found: Duplicates, count: int) -> Page:
    """The first groups."""
    shown = found.groups[:count]
    beyond = len(found.groups) - len(shown)
    return Page(
        "Duplicates",
        f"{len(found.groups):,} groups with {found.grouped:,} of {found.searched:,} images, whose"
        f" {found.on} have a cosine of at least {found.threshold:g} to the first of their group."
        + (f" The largest {len(shown):,} are shown." if beyond else ""),
        tuple(_group(number, group) for number, group in enumerate(shown, 1)),
    )


def outliers_page(found: Outliers) -> Page:
    """The farthest, and those that seem mislabelled."""
    accuracy = found.accuracy
    lead = f"{found.searched:,} images, each compared with its {found.k} nearest by {found.on}."
    if accuracy is not None:
        lead += (
            f" Of the {accuracy.k} nearest the majority bears the image's label in"
            f" {tenths(accuracy.share):.1f} % of all cases."
        )
    farthest = tuple(map(_outlier, found.farthest))
    mislabelled = tuple(map(_outlier, found.mislabelled))
    note = f"None of their {found.k} nearest bears their label: {found.mislabelled_in_all:,} in all"
    return Page(
        "Outliers",
        lead,
        (
            Section("Farthest from all others", "1 - mean cosine to the nearest", farthest),
            Section("Perhaps mislabelled", note, mislabelled),
        ),
    )


def render(page: Page, embedded: Embedded, progress: Progress) -> str:
    """Lay out a page.

    Returns
    -------
    str
        One HTML document with all its pictures inside. A content security policy forbids it to
        fetch or run anything, and every value is escaped.
    """
    from jinja2 import Environment, StrictUndefined

    paths = [card.path for section in page.sections for card in section.cards]
    thumbnails, missing = _thumbnails(embedded, paths, progress)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = files("featuremill.search").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        page=page,
        destination=embedded.destination.url,
        edge=EDGE,
        thumbnails={path: b64encode(jpeg).decode("ascii") for path, jpeg in thumbnails.items()},
        missing=missing,
    )


def _group(number: int, group: Group) -> Section:
    first = group.images[0]
    cards = tuple(
        Card(
            member.path,
            member.label,
            (
                "first" if member is first else f"cosine {member.cosine:.4f}",
                f"{member.width} × {member.height}",
                f"{member.bytes:,} bytes",
            ),
        )
        for member in group.images[:IN_A_GROUP]
    )
    beyond = len(group.images) - len(cards)
    note = f"{group.kind}, {len(group.images):,} images"
    return Section(f"Group {number}", note + (f", {beyond:,} not shown" if beyond else ""), cards)


def _outlier(outlier: Outlier) -> Card:
    around = ", ".join(f"{count} {label}" for label, count in outlier.labels.items())
    return Card(
        outlier.path, outlier.label, (f"distance {outlier.distance:.4f}", f"around it: {around}")
    )


def _thumbnails(
    embedded: Embedded, paths: Sequence[str], progress: Progress
) -> tuple[dict[str, bytes], Counter[str]]:
    """JPEG of each path that can be read, and how many cannot, by the reason."""
    small = partial(decode.thumbnail, edge=EDGE)
    unique = list(dict.fromkeys(paths))
    places = pc.index_in(
        pa.array(unique, pa.string()), value_set=embedded.images["path"]
    ).to_pylist()
    images = embedded.originals(row for row in places if row is not None)
    progress.say(f"reading {len(unique):,} images for their thumbnails")
    read_ones, missing = read_again(embedded.store_of, images, small)
    thumbnails = {images[row][0]: jpeg for row, jpeg in read_ones.items()}
    for path, place in zip(unique, places, strict=True):
        if place is None:
            # the image asked about, which is in no table and was just embedded
            try:
                thumbnails[path] = small(read(embedded, path))
            except (SourceError, ImageRejected):
                missing[GONE] += 1
    return thumbnails, missing
