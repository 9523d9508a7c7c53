"""Measures from which cosine of a network's features two photographs pass for the same."""

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from featuremill.images.raw_pixels import Pixels
from featuremill.search.neighbors import unit_rows

LEAST = 20
"""Images below which nothing is measured."""

_QUALITY = 60
_MARGIN = 0.025
Features = npt.NDArray[np.float32]


class Near(NamedTuple):
    """The cosine, which share of the copies it finds, and how many pairs of others it takes."""

    cosine: float
    recall: float
    false_pairs: int
    images: int


def copies(rgb: Pixels) -> Iterator[Pixels]:
    """An image of half the size, one recompressed by JPEG, one cropped by 2.5 % on each side."""
    image = Image.fromarray(rgb)
    width, height = image.size
    yield np.asarray(image.resize((max(1, width // 2), max(1, height // 2))))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=_QUALITY)
    yield np.asarray(Image.open(encoded).convert("RGB"))
    left, top = round(width * _MARGIN), round(height * _MARGIN)
    yield np.asarray(image.crop((left, top, width - left, height - top)))


def measure(originals: Features, copied: Sequence[Features]) -> Near:
    """Choose the threshold that tells copies from other photographs best, by its F1 score.

    Each kind of copy is searched for in a table of the originals and of these copies.

    Parameters
    ----------
    originals : ndarray of shape (n, n_features)
        Of different photographs.
    copied : sequence of ndarray of shape (n, n_features)
        Row i of each is of a copy of photograph i.
    """
    n = len(originals)
    first = unit_rows(originals)
    same: list[Features] = []
    other: list[Features] = []
    above, off = np.triu_indices(n, 1), ~np.eye(n, dtype=bool)
    for kind in map(unit_rows, copied):
        across = first @ kind.T
        same.append(np.diagonal(across))
        other += [(first @ first.T)[above], across[off], (kind @ kind.T)[above]]
    pairs, others = np.concatenate(same), np.concatenate(other)
    thresholds = np.arange(500, 1000) / 1000
    found = np.array([(pairs >= t).sum() for t in thresholds])
    wrong = np.array([(others >= t).sum() for t in thresholds])
    score = 2 * found / (found + wrong + len(pairs))
    best = int(np.flatnonzero(score == score.max()).mean())
    return Near(float(thresholds[best]), float(found[best] / len(pairs)), int(wrong[best]), n)
