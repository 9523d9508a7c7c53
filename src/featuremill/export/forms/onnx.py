"""Exports one ONNX file from RGB pixels to the scores of the PCA, for phones and services.

onnx is imported where it is used, as everywhere.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from featuremill import __version__
from featuremill._utils.progress import Progress
from featuremill.errors import DestinationError
from featuremill.export import parity
from featuremill.export.output import Output
from featuremill.export.results import Results
from featuremill.models import registry
from featuremill.models.download import download_progress
from featuremill.models.graph import OPSET
from featuremill.models.network import Network
from featuremill.pca.components import PCA

IS_FILE = True
NAMES = ()


def write(results: Results, output: Output, progress: Progress) -> Mapping[str, str]:
    """Build the model, compare it with the library, write it."""
    pca = results.fitted()
    network = load_network(results, progress)
    facts = _facts(results, network, pca)
    found = parity.compare(build(network, pca, facts), network, pca, results)
    evidence = json.dumps(found._asdict())
    output.write(output.file or "", build(network, pca, {**facts, "parity": evidence}))
    height, width = network.input_size
    return {
        "input": f"pixels: uint8 (n, {height}, {width}, 3), RGB",
        "outputs": f"features: float32 (n, {network.n_features});"
        f" features_pca: float32 (n, {pca.n_components_})",
        "parity": f"cosine at least {found.smallest_cosine:.6f} to this library,"
        f" over {found.compared} {found.pictures}",
    }


def build(network: Network, pca: PCA, facts: Mapping[str, str]) -> bytes:
    """Write a network and a PCA as one ONNX model; the same ones give the same bytes.

    Parameters
    ----------
    network : Network
        Its graph has the preprocessing in it.
    pca : PCA
        Fitted to features of that network.
    facts : mapping of str to str
        Metadata of the model.

    Returns
    -------
    bytes
        Input ``pixels``: uint8 of shape (N, height, width, 3), RGB. Outputs ``features``, float32
        of shape (N, n_features), and ``features_pca``, float32 of shape (N, k). The opset is the
        lowest in which every operator means the same, so that old and small runtimes read it; that
        of the file, for somebody else's network.

    Notes
    -----
    Standardisation and projection are one matrix, multiplied in float64 before it is rounded to
    float32. Features are centred before they are projected, as in :meth:`PCA.transform`: one that
    hardly varies would lose its digits the other way round. What rounding the mean changes is
    added after the projection.
    """
    import onnx
    from onnx import TensorProto, checker, helper, numpy_helper

    projection = (pca.components_ / pca.scale_).T  # (n_features, k)
    mean = pca.mean_.astype(np.float32)
    arrays = {
        "pca/mean": mean,
        "pca/projection": projection,
        "pca/remainder": (mean - pca.mean_) @ projection,
    }
    model = onnx.load_from_string(network.onnx)
    graph = model.graph
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
        for name, array in arrays.items()
    )
    _, weight, bias = arrays
    graph.node.extend(
        [
            helper.make_node("Sub", ["features", "pca/mean"], ["centred_features"]),
            helper.make_node("Gemm", ["centred_features", weight, bias], ["features_pca"]),
        ]
    )
    # a graph from a file of somebody else's says nothing of its shape
    said = helper.make_tensor_value_info("features", TensorProto.FLOAT, ("N", network.n_features))
    graph.output[0].CopyFrom(said)
    shape = ("N", pca.n_components_)
    graph.output.append(helper.make_tensor_value_info("features_pca", TensorProto.FLOAT, shape))
    if not network.location:
        model.opset_import[0].version = _lowest_opset({node.op_type for node in graph.node})
        model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    model.producer_name, model.producer_version = "featuremill", __version__
    helper.set_model_props(model, dict(facts))
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def load_network(results: Results, progress: Progress) -> Network:
    """Load the very network whose features a destination holds.

    Raises
    ------
    ModelError
        If its weights are missing.
    DestinationError
        If what is there are the weights of another network.
    """
    held = results.network
    weights = results.weights
    if weights is None and results.record is not None:
        used = results.record.config["weights"]
        weights = Path(used) if used else None
    network = registry.load_held(held, weights, download_progress(progress))
    if network.fingerprint != held["fingerprint"]:
        raise DestinationError(
            f"{results.store.url} holds features of {held['name']} with the weights"
            f" {held['weights_sha256'][:12]}, the weights here are {network.weights_sha256[:12]}",
            "Give the run's own weights by --weights, or run again with --replace-model.",
        )
    return network


def _facts(results: Results, network: Network, pca: PCA) -> dict[str, str]:
    """Metadata that the model carries, as text."""
    height, width = network.input_size
    fitted = pca.description()
    resize = f"Image.resize(({width}, {height}), Image.Resampling.BICUBIC)"
    return {
        "model": network.name,
        "model_id": str(results.network["model_id"]),
        "weights_sha256": network.weights_sha256,
        "licence": network.licence,
        "trained": json.dumps(network.trained),
        "input": f"upright RGB, {network.preprocessing}"
        if network.location
        else f"upright RGB, resized by Pillow's {resize}",
        "run": str(results.run),
        "images_fitted": str(pca.n_samples_),
        "standardised": json.dumps(pca.standardize),
        "n_components": str(pca.n_components_),
        "variance_held": str(fitted["variance_held"]),
        "explained_variance_ratio": json.dumps(fitted["explained_variance_ratio"]),
    }


def _lowest_opset(operators: set[str]) -> int:
    """The oldest set of operators that has these as :data:`OPSET` has them."""
    from onnx import defs

    return max(defs.get_schema(name, OPSET).since_version for name in operators)
