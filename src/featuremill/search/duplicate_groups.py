"""Finds groups of images that show the same: copies byte for byte, and near-duplicates."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from featuremill._utils.progress import Progress
from featuremill.config.option import share
from featuremill.dataset.reader import Indices
from featuremill.errors import ConfigError
from featuremill.images.originals import read_again
from featuremill.models import registry
from featuremill.models.certificate import near_of
from featuremill.search.embedded import DIGITS, REDUCED, Embedded, load
from featuremill.search.neighbors import leaders
from featuremill.search.neighbors.rows import cosines_of_pairs

SAME_BYTES, SAME_FEATURES, NEAR = "same bytes", "same features", "near"
"""Kinds of groups: all files read and equal; features equal but for rounding; similar."""

SAME: Final = 1 - 1e-6
"""Cosine from which features are the same: float32 rows of length 1 tell no more apart."""

_COPIES: Final = 0.999
"""Cosine below which images are no copies: every precision of a network keeps to it."""

REDUCED_THRESHOLD: Final = 0.95
"""Threshold for PCA scores, which are centred, of either trained model."""


@dataclass(frozen=True)
class Member:
    """An image of a group.

    ``cosine`` is to the first of the group, and ``sha256`` of the file's bytes, where another
    member could be a copy and the file could be read.
    """

    path: str
    label: str
    width: int
    height: int
    bytes: int
    cosine: float
    sha256: str | None


@dataclass(frozen=True)
class Group:
    """Images that are near to the first of them, which has the most pixels."""

    kind: str
    images: tuple[Member, ...]


@dataclass(frozen=True)
class Duplicates:
    """Groups of images, the largest first.

    Attributes
    ----------
    on : str
        What was compared.
    threshold : float
    searched : int
        Images that were compared, all with all.
    groups : tuple of Group
    unread : mapping of str to int
        Images of which it could not be told whether they are copies, by the reason.
    """

    on: str
    threshold: float
    searched: int
    groups: tuple[Group, ...]
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def grouped(self) -> int:
        """Images that are in a group."""
        return sum(len(group.images) for group in self.groups)


def duplicates(
    destination: str | os.PathLike[str] | Embedded,
    *,
    threshold: float | None = None,
    on: str | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Duplicates:
    """Group the images whose cosine is at least a threshold.

    Images are taken by their number of pixels, the largest first. One that is in no group yet
    takes all others that are near to it, so every image of a group is near to its first one. No
    chain of look-alikes grows into one group; and whoever keeps the first of every group has no
    two images left that are near to each other.

    Parameters
    ----------
    destination : str, path or Embedded
        Destination of an earlier run, or what :func:`~featuremill.search.embedded.load` gave.
    threshold : float, optional
        Above 0, at most 1, which means equal features. By default what was measured for the
        model on photographs; pictures of one kind of thing before an empty background are more
        alike, and need a higher one.
    on : str, optional
        ``features`` or ``reduced``; by default what is loaded already, or features.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Raises
    ------
    ConfigError
        If the threshold is out of its bounds, or must be given.
    DestinationError
        If there are no features to compare.
    """
    share("Give a cosine, such as 0.95.").check("threshold", threshold)
    progress = progress or Progress()
    embedded = load(destination, on=on, endpoint_url=endpoint_url, region=region, progress=progress)
    threshold = threshold or default_threshold(embedded)
    order = _by_size(embedded)
    leader = leaders(embedded.vectors, min(threshold, SAME), order, progress=progress.advance)
    groups = _groups(leader, order)
    copies = _possible_copies(embedded, groups)
    sums, unread = _checksums(embedded, copies, progress)
    described = (_described(embedded, rows, sums) for rows in groups)
    return Duplicates(
        on=embedded.on,
        threshold=threshold,
        searched=len(embedded),
        groups=tuple(sorted(described, key=lambda group: -len(group.images))),
        unread=dict(unread),
    )


def default_threshold(embedded: Embedded) -> float:
    """The cosine from which photographs pass for the same, as measured for the model.

    Raises
    ------
    ConfigError
        If nothing was measured for it.
    """
    if embedded.on == REDUCED:
        return REDUCED_THRESHOLD
    name = str(embedded.network["name"])
    if name in registry.MODELS:
        return registry.get(name).near
    near = near_of(embedded.network)
    if near is None:
        raise ConfigError(
            f"model {name} has no known cosine from which images are near",
            "Give it with --threshold. `featuremill models certify` measures it.",
        )
    return near


def _by_size(embedded: Embedded) -> Indices:
    """Rows by number of pixels, then of bytes, the largest first, then by path."""
    width, height, size = (
        embedded.images[name].to_numpy().astype(np.int64) for name in ("width", "height", "bytes")
    )
    # rows are by path already, and the sort is stable
    return np.lexsort((-size, -width * height))


def _groups(leader: Indices, order: Indices) -> list[Indices]:
    """Rows of every group of two or more, in the order given; groups by their leader's path."""
    rows = order[np.argsort(leader[order], kind="stable")]
    starts = np.flatnonzero(np.diff(leader[rows], prepend=-1))
    return [group for group in np.split(rows, starts[1:]) if len(group) > 1]


def _described(embedded: Embedded, rows: Indices, sums: dict[int, str]) -> Group:
    first = np.full(len(rows), rows[0])
    cosines = cosines_of_pairs(embedded.vectors, first, embedded.vectors, rows)
    members = tuple(
        Member(
            path=image.path,
            label=image.label,
            width=image.width,
            height=image.height,
            bytes=image.bytes,
            # two float32 rows of length 1 may have a product just above 1
            cosine=round(min(1.0, float(cosine)), DIGITS),
            sha256=sums.get(int(row)),
        )
        for row, cosine, image in zip(rows, cosines, map(embedded.image, rows), strict=True)
    )
    return Group(_kind(members), members)


def _kind(members: Sequence[Member]) -> str:
    sums = {member.sha256 for member in members}
    if len(sums) == 1 and None not in sums:
        return SAME_BYTES
    return SAME_FEATURES if min(member.cosine for member in members) >= SAME else NEAR


def _possible_copies(embedded: Embedded, groups: Sequence[Indices]) -> list[int]:
    """Rows of the groups that have as many bytes, and nearly the same features, as another."""
    sizes = embedded.images["bytes"].to_numpy()
    first: list[int] = []
    others: list[int] = []
    for rows in groups:
        of_size: dict[int, int] = {}
        for row in rows.tolist():
            before = of_size.setdefault(int(sizes[row]), row)
            if before != row:
                first.append(before)
                others.append(row)
    a, b = np.array(first, np.int64), np.array(others, np.int64)
    near = cosines_of_pairs(embedded.vectors, a, embedded.vectors, b) >= _COPIES
    possible: list[int] = np.unique(np.concatenate([a[near], b[near]])).tolist()
    return possible


def _checksums(
    embedded: Embedded, rows: Sequence[int], progress: Progress
) -> tuple[dict[int, str], Counter[str]]:
    """SHA-256 of the bytes of some images, and why others have none.

    A file that is not the one that was embedded any more has none.
    """
    if rows:
        progress.say(f"reading {len(rows):,} images that may be copies")
    originals = embedded.originals(rows)
    return read_again(embedded.store_of, originals, lambda data: hashlib.sha256(data).hexdigest())
