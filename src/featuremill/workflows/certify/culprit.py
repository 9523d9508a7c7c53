"""Finds the one thing that was done otherwise, where features differ from the reference."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from featuremill.images.decode import Limits
from featuremill.images.raw_pixels import Pixels
from featuremill.images.sandbox import InChild
from featuremill.models.deviations import Deviation, deviations
from featuremill.models.engines import smallest_cosine
from featuremill.models.network import BOUNDS
from featuremill.models.reference import DECODER, Reference

Features = npt.NDArray[np.float32]

FEW = 4
"""Images on which every deviation is tried; only what explains them is tried on the others."""
BOUND = BOUNDS["fp32"] or 1.0
"""Cosine from which features are those of the reference."""


class Culprit(NamedTuple):
    """A deviation, and the smallest cosine that the reference reaches with it.

    ``before`` is the smallest cosine without it, 0 where features are of another length;
    ``explains`` tells whether it explains the features of all images; ``tried`` is how many were.
    """

    name: str
    cosine: float
    before: float
    explains: bool
    tried: int

    def __str__(self) -> str:
        """The finding as a sentence without its subject."""
        change = f"(cosine {self.cosine:.4f} instead of {self.before:.4f})"
        if self.explains:
            return f"are explained by {self.name} {change}"
        return (
            f"are explained by none of {self.tried} deviations; {self.name} comes closest {change}"
        )


def find(
    reference: Reference, images: Sequence[bytes], features: Features, right: Features
) -> Culprit:
    """Try each deviation of the reference alone, and name the one that gives the features.

    Parameters
    ----------
    reference : Reference
        The network's own file.
    images : sequence of bytes
        Encoded images that Pillow decodes, those with the largest difference first.
    features : ndarray of shape (n, d), float32
        What somebody else computed of them.
    right : ndarray of shape (n, n_features), float32
        What the reference computes of them.
    """
    few = images[:FEW]
    decoded: dict[str, list[Pixels]] = {DECODER: _decoded(few, DECODER)}
    attempts: list[tuple[str, float, Callable[[Pixels], Features] | None, str]] = []
    same_length = features.shape[1] == right.shape[1]
    for deviation in deviations(reference.preprocessing) if same_length else ():
        if deviation.decoder not in decoded:
            decoded[deviation.decoder] = _decoded(few, deviation.decoder)
        compute = _with(reference, deviation)
        found = np.stack([compute(rgb) for rgb in decoded[deviation.decoder]])
        cosine = smallest_cosine(found, features[: len(found)])
        attempts.append((deviation.name, cosine, compute, deviation.decoder))
    tensors = _tensors(reference, decoded[DECODER], features)
    attempts += [(f"tensor {name}", cosine, None, DECODER) for name, cosine in tensors.items()]
    before = smallest_cosine(features, right) if same_length else 0.0
    if not attempts:
        return Culprit("no tensor of that length", before, before, explains=False, tried=0)
    name, cosine, again, decoder = max(attempts, key=lambda attempt: round(attempt[1], 6))
    if cosine >= BOUND and again is not None:
        rest = [again(rgb) for rgb in _decoded(images[FEW:], decoder)]
        if rest:
            cosine = min(cosine, smallest_cosine(np.stack(rest), features[FEW:]))
    return Culprit(name, cosine, before, cosine >= BOUND, len(attempts))


def _with(reference: Reference, deviation: Deviation) -> Callable[[Pixels], Features]:
    return lambda rgb: reference.features_of(deviation.pixels(rgb), deviation.preprocessing)


def _tensors(
    reference: Reference, decoded: Sequence[Pixels], features: Features
) -> dict[str, float]:
    """Smallest cosine of each tensor of the graph that is as long as the features."""
    found: dict[str, float] = {}
    right = Deviation("", reference.preprocessing)
    for rgb, wanted in zip(decoded, features, strict=False):
        for name, vector in reference.vectors(right.pixels(rgb)):
            if vector.shape == wanted.shape:
                cosine = smallest_cosine(vector[np.newaxis], wanted[np.newaxis])
                found[name] = min(cosine, found.get(name, 1.0))
    return found


def _decoded(images: Sequence[bytes], decoder: str) -> list[Pixels]:
    with InChild(Limits(), decoder=decoder) as child:
        return [child.decode(data).pixels for data in images]
