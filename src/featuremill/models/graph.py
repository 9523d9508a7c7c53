"""Feature extractors written as ONNX graphs: pixels in, convolutions, their average out.

onnx is imported where it is used: listing the models must not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from featuremill.images.preprocessing import Preprocessing

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


def build(name: str, preprocessing: Preprocessing, convolutions: Sequence[Convolution]) -> bytes:
    """Write a network as an ONNX model; the same weights give the same bytes.

    The first convolution reads ``normalised``, of shape (N, 3, height, width).

    Parameters
    ----------
    name : str
        Name of the graph.
    preprocessing : Preprocessing
        Size of the pixels, and the arithmetic that comes first.
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
    nodes, constants = arithmetic(preprocessing, "pixels", "normalised")
    if clips:
        constants += _constants({"zero": 0.0, "six": 6.0})
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
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ("N", *preprocessing.size, 3))],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ("N", n_features))],
        initializer=constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def arithmetic(
    preprocessing: Preprocessing, reads: str, output: str
) -> tuple[list[NodeProto], list[TensorProto]]:
    """From levels to what a network reads, as nodes of every opset from 7 on.

    Parameters
    ----------
    preprocessing : Preprocessing
        Its geometry is done already.
    reads, output : str
        Tensors: uint8 of shape (N, height, width, 3), RGB; and float32 in the layout and the order
        of channels that the network reads.

    Returns
    -------
    nodes : list of NodeProto
    constants : list of TensorProto
        What they read; each name but ``reads`` and ``output`` is the nodes' own.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = (
        [],
        _constants({"half_range": preprocessing.divisor, "one": preprocessing.offset}),
    )
    if preprocessing.channels == "BGR":
        constants.append(numpy_helper.from_array(np.array([2, 1, 0]), "bgr"))
        nodes.append(helper.make_node("Gather", [reads, "bgr"], ["ordered"], axis=3))
        reads = "ordered"
    nodes += [
        helper.make_node("Cast", [reads], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "half_range"], ["scaled"]),
    ]
    if preprocessing.layout == "NHWC":
        return [*nodes, helper.make_node("Sub", ["scaled", "one"], [output])], constants
    return [
        *nodes,
        helper.make_node("Sub", ["scaled", "one"], ["centred"]),
        # (N, height, width, 3) -> (N, 3, height, width)
        helper.make_node("Transpose", ["centred"], [output], perm=(0, 3, 1, 2)),
    ], constants


def _constants(values: Mapping[str, float | tuple[float, ...]]) -> list[TensorProto]:
    """float32 constants; a number where all of a tuple are the same."""
    from onnx import numpy_helper

    return [
        numpy_helper.from_array(np.array(v[0] if len(set(v)) == 1 else v, np.float32), name)
        for name, v in ((n, np.atleast_1d(x).tolist()) for n, x in values.items())
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
