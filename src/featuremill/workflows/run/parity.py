"""Whether somebody else's network gives here what it gives where it comes from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from featuremill._utils.extras import require
from featuremill.errors import ImageRejected, ModelError
from featuremill.images.sandbox import InChild
from featuremill.models.engines import open_engine, smallest_cosine
from featuremill.models.network import BOUNDS, Network
from featuremill.models.reference import DECODER, Reference
from featuremill.storage.listing import Reference as Listed
from featuremill.workflows.run.dispatch import EmbeddingWork
from featuremill.workflows.run.task import Raw, fetch

IMAGES = 16
"""How many of a run's first images are compared, at most."""

_BOUND = BOUNDS["fp32"] or 1.0


class Parity(NamedTuple):
    """Smallest cosine to the reference, and over how many images."""

    smallest_cosine: float
    compared: int


def compare(network: Network, work: EmbeddingWork, images: Sequence[Listed]) -> Parity | None:
    """Compare a run's first images with ONNX Runtime on the file itself, and Pillow.

    Images that one of the two cannot decode are left out.

    Parameters
    ----------
    network : Network
        Made of a file; it is computed here in float32.
    work : EmbeddingWork
        What is asked of the workers.
    images : sequence of Reference
        The first ones of the run.

    Returns
    -------
    Parity or None
        None if no image could be compared.

    Raises
    ------
    ModelError
        If the smallest cosine is below 0.9999.
    MissingExtraError
        If ONNX Runtime is not installed.
    """
    task = work.task
    require("onnxruntime", f"--model {network.location}")
    reference, ours = Reference(network), open_engine(network, "fp32", work.engine)
    cosines = []
    with (
        InChild(task.limits, work.image_timeout, work.decoder) as decoder,
        InChild(task.limits, work.image_timeout, DECODER) as by_pillow,
    ):
        for item in fetch(images[:IMAGES], task.source, task.limits):
            if not isinstance(item, Raw):
                continue
            try:
                expected = reference.features(by_pillow.decode(item.data).pixels)
                pixels = task.preprocessing.apply(decoder.decode(item.data).pixels)
            except ImageRejected:
                continue
            features = ours.embed(pixels[np.newaxis])
            cosines.append(smallest_cosine(features, expected[np.newaxis]))
    if not cosines:
        return None
    smallest = min(cosines)
    if not smallest >= _BOUND:
        raise ModelError(
            f"On the worst of the first {len(cosines)} images the features of {network.name} have a"
            f" cosine of {smallest:.6f} to those of ONNX Runtime and Pillow; it must be at least"
            f" {_BOUND}.",
            "Please report it with the network's address; --engine onnxruntime may be closer.",
        )
    return Parity(smallest, len(cosines))
