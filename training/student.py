"""The embedded network as PyTorch trains it: every convolution with its batch normalisation."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from featuremill.models.embedded import LAYERS, FoldedLayer


class Student(nn.Module):
    """Built from the same table of layers as the ONNX graph."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict({layer.name: _convolution(layer) for layer in LAYERS})
        self.norms = nn.ModuleDict({layer.name: nn.BatchNorm2d(layer.channels) for layer in LAYERS})

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.

        Parameters
        ----------
        images : Tensor of shape (N, 3, height, width)
            RGB in [-1, 1].

        Returns
        -------
        Tensor of shape (N, 1280)
            float32.
        """
        tensors = {"normalised": images}
        for layer in LAYERS:
            x = self.norms[layer.name](self.convolutions[layer.name](tensors[layer.reads]))
            if layer.adds:
                x = x + tensors[layer.adds]
            tensors[layer.name] = relu(x) if layer.relu else x
        return tensors[LAYERS[-1].name].float().mean((2, 3))


def _convolution(layer: FoldedLayer) -> nn.Conv2d:
    convolution = nn.Conv2d(
        layer.inputs, layer.channels, layer.size, layer.stride, layer.size // 2, bias=False
    )
    nn.init.kaiming_normal_(convolution.weight, mode="fan_in")
    return convolution


def as_images(pixels: Tensor, side: int) -> Tensor:
    """Turn bytes of shape (N, height, width, 3) into what the student reads, at another size."""
    images = (pixels.float() / 127.5 - 1).permute(0, 3, 1, 2)
    if side != images.shape[-1]:
        images = interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last)


def folded(student: Student) -> dict[str, npt.NDArray[np.float32]]:
    """Fold batch normalisation into kernels and biases.

    Returns
    -------
    dict
        As :data:`featuremill.models.embedded.TENSORS` says, float32.
    """
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for layer in LAYERS:
        norm = student.norms[layer.name]
        kernel = student.convolutions[layer.name].weight.detach().double()
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        bias = norm.bias.detach().double() - norm.running_mean.double() * scale
        arrays[f"{layer.name}/kernel"] = (kernel * scale[:, None, None, None]).float().numpy()
        arrays[f"{layer.name}/bias"] = bias.float().numpy()
    return arrays


def averaged(average: Mapping[str, Tensor], current: Mapping[str, Tensor], step: int) -> None:
    """Move an average of weights towards the current ones, faster while there are few.

    Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, with
    exponential weights.
    """
    decay = min(0.9995, 1 - math.exp(-step / 1000) * 0.1 - 1e-4, (1 + step) / (10 + step))
    for name, value in current.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)
