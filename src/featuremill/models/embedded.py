"""The network that ships in this package: residual, small, trained to imitate MobileNetV2.

Dense 3 x 3 convolutions in residual pairs, after He et al., "Deep Residual Learning for Image
Recognition", CVPR 2016: processors compute them several times faster than the depthwise ones that
save multiplications. The last stage keeps its resolution, so that as many positions are averaged
as in the teacher. Recipe and results: docs/models.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featuremill.errors import ModelError
from featuremill.images.preprocessing import Preprocessing
from featuremill.models import graph
from featuremill.models.network import MixedPlan

N_FEATURES = 1280
PREPROCESSING = Preprocessing((96, 96), scale=1 / 127.5, mean=(1.0, 1.0, 1.0))

MIXED = MixedPlan(fp32=(), fp32_biases=())
"""All in bf16: it was trained that way."""

_STEM = 32
_STAGES = (  # channels, blocks, stride of the first block
    (32, 2, 2),
    (64, 3, 2),
    (144, 3, 2),
    (256, 1, 1),
)


@dataclass(frozen=True)
class FoldedLayer:
    """A convolution, after training with its batch normalisation folded in."""

    name: str
    reads: str
    size: int
    """Height and width of the kernel."""
    inputs: int
    channels: int
    stride: int = 1
    relu: bool = True
    adds: str | None = None
    """Tensor added before the activation."""

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """Outputs, inputs, height and width."""
        return (self.channels, self.inputs, self.size, self.size)


def _layers() -> Iterator[FoldedLayer]:
    yield FoldedLayer("stem", "normalised", 3, 3, _STEM, stride=2)
    tensor, inputs = "stem", _STEM
    for stage, (channels, blocks, first_stride) in enumerate(_STAGES, start=1):
        for block in range(1, blocks + 1):
            prefix = f"stage{stage}_block{block}"
            stride, shortcut = 1, tensor
            if block == 1:
                stride, shortcut = first_stride, f"{prefix}_shortcut"
                yield FoldedLayer(shortcut, tensor, 1, inputs, channels, stride, relu=False)
            yield FoldedLayer(f"{prefix}_first", tensor, 3, inputs, channels, stride)
            last = f"{prefix}_second"
            yield FoldedLayer(last, f"{prefix}_first", 3, channels, channels, adds=shortcut)
            tensor, inputs = last, channels
    yield FoldedLayer("head", tensor, 1, inputs, N_FEATURES)


LAYERS = tuple(_layers())

TENSORS: Mapping[str, tuple[int, ...]] = {
    name: shape
    for layer in LAYERS
    for name, shape in (
        (f"{layer.name}/kernel", layer.kernel_shape),
        (f"{layer.name}/bias", (layer.channels,)),
    )
}
"""Names and shapes of the tensors in a file of weights."""


def read_weights(content: bytes) -> dict[str, graph.Array]:
    """Read a file of weights.

    Parameters
    ----------
    content : bytes
        Of a safetensors file; any floating point numbers.

    Returns
    -------
    dict
        The arrays of :data:`TENSORS`, in that order, as float32.

    Raises
    ------
    ModelError
        If it is no such file, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(content)
    except SafetensorError as error:
        raise _unfit(f"are no safetensors file: {error}") from error
    if odd := sorted(TENSORS.keys() ^ stored.keys()):
        found = "lack" if odd[0] in TENSORS else "have the unknown"
        raise _unfit(f"{found} tensor {odd[0]!r}")
    weights = {name: stored[name].astype(np.float32) for name in TENSORS}
    for name, shape in TENSORS.items():
        if weights[name].shape != shape:
            raise _unfit(f"have {name!r} in shape {weights[name].shape}, expected {shape}")
        if not np.isfinite(weights[name]).all():
            raise _unfit(f"have a number in {name!r} that is not finite")
    return weights


def _unfit(problem: str) -> ModelError:
    return ModelError(
        f"The weights of the embedded network {problem}.", "Install featuremill again."
    )


def build_onnx(weights: Mapping[str, npt.NDArray[np.floating]]) -> bytes:
    """Write the network as an ONNX model.

    Parameters
    ----------
    weights : mapping
        The arrays of :data:`TENSORS`.

    Returns
    -------
    bytes
        See :func:`featuremill.models.graph.build`: 96 x 96 pixels in, 1280 features out.
    """
    convolutions = [
        graph.Convolution(
            name=layer.name,
            reads=layer.reads,
            kernel=np.asarray(weights[f"{layer.name}/kernel"], np.float32),
            bias=np.asarray(weights[f"{layer.name}/bias"], np.float32),
            output=layer.name,
            stride=layer.stride,
            pads=(layer.size // 2,) * 4,
            adds=layer.adds,
            activation="relu" if layer.relu else None,
        )
        for layer in LAYERS
    ]
    return graph.build("embedded", PREPROCESSING, convolutions)
