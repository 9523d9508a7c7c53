"""Embeds an image that is not in the table, by the network that computed the table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featuremill._utils.progress import Progress
from featuremill.dataset.ledger import last_that_embedded
from featuremill.dataset.reader import Matrix
from featuremill.errors import DestinationError, ImageRejected, ModelError, SourceError
from featuremill.images.decode import Limits
from featuremill.images.sandbox import InChild
from featuremill.models import registry
from featuremill.models.download import download_progress
from featuremill.models.engines import native_bf16, open_engine
from featuremill.models.network import Network
from featuremill.pca.saved import load_model
from featuremill.search.embedded import REDUCED, Embedded
from featuremill.search.locate import address
from featuremill.search.neighbors import unit_rows


def embed(
    embedded: Embedded, image: str, *, weights: str | None = None, progress: Progress
) -> Matrix:
    """Embed a file or an object, as a unit row.

    Parameters
    ----------
    image : str
        A file or an ``s3://`` URL.
    weights : str, optional
        The network's weights file, where neither the package nor the cache has it.

    Returns
    -------
    ndarray of shape (1, d), float32

    Raises
    ------
    SourceError
        If the image cannot be read or decoded.
    ModelError
        If the destination's network cannot be had.
    """
    data = read(embedded, image)
    network = network_of(embedded, weights, progress)
    # as the run did: only the fp32 contract decodes every pixel of large JPEGs
    target = None if embedded.network["contract"] == "fp32" else network.preprocessing.target
    try:
        with InChild(Limits(), target=target) as decoder:
            pixels = network.preprocessing.apply(decoder.decode(data).pixels)
    except ImageRejected as rejected:
        raise SourceError(
            f"{image} cannot be embedded: {rejected.reason}", "Name another image."
        ) from rejected
    precision = _precision(embedded)
    engine = open_engine(network.ready_for(precision), precision)
    features = engine.embed(pixels[np.newaxis])  # (1, n_features)
    if embedded.on == REDUCED:
        pca = load_model(embedded.destination)
        if pca is None:
            raise DestinationError(
                f"the PCA at {embedded.destination.url} is gone",
                "Compare by the full features, or run again.",
            )
        with np.errstate(over="ignore"):
            features = pca.transform(features).astype(np.float32)
        if not np.isfinite(features).all():
            raise DestinationError(
                f"the PCA at {embedded.destination.url} gives this image scores too large for"
                " float32",
                "Compare by the full features, or fit a PCA anew: run without --keep-pca.",
            )
    return unit_rows(features)


def read(embedded: Embedded, image: str) -> bytes:
    """Read a file or an object that is no image of the table."""
    path = address(image)
    try:
        return embedded.store_of(path).fetch(path).data
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"cannot read {image}: {reason}", "Name another image.") from error


def network_of(embedded: Embedded, weights: str | None, progress: Progress) -> Network:
    """Load the network that computed the destination's features.

    The weights are those given, else those of the newest run if they still lie where they lay,
    else the model's own.

    Raises
    ------
    ModelError
        If another network comes of it, or none.
    """
    held = embedded.network
    name = str(held["name"])
    file = Path(weights) if weights else _weights_of_run(embedded)
    published = None if held.get("location") else registry.get(name).weights
    other = isinstance(published, registry.Published) and published.sha256 != _sha256(held)
    if file is None and other:
        raise ModelError(
            f"the features at {embedded.destination.url} are of {name} with weights of"
            f" SHA-256 {_sha256(held)}, which are not the published ones",
            "Give their file with --weights.",
        )
    network = registry.load_held(held, file, download_progress(progress))
    if network.fingerprint != held["fingerprint"]:
        raise ModelError(
            f"the features at {embedded.destination.url} are of another {name}:"
            f" weights of SHA-256 {_sha256(held)}, here {network.weights_sha256}",
            "Give the file of its weights with --weights, or use the version of featuremill"
            " that embedded the images.",
        )
    return network


def _weights_of_run(embedded: Embedded) -> Path | None:
    named = embedded.record.config.get("weights") if embedded.record else None
    return Path(named) if named and Path(named).is_file() else None


def _sha256(held: Mapping[str, Any]) -> str:
    return str(held["weights_sha256"])


def _precision(embedded: Embedded) -> str:
    """The precision of the features, if this machine has it: then an image is at 1 to itself."""
    if embedded.record is None or not native_bf16():
        return "fp32"
    used = last_that_embedded(embedded.destination, embedded.record).precision
    return used.most_common(1)[0][0] if used else "fp32"
