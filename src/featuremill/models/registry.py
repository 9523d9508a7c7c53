"""The models by name: where their weights are, what they are allowed, how they are built.

Listing them is cheap; only :func:`load` reads weights and builds a graph.
"""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from featuremill.errors import ModelError
from featuremill.models import mobilenetv2
from featuremill.models.download import Progress, cache_dir, fetch, mirrored
from featuremill.models.keras_h5 import Array, read_weights
from featuremill.models.network import MixedPlan, Network

UNTRAINED_SEED = 20180113
"""The day MobileNetV2 was published; any other would do."""


@dataclass(frozen=True)
class Weights:
    """A published file of weights."""

    file: str
    url: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class ModelSpec:
    """What there is to know about a model before it is loaded."""

    name: str
    summary: str
    weights: Weights | None
    """None for weights that are drawn on the spot."""
    licence: str
    input_size: tuple[int, int] = mobilenetv2.INPUT_SIZE
    n_features: int = mobilenetv2.N_FEATURES
    preprocessing: str = mobilenetv2.PREPROCESSING
    mixed: MixedPlan | None = mobilenetv2.MIXED

    @property
    def trained(self) -> bool:
        """False for weights that only keep machines busy."""
        return self.weights is not None


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"

MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            ModelSpec(
                "mobilenetv2",
                "MobileNetV2 1.0, trained on ImageNet, by Keras Applications",
                Weights(
                    file=_FILE,
                    url=_KERAS + _FILE,
                    size=9_406_464,
                    sha256="f8aff69536bd77a692c594f559c798c19bf7f3f36668fc9fa00b21c6aab4797c",
                ),
                licence="Apache-2.0",
            ),
            ModelSpec(
                "mobilenetv2-untrained",
                "The same network with random weights: needs no download, its features mean little",
                None,
                licence="MIT",
            ),
        )
    }
)


def names() -> tuple[str, ...]:
    """Names of all models, sorted."""
    return tuple(sorted(MODELS))


def get(name: str) -> ModelSpec:
    """Look a model up.

    Parameters
    ----------
    name : str
        As given to ``--model``.

    Returns
    -------
    ModelSpec

    Raises
    ------
    ModelError
        If there is no such model.
    """
    if name not in MODELS:
        closest = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
        raise ModelError(
            f"Model {name!r} is unknown; there are {', '.join(names())}.",
            f"Did you mean --model {closest[0]}?" if closest else "Choose one of them.",
        )
    return MODELS[name]


def load(name: str, weights: Path | None = None, progress: Progress | None = None) -> Network:
    """Build a network, fetching its weights if they are not in the cache.

    Parameters
    ----------
    name : str
        As given to ``--model``.
    weights : Path, optional
        A Keras .h5 file to take in place of the published one.
    progress : callable, optional
        Told how a download goes: bytes so far, bytes expected.

    Returns
    -------
    Network

    Raises
    ------
    ModelError
        If there is no such model, or its weights are missing, damaged or of another network.
    """
    spec = get(name)
    if spec.weights is None and weights is not None:
        raise ModelError(
            f"Model {name} draws its own weights, but --weights is {weights}.",
            "Leave one of the two out, or choose --model mobilenetv2.",
        )
    if spec.weights is None:
        layers = mobilenetv2.untrained_weights(UNTRAINED_SEED)
        return _build(spec, layers, _sha256_of_arrays(layers), spec.licence)
    published = spec.weights
    path = weights or fetch(
        mirrored(published.url),
        cache_dir() / published.file,
        published.sha256,
        published.size,
        progress,
    )
    layers = read_weights(path, mobilenetv2.WEIGHT_SHAPES)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    known = sha256 == published.sha256
    return _build(spec, layers, sha256, spec.licence if known else "as of the weights given")


def _build(
    spec: ModelSpec, layers: Mapping[str, Mapping[str, Array]], sha256: str, licence: str
) -> Network:
    return Network(
        name=spec.name,
        onnx=mobilenetv2.build_onnx(layers),
        weights_sha256=sha256,
        input_size=spec.input_size,
        n_features=spec.n_features,
        mixed=spec.mixed,
        preprocessing=spec.preprocessing,
        trained=spec.trained,
        licence=licence,
    )


def _sha256_of_arrays(layers: Mapping[str, Mapping[str, Array]]) -> str:
    digest = hashlib.sha256()
    for fields in layers.values():
        for array in fields.values():
            digest.update(array.tobytes())
    return digest.hexdigest()
