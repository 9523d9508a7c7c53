"""Makes a network of somebody else's ONNX file: pixels in, one of its tensors out.

The graph is cut behind the tensor that is wanted, the preprocessing's arithmetic becomes its first
nodes, and pooling its last ones. Nothing else is changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featuremill.errors import ModelError
from featuremill.models.engines import BATCH, open_engine
from featuremill.models.graph import arithmetic
from featuremill.models.network import Network
from featuremill.models.onnx_file import OnnxFile, name_of, read, shape_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

POOLS = ("cls", "mean")

_POOLED = ("image_embeds", "pooler_output", "pooled_output", "embeddings", "embedding", "features")
"""Names under which exporters put out one vector for an image, the best first."""
_SCORES = ("Softmax", "Sigmoid", "LogSoftmax")
_PREFIX = "network/"
"""Put before every name of the file, so that none is the same as one of ours."""


class Vector(NamedTuple):
    """What is embedded: a tensor, how many axes it has, and how it is pooled."""

    tensor: str
    axes: int
    pool: str | None


def network(path: Path, output: str | None = None, pool: str | None = None) -> Network:
    """Build a network of a file.

    Parameters
    ----------
    path : Path
        An ONNX file, or a folder with one.
    output : str, optional
        The tensor that is the image's vector; an output, or any other one of the graph.
    pool : str, optional
        ``cls`` or ``mean``: how a row for each place becomes one for the image.

    Returns
    -------
    Network
        Computed in float32: no plan for mixed precision is known of it.

    Raises
    ------
    ModelError
        If the file cannot be used, or no engine here computes it.
    """
    file = read(path)
    vector = choose(file, output, pool)
    made = Network(
        name=name_of(path),
        onnx=wrap(file, vector),
        weights_sha256=hashlib.sha256(file.model.SerializeToString(deterministic=True)).hexdigest(),
        n_features=0,
        mixed=None,
        preprocessing=file.preprocessing,
        trained=True,
        licence="as of the file given",
        location=str(path.expanduser().absolute()),
        output=vector.tensor,
        pool=vector.pool or "",
        fixed_batch=file.fixed_batch,
    )
    return replace(made, n_features=_width(made))


def describe(path: Path, output: str | None = None, pool: str | None = None) -> dict[str, str]:
    """Everything about a file, for people, and what would be embedded.

    Raises
    ------
    ModelError
        As :func:`network` does; but where only the tensor cannot be told, that is a fact.
    """
    file = read(path)
    graph = file.model.graph
    outputs = (f"{each.name} {_sides(each)}" for each in graph.output)
    stated = {each.key.lower(): each.value for each in file.model.metadata_props}
    facts = {
        "name": name_of(path),
        "file": str(file.place.file),
        "opset": str(max(each.version for each in file.model.opset_import)),
        "input": f"{file.input.name} {_sides(file.input)}",
        "preprocessing": f"{file.preprocessing} ({file.described_by})",
        "outputs": ", ".join(outputs),
        "parameters": f"{sum(math.prod(each.dims) for each in graph.initializer):,}",
        "licence": stated.get("license", stated.get("licence", "not stated in the file")),
    }
    try:
        made = network(path, output, pool)
    except ModelError as error:
        return {**facts, "embeds": f"{error.problem} {error.remedy}"}
    how = f", pooled by {made.pool}" if made.pool else ""
    return {**facts, "embeds": f"{made.output}{how}: {made.n_features} numbers for an image"}


def _sides(value: ValueInfoProto) -> str:
    return f"({', '.join(str(side or 'N') for side in shape_of(value))})"


def _width(made: Network) -> int:
    """Length of a row of features, found out by computing one."""
    engine = open_engine(made, "fp32")
    pixels = np.zeros((1 if made.fixed_batch else BATCH, *made.input_size, 3), np.uint8)
    try:
        shape = engine.embed_batch(pixels).shape
    except RuntimeError as error:
        raise ModelError(
            f"{made.location} cannot be computed: {error}", "Export it with a dynamic batch."
        ) from error
    if len(shape) != 2 or shape[0] != len(pixels):
        raise ModelError(
            f"Tensor {made.output} of {made.location} has the shape {shape} for {len(pixels)}"
            " images, it must be one row for each.",
            "Name another tensor with --output, or give --pool cls or --pool mean.",
        )
    # the engine stays open in this process, and did not know it
    engine.n_features = int(shape[1])
    return engine.n_features


def choose(file: OnnxFile, output: str | None, pool: str | None) -> Vector:
    """Choose the tensor that is embedded, and how it is pooled.

    Returns
    -------
    Vector

    Raises
    ------
    ModelError
        If it cannot be told, or the two do not fit.
    """
    ranks = _ranks(file.model)
    if output is None:
        output = _obvious(file)
    if output not in {name for node in file.model.graph.node for name in node.output}:
        raise ModelError(
            f"--output is {output}, which is no tensor of {file.place.file}; its outputs are"
            f" {', '.join(each.name for each in file.model.graph.output)}.",
            "Name one of them, or what any node of the graph writes.",
        )
    # of an unknown shape it is taken for a row, and refused if it turns out to be none
    rank = ranks.get(output, 2)
    if pool not in (None, *POOLS):
        raise ModelError(f"--pool is {pool}, it must be cls or mean.", "Choose one of them.")
    fits = {2: (None,), 3: ("cls", "mean"), 4: (None, "mean")}.get(rank, ())
    if pool not in fits:
        wanted = (
            "it needs --pool cls or --pool mean" if rank == 3 else f"--pool {pool} is not for it"
        )
        raise ModelError(
            f"Tensor {output} of {file.place.file} has {rank} axes: {wanted}.",
            "Give --pool for a tensor with a row for each place, or name another one by --output.",
        )
    return Vector(output, rank, pool)


def _ranks(model: ModelProto) -> dict[str, int]:
    """How many axes each tensor has, as far as it can be told."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    return {
        each.name: len(each.type.tensor_type.shape.dim)
        for each in (*graph.value_info, *graph.output)
        if each.type.tensor_type.HasField("shape")
    }


def _obvious(file: OnnxFile) -> str:
    graph = file.model.graph
    names: list[str] = [each.name for each in graph.output]
    for name in _POOLED:
        if name in names:
            return name
    if "last_hidden_state" in names:
        return "last_hidden_state"
    makers = {name: node for node in graph.node for name in node.output}
    if len(names) == 1 and names[0] != "logits" and not _scores(names[0], makers):
        return names[0]
    heads = (_before_head(each, makers) for each in names)
    before = next((head for head in heads if head), None)
    raise ModelError(
        f"{file.place.file} puts out {', '.join(names)}, and none of them is plainly an image's"
        " vector" + (", but scores of classes." if before else "."),
        f"Name it: --output {before} is what the last layer reads."
        if before
        else "Name a tensor with --output.",
    )


def _scores(name: str, makers: dict[str, NodeProto]) -> bool:
    """Whether a tensor are probabilities, maybe under another name."""
    node = makers.get(name)
    while node is not None and node.op_type == "Identity":
        node = makers.get(node.input[0])
    return node is not None and node.op_type in _SCORES


def _before_head(name: str, makers: dict[str, NodeProto]) -> str | None:
    """What the last dense layer before a tensor reads."""
    node = makers.get(name)
    while node is not None and node.op_type in (*_SCORES, "Add", "Identity", "Cast"):
        node = next((makers[each] for each in node.input if each in makers), None)
    return node.input[0] if node is not None and node.op_type in ("Gemm", "MatMul") else None


def wrap(file: OnnxFile, vector: Vector) -> bytes:
    """Write the graph from pixels to features.

    Returns
    -------
    bytes
        Input ``pixels``: uint8 of shape (N, height, width, 3), RGB, with N of 1 where the file
        takes one image at a time. Output ``features``: float32 of shape (N, n_features).
    """
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    _cut(model.graph, vector.tensor)
    graph = compose.add_prefix_graph(model.graph, _PREFIX)
    if [each.name for each in graph.input] != [_PREFIX + file.input.name]:
        raise ModelError(
            f"Tensor {vector.tensor} of {file.place.file} needs"
            f" {', '.join(each.name.removeprefix(_PREFIX) for each in graph.input) or 'no image'}.",
            "Name a tensor with --output that is computed from the image alone.",
        )
    taken = file.input.type.tensor_type.elem_type
    first, constants = arithmetic(file.preprocessing, "pixels", "normalised")
    first.append(helper.make_node("Cast", ["normalised"], [graph.input[0].name], to=taken))
    nodes = [*first, *graph.node, *_pooling(vector)]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    if vector.pool == "cls":
        constants.append(numpy_helper.from_array(np.array(0), "first"))
    graph.initializer.extend(constants)
    batch = 1 if file.fixed_batch else "N"
    shape = (batch, *file.preprocessing.size, 3)
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape))
    graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, None))
    model.graph.CopyFrom(graph)
    return bytes(model.SerializeToString(deterministic=True))


def _pooling(vector: Vector) -> Iterator[NodeProto]:
    """From a tensor to rows of float32, in operators that all opsets have alike."""
    from onnx import TensorProto, helper

    tensor = _PREFIX + vector.tensor
    yield helper.make_node("Cast", [tensor], ["embedded"], to=TensorProto.FLOAT)
    pooled = "embedded"
    if vector.pool == "cls":
        yield helper.make_node("Gather", [pooled, "first"], ["pooled"], axis=1)
        pooled = "pooled"
    elif vector.pool == "mean":
        if vector.axes == 3:
            # (N, places, features) -> (N, features, places)
            yield helper.make_node("Transpose", [pooled], ["turned"], perm=(0, 2, 1))
            pooled = "turned"
        yield helper.make_node("GlobalAveragePool", [pooled], ["pooled"])
        pooled = "pooled"
    yield helper.make_node("Flatten", [pooled], ["features"], axis=1)


def _cut(graph: GraphProto, output: str) -> None:
    """Leave what a tensor needs, and nothing else."""
    makers = {name: node for node in graph.node for name in node.output}
    needed, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _reads(makers[name]) if name in makers else []
    nodes = [node for node in graph.node if needed & set(node.output)]
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    names = {tensor.name for tensor in constants}
    inputs = [each for each in graph.input if each.name in needed - names]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.extend(inputs)


def _reads(node: NodeProto) -> list[str]:
    """Names a node reads, also within its branches and loops."""
    inside = (
        name
        for attribute in node.attribute
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ()))
        for each in graph.node
        for name in _reads(each)
    )
    return [name for name in (*node.input, *inside) if name]
