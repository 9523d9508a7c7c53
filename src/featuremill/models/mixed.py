"""One OpenVINO graph in two precisions: a few layers in fp32 among all others in bf16.

OpenVINO computes a layer in fp32 in spite of a bf16 hint where the layer is marked ``precise``.
It sets that mark itself, on layers it knows to be sensitive, and reads it from a model's file;
nothing documents it, so what was compiled is checked before it is used.
"""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from featuremill.models.network import MixedPlan

if TYPE_CHECKING:
    from openvino import CompiledModel, Core, Model, Node

_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_COMPUTING = (*_CONVOLUTIONS, "Add", "Clamp")
_BEYOND_ALL = 1e30


def keep_fp32(core: Core, model: Model, plan: MixedPlan) -> Model:
    """Prepare a network for compiling in bf16, with some of its layers in fp32.

    Parameters
    ----------
    core : Core
        Reads the result.
    model : Model
        As read from ONNX, where every convolution has a kernel ``<layer>/kernel``; changed.
    plan : MixedPlan
        Which layers.
    """
    name_clamps(model)
    keep_biases(model, plan.fp32_biases)
    marked = names_to_mark(model, plan.fp32)
    return mark_precise(core, model, marked) if marked else model


def name_clamps(model: Model) -> None:
    """Make each ReLU6 one operation, so that a mark on it survives.

    ONNX' Clip arrives as Minimum(Maximum(x)), which is fused later into one without the mark.
    """
    from openvino import opset13 as opset

    for node in model.get_ordered_ops():
        if node.get_type_name() == "Minimum":
            maximum, upper = _operands(node)
            x, lower = _operands(maximum)
            clamp = opset.clamp(x, float(lower.get_data()), float(upper.get_data()))
            clamp.set_friendly_name(node.get_friendly_name())
            for consumer in node.output(0).get_target_inputs():
                consumer.replace_source_output(clamp.output(0))
    model.validate_nodes_and_infer_types()


def _operands(node: Node) -> tuple[Node, Node]:
    """What an operation combines, the constant last."""
    left, right = (value.get_node() for value in node.input_values())
    return (right, left) if left.get_type_name() == "Constant" else (left, right)


def keep_biases(model: Model, layers: Collection[str]) -> None:
    """Keep the biases of some layers in float32.

    OpenVINO rounds a convolution's bias to the type of its result. Behind a clamp that clamps
    nothing the sum is no bias to it, but an operation of its own, done before the result is
    rounded.
    """
    from openvino import opset13 as opset

    for node in model.get_ordered_ops():
        if node.get_type_name() in _CONVOLUTIONS and _layer_of(node) in layers:
            readers = node.output(0).get_target_inputs()
            clamp = opset.clamp(node.output(0), -_BEYOND_ALL, _BEYOND_ALL)
            for reader in readers:
                if reader.get_node().get_type_name() == "Add":
                    reader.replace_source_output(clamp.output(0))
    model.validate_nodes_and_infer_types()


def names_to_mark(model: Model, layers: Collection[str]) -> set[str]:
    """Names of the operations of some layers, and of the clamps that hand on to them.

    Those are marked because a convolution in bf16 stores float32 as readily, while bf16 would
    have to be converted for one in fp32.
    """
    own = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() in _COMPUTING and _layer_of(node) in layers
    ]
    read = (value.get_node() for node in own for value in node.input_values())
    before = (node for node in read if node.get_type_name() == "Clamp")
    return {node.get_friendly_name() for node in (*own, *before)}


def _layer_of(node: Node) -> str:
    return str(node.get_friendly_name()).partition("/")[0]


def mark_precise(core: Core, model: Model, names: Collection[str]) -> Model:
    """Mark operations to be computed in fp32 whatever the hint; only a model's file can do it."""
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        ov.serialize(model, xml, weights)
        root = ET.fromstring(xml.read_bytes())
        for layer in root.iter("layer"):
            if layer.get("name") in names:
                info = layer.find("rt_info")
                if info is None:
                    info = ET.Element("rt_info")
                    layer.insert(1, info)  # between <data> and the ports
                ET.SubElement(info, "attribute", name="precise", version="0")
        return core.read_model(ET.tostring(root), weights.read_bytes())


def departures(compiled: CompiledModel, layers: Collection[str]) -> list[str]:
    """Compare what was compiled with the plan: these layers in fp32 and all others in bf16.

    Returns
    -------
    list of str
        Layers that are computed otherwise, and how; empty if all is as planned.
    """
    found = dict(precisions(compiled))
    planned = dict.fromkeys(found, "bf16") | dict.fromkeys(layers, "f32")
    return [
        f"{layer} in {found.get(layer, 'no precision')}, not in {precision}"
        for layer, precision in planned.items()
        if found.get(layer) != precision
    ]


def precisions(compiled: CompiledModel) -> Iterator[tuple[str, str]]:
    """Layer and precision of every convolution as it is executed."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) == "Convolution":
            # its own name, as <layer>/..., then those of the sum and activation fused into it
            own = info["originalLayersNames"].astype(str).partition(",")[0]
            yield own.partition("/")[0], info["runtimePrecision"].astype(str)
