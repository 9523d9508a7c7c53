"""MobileNetV2 (width 1.0), as Keras Applications draws it, written as an ONNX graph.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.
Preprocessing is part of the graph and batch normalisation is folded into the convolutions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from featuremill.images.preprocessing import Preprocessing
from featuremill.models import graph
from featuremill.models.keras_h5 import WeightArray, fold_batch_norm
from featuremill.models.network import MixedPlan

N_FEATURES = 1280
PREPROCESSING = Preprocessing((224, 224), scale=1 / 127.5, mean=(1.0, 1.0, 1.0))

_STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_NORM_FIELDS = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True)
class ConvLayer:
    """A convolution without bias, its batch normalisation and what follows them."""

    name: str
    norm: str
    kind: Literal["conv", "depthwise", "pointwise"]
    inputs: int
    channels: int
    stride: int = 1
    relu6: bool = True
    residual: str | None = None
    """Tensor added to the result."""

    @property
    def output(self) -> str:
        """Name of the tensor that the next layer reads."""
        return self.name.replace("_project", "_add") if self.residual else self.name

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """Height, width, inputs and outputs, in Keras' layout."""
        if self.kind == "pointwise":
            return (1, 1, self.inputs, self.channels)
        return (3, 3, self.inputs, 1 if self.kind == "depthwise" else self.channels)


def _layers() -> Iterator[ConvLayer]:
    yield ConvLayer("Conv1", "bn_Conv1", "conv", 3, 32, stride=2)
    tensor, inputs, block = "Conv1", 32, 0
    for expansion, channels, blocks, first_stride in _STAGES:
        for position in range(blocks):
            prefix = f"block_{block}" if block else "expanded_conv"
            stride = 1 if position else first_stride
            wide = inputs * expansion
            residual = tensor if position else None
            if expansion > 1:
                expand = f"{prefix}_expand"
                yield ConvLayer(expand, f"{expand}_BN", "pointwise", inputs, wide)
            depthwise, project = f"{prefix}_depthwise", f"{prefix}_project"
            yield ConvLayer(depthwise, f"{depthwise}_BN", "depthwise", wide, wide, stride)
            last = ConvLayer(
                project, f"{project}_BN", "pointwise", wide, channels, 1, False, residual
            )
            yield last
            tensor, inputs, block = last.output, channels, block + 1
    yield ConvLayer("Conv_1", "Conv_1_bn", "pointwise", inputs, N_FEATURES)


LAYERS = tuple(_layers())

_EARLY = ("expanded_conv_depthwise", "expanded_conv_project")
MIXED = MixedPlan(
    fp32=_EARLY,
    fp32_biases=tuple(
        layer.name
        for layer in LAYERS
        if layer.name not in _EARLY
        and (layer.kind == "depthwise" or not layer.relu6 or layer.name == "block_1_expand")
    ),
)
"""Of the layers, the first depthwise convolution and the projection after it carry most of bf16's
error. Biases in float32 cost next to nothing but in layers that expand, and of those the first is
worth it: the smallest cosine of 280 pictures is 0.99953 with ImageNet weights, 0.9745 without all
this."""

WEIGHT_SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    name: fields
    for layer in LAYERS
    for name, fields in (
        (layer.name, {"kernel": layer.kernel_shape}),
        (layer.norm, dict.fromkeys(_NORM_FIELDS, (layer.channels,))),
    )
}


def untrained_weights(seed: int) -> dict[str, dict[str, WeightArray]]:
    """Draw weights that let signals through unchanged in size.

    He et al., "Delving Deep into Rectifiers", ICCV 2015: variance 2 / fan-in before a ReLU, and
    1 / fan-in before a sum. Uniform, because its stream is the same on every platform.

    Parameters
    ----------
    seed : int
        The same seed gives the same weights everywhere.

    Returns
    -------
    dict
        Layer → field → float32 array, as :func:`featuremill.models.keras_h5.read_weights` gives.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    weights: dict[str, dict[str, WeightArray]] = {}
    for layer in LAYERS:
        height, width, inputs, _ = layer.kernel_shape
        fan_in = height * width * (1 if layer.kind == "depthwise" else inputs)
        limit = np.sqrt((6 if layer.relu6 else 3) / fan_in)
        kernel = random.uniform(-limit, limit, layer.kernel_shape)
        weights[layer.name] = {"kernel": kernel.astype(np.float32)}
        zeros, ones = np.zeros(layer.channels, np.float32), np.ones(layer.channels, np.float32)
        weights[layer.norm] = dict(zip(_NORM_FIELDS, (ones, zeros, zeros, ones), strict=True))
    return weights


def build_onnx(weights: Mapping[str, Mapping[str, WeightArray]]) -> bytes:
    """Write the network as an ONNX model; the same weights give the same bytes.

    Every layer's output has its Keras name.

    Parameters
    ----------
    weights : mapping
        Layer → field → array, with the shapes of :data:`WEIGHT_SHAPES`.

    Returns
    -------
    bytes
        See :func:`featuremill.models.graph.build`: 224 x 224 pixels in, 1280 features out.
    """
    convolutions, tensor = [], "normalised"
    for layer in LAYERS:
        convolutions.append(_convolution(layer, tensor, weights))
        tensor = layer.output
    return graph.build("mobilenetv2", PREPROCESSING, convolutions)


def _convolution(
    layer: ConvLayer, tensor: str, weights: Mapping[str, Mapping[str, WeightArray]]
) -> graph.Convolution:
    """Convolution with its batch norm folded in."""
    depthwise = layer.kind == "depthwise"
    kernel, bias = fold_batch_norm(
        weights[layer.name]["kernel"], weights[layer.norm], axis=2 if depthwise else 3
    )
    return graph.Convolution(
        name=layer.name,
        reads=tensor,
        # Keras' (height, width, in, out) -> ONNX' (out, in, height, width)
        kernel=kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)),
        bias=bias,
        output=layer.output,
        stride=layer.stride,
        pads=_padding(layer),
        depthwise=depthwise,
        adds=layer.residual,
        activation="relu6" if layer.relu6 else None,
    )


def _padding(layer: ConvLayer) -> tuple[int, int, int, int]:
    """Top, left, bottom, right; Keras pads even sides at the far end before a stride of 2."""
    if layer.kind == "pointwise":
        return (0, 0, 0, 0)
    return (0, 0, 1, 1) if layer.stride == 2 else (1, 1, 1, 1)
