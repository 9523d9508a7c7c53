"""Whether images are copies of each other byte for byte, which only their bytes tell."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from featuremill._utils.progress import Progress
from featuremill.images.originals import read_again
from featuremill.search.embedded import Embedded
from featuremill.search.neighbors.rows import Indices, cosines_of_pairs

_COPIES: Final = 0.999
"""Cosine below which images are no copies: every precision of a network keeps to it."""


def possible_copies(embedded: Embedded, groups: Sequence[Indices]) -> list[int]:
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


def checksums(
    embedded: Embedded, rows: Sequence[int], progress: Progress
) -> tuple[dict[int, str], Counter[str]]:
    """SHA-256 of the bytes of some images, and why others have none.

    A file that is not the one that was embedded any more has none.
    """
    if rows:
        progress.say(f"reading {len(rows):,} images that may be copies")
    images = {row: embedded.image(row) for row in rows}
    return read_again(embedded.store_of, images, lambda data: hashlib.sha256(data).hexdigest())
