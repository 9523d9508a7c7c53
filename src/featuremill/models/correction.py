"""Biases that make up for kernels rounded to bf16.

bf16 keeps eight significant bits. A kernel rounded to it gives results that are off on average,
by an amount that fp32 tells beforehand: the bias takes it back. Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2; what
convolutions read is learned here from pictures drawn for the purpose, with OpenVINO, which alone
computes in bf16.

Loading a network must not wait for onnx, nor for what draws pictures: they are imported where
they are used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featuremill._utils.hardware import usable_cores
from featuremill.images.decode import resize

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Kernel = npt.NDArray[np.float32]
Means = npt.NDArray[np.float64]

PICTURES = 48
"""Drawn to learn what convolutions read; twice as many, or photographs, do no better."""

_BATCH = 8


def correct_biases(onnx_model: bytes, size: tuple[int, int], exact: Collection[str]) -> bytes:
    """Correct the biases of a network for kernels rounded to bf16.

    Parameters
    ----------
    onnx_model : bytes
        Input ``pixels``, uint8 of shape (N, height, width, 3); every convolution has a kernel
        ``<layer>/kernel`` and a bias ``<layer>/bias``, and is depthwise or dense.
    size : tuple of int
        Height and width of ``pixels``.
    exact : collection of str
        Layers that are computed in fp32 and left alone.

    Returns
    -------
    bytes
        The same graph with the same kernels, which are left to the engine to round; the very same
        object where rounding changes no kernel.
    """
    from onnx import load_from_string, numpy_helper

    model = load_from_string(onnx_model)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    errors = {
        name: error
        for name, tensor in tensors.items()
        if name.endswith("/kernel") and name.removesuffix("/kernel") not in exact
        if (error := _rounding_error(numpy_helper.to_array(tensor))).any()
    }
    if not errors:
        return onnx_model
    means = channel_means(model, calibration_pictures(size))
    for node in _convolutions(model):
        read, kernel_name, bias_name = node.input
        if kernel_name in errors:
            bias = numpy_helper.to_array(tensors[bias_name])
            bias = bias + lost_mean(errors[kernel_name], means[read])
            tensors[bias_name].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), bias_name))
    return bytes(model.SerializeToString(deterministic=True))


def _convolutions(model: ModelProto) -> Iterator[NodeProto]:
    return (node for node in model.graph.node if node.op_type == "Conv")


def to_bf16(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round finite numbers to bf16, ties to even, as processors do."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)
    return np.asarray(rounded.view(np.float32))


def _rounding_error(kernel: Kernel) -> Kernel:
    """The kernel less the rounded kernel."""
    return kernel - to_bf16(kernel)


def lost_mean(error: Kernel, means: Means) -> Means:
    """What a convolution's results lose on average to an error of its kernel.

    Parameters
    ----------
    error : ndarray of shape (outputs, inputs or 1, height, width)
        The kernel less the rounded kernel.
    means : ndarray of shape (inputs,)
        Mean of what the convolution reads, by channel.

    Returns
    -------
    ndarray of shape (outputs,)
    """
    summed = error.astype(np.float64).sum(axis=(2, 3))  # (outputs, inputs or 1)
    lost: Means = summed[:, 0] * means if error.shape[1] == 1 else summed @ means
    return lost


def channel_means(model: ModelProto, pixels: npt.NDArray[np.uint8]) -> Mapping[str, Means]:
    """Mean of every channel that a convolution reads, in fp32.

    Parameters
    ----------
    model : ModelProto
        As for :func:`correct_biases`.
    pixels : ndarray of shape (N, height, width, 3)
        RGB, uint8.

    Returns
    -------
    mapping
        Tensor → float64 of shape (channels,).
    """
    import openvino as ov
    from onnx import ModelProto, TensorProto, helper

    measured = ModelProto()
    measured.CopyFrom(model)
    graph = measured.graph
    del graph.output[:]
    tensors = tuple(dict.fromkeys(node.input[0] for node in _convolutions(model)))
    for tensor in tensors:
        mean = f"{tensor}/mean"
        graph.node.append(helper.make_node("GlobalAveragePool", [tensor], [mean]))
        graph.output.append(helper.make_tensor_value_info(mean, TensorProto.FLOAT, None))
    core = ov.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": usable_cores()}
    compiled = core.compile_model(core.read_model(measured.SerializeToString()), "CPU", options)
    batches = (
        list(compiled(pixels[start : start + _BATCH]).values())
        for start in range(0, len(pixels), _BATCH)
    )
    means = (np.concatenate(each) for each in zip(*batches, strict=True))  # (N, channels, 1, 1)
    each_mean = (each.mean(axis=(0, 2, 3), dtype=np.float64) for each in means)
    return dict(zip(tensors, each_mean, strict=True))


def calibration_pictures(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw the pictures that channel means are taken from, the same ones every time.

    Returns
    -------
    ndarray of shape (PICTURES, height, width, 3)
        RGB, uint8; each of another class.
    """
    from featuremill.images.synth import SynthConfig, draw

    config = SynthConfig(classes=PICTURES, per_class=1)
    return np.stack([resize(draw(kind, 0, config), size) for kind in range(PICTURES)])
