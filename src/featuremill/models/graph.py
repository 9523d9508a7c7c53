"""Feature extractors written as ONNX graphs: pixels in, convolutions, their average out.

onnx is imported where it is used: listing the models must not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Array = npt.NDArray[np.float32]

OPSET, IR_VERSION = 17, 8


@dataclass(frozen=True)
class Convolution:
    """A convolution and what follows it: a sum, then an activation, or neither.

    Parameters
    ----------
    name : str
        Of the layer: its constants are ``<name>/kernel`` and ``<name>/bias``.
    reads : str
        Tensor it works on.
    kernel : ndarray of shape (outputs, inputs or 1, height, width)
        float32; depthwise where the second axis has length 1 and ``depthwise`` is set.
    bias : ndarray of shape (outputs,)
        float32.
    output : str
        Name of the result, which later layers read.
    stride : int
        In both directions.
    pads : tuple of int
        Top, left, bottom, right.
    depthwise : bool
        One kernel for each channel.
    adds : str or None
        Tensor added to the result.
    activation : str or None
        ``relu``, ``relu6`` or none.
    """

    name: str
    reads: str
    kernel: Array = field(repr=False)
    bias: Array = field(repr=False)
    output: str
    stride: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    depthwise: bool = False
    adds: str | None = None
    activation: Literal["relu", "relu6"] | None = None


def build(name: str, input_size: tuple[int, int], convolutions: Sequence[Convolution]) -> bytes:
    """Write a network as an ONNX model; the same weights give the same bytes.

    The first convolution reads ``normalised``: RGB in [-1, 1], of shape (N, 3, height, width).

    Parameters
    ----------
    name : str
        Name of the graph.
    input_size : tuple of int
        Height and width of the pixels.
    convolutions : sequence of Convolution
        In the order of computation; the last one's average is the features.

    Returns
    -------
    bytes
        Input ``pixels``: uint8 of shape (N, height, width, 3), RGB. Output ``features``: float32
        of shape (N, outputs of the last convolution), the global average pool.
    """
    from onnx import TensorProto, checker, helper

    clips = any(convolution.activation == "relu6" for convolution in convolutions)
    nodes, constants = _preprocessing(clips)
    for convolution in convolutions:
        layer_nodes, layer_constants = _layer(convolution)
        nodes += layer_nodes
        constants += layer_constants
    last = convolutions[-1]
    nodes.append(helper.make_node("GlobalAveragePool", [last.output], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], axis=1))
    n_features = len(last.bias)
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ("N", *input_size, 3))],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ("N", n_features))],
        initializer=constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _preprocessing(clips: bool) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes from RGB bytes to [-1, 1], and the constants that all layers share."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "half_range"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["centred"]),
        # (N, height, width, 3) -> (N, 3, height, width)
        helper.make_node("Transpose", ["centred"], ["normalised"], perm=(0, 3, 1, 2)),
    ]
    values = {"half_range": 127.5, "one": 1.0}
    if clips:
        values |= {"zero": 0.0, "six": 6.0}
    return nodes, [
        numpy_helper.from_array(np.array(v, np.float32), name) for name, v in values.items()
    ]


def _layer(convolution: Convolution) -> tuple[list[NodeProto], list[TensorProto]]:
    from onnx import helper, numpy_helper

    name, kernel = convolution.name, convolution.kernel
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(kernel), f"{name}/kernel"),
        numpy_helper.from_array(convolution.bias, f"{name}/bias"),
    ]
    steps: list[tuple[str, tuple[str, ...]]] = []
    if convolution.adds:
        steps.append(("Add", (convolution.adds,)))
    if convolution.activation == "relu6":
        steps.append(("Clip", ("zero", "six")))
    elif convolution.activation == "relu":
        steps.append(("Relu", ()))
    results = [*(f"{name}/sum", f"{name}/added")[: len(steps)], convolution.output]
    nodes = [
        helper.make_node(
            "Conv",
            [convolution.reads, *(constant.name for constant in constants)],
            [results[0]],
            kernel_shape=kernel.shape[2:],
            strides=(convolution.stride, convolution.stride),
            pads=convolution.pads,
            group=len(kernel) if convolution.depthwise else 1,
        )
    ]
    # each step reads what the one before it wrote
    for (operation, others), read, result in zip(steps, results, results[1:], strict=False):
        operands = [*others, read] if operation == "Add" else [read, *others]
        nodes.append(helper.make_node(operation, operands, [result]))
    return nodes, constants
