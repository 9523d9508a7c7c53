"""Finds the images most similar to one."""

import difflib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featuremill._utils import paths
from featuremill._utils.formatting import plural
from featuremill._utils.progress import Progress
from featuremill.dataset.reader import Indices
from featuremill.errors import ConfigError
from featuremill.search.embedded import COUNT, DIGITS, Embedded, load
from featuremill.search.locate import find
from featuremill.search.neighbors import nearest
from featuremill.search.query import embed


@dataclass(frozen=True)
class Neighbour:
    """An image and how similar it is."""

    cosine: float
    path: str
    label: str
    width: int
    height: int


@dataclass(frozen=True)
class Similar:
    """The images most similar to one, the nearest first.

    Attributes
    ----------
    image : str
        As the table names it, or as it was given.
    label : str or None
        Its label; None if it is not in the table.
    on : str
        What was compared.
    searched : int
        Images among which they are the nearest.
    neighbours : tuple of Neighbour
    """

    image: str
    label: str | None
    on: str
    searched: int
    neighbours: tuple[Neighbour, ...]


def similar(
    destination: str | os.PathLike[str] | Embedded,
    image: str | os.PathLike[str],
    *,
    count: int = 10,
    label: str | None = None,
    on: str | None = None,
    weights: str | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Similar:
    """Find the images most similar to one, exactly, by cosine.

    Parameters
    ----------
    destination : str, path or Embedded
        Destination of an earlier run, or what :func:`~featuremill.search.embedded.load` gave.
    image : str or path
        An image of the table (its path, the end of it, or its path below the source), or any
        file or ``s3://`` URL, which is then embedded with the destination's own network.
    count : int
        At least 1.
    label : str, optional
        Search only among images of this label.
    on : str, optional
        ``features`` or ``reduced``; by default what is loaded already, or features.
    weights : str, optional
        The network's weights file, for an image that is not in the table.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Raises
    ------
    ConfigError
        If an option is out of its bounds, or several images fit.
    SourceError
        If there is no such image, or it cannot be embedded.
    DestinationError
        If there are no features to compare.
    ModelError
        If the destination's network cannot be had.
    """
    COUNT.check("count", count)
    progress = progress or Progress()
    embedded = load(destination, on=on, endpoint_url=endpoint_url, region=region, progress=progress)
    row = find(embedded, os.fspath(image))
    rows = rows_of_label(embedded, label)
    if row is None:
        query = embed(embedded, os.fspath(image), weights=weights, progress=progress)
    else:
        query = embedded.vectors[row : row + 1]
        rows = rows[rows != row]
    started = time.perf_counter()
    everything = len(rows) >= len(embedded) - 1
    among = embedded.vectors if everything else embedded.vectors[rows]
    skip = np.array([row]) if everything and row is not None else None
    places, cosines = nearest(query, among, count, skip=skip)
    found = places[0] if everything else rows[places[0]]
    seconds = time.perf_counter() - started
    progress.say(f"compared with {plural(len(rows), 'image')} in {seconds:.3f} s")
    known = None if row is None else embedded.image(row)
    return Similar(
        image=known.path if known else paths.plain(os.fspath(image)),
        label=known.label if known else None,
        on=embedded.on,
        searched=len(rows),
        neighbours=_neighbours(embedded, found.tolist(), cosines[0].tolist()),
    )


def rows_of_label(embedded: Embedded, label: str | None) -> Indices:
    """Rows of images of a label, or of all.

    Raises
    ------
    ConfigError
        If no image bears the label.
    """
    if label is None:
        return np.arange(len(embedded))
    labels = embedded.labels()
    rows = np.flatnonzero(np.asarray(labels, dtype=object) == label)
    if not len(rows):
        close = difflib.get_close_matches(label, set(labels), n=1, cutoff=0.4)
        raise ConfigError(
            f"no image has the label {label!r}",
            f"Did you mean {close[0]!r}?" if close else "Name the folder of a class.",
        )
    return rows


def _neighbours(
    embedded: Embedded, rows: Sequence[int], cosines: Sequence[float]
) -> tuple[Neighbour, ...]:
    found = (embedded.image(row) for row in rows)
    return tuple(
        Neighbour(
            round(min(1.0, cosine), DIGITS), image.path, image.label, image.width, image.height
        )
        for image, cosine in zip(found, cosines, strict=True)
    )
