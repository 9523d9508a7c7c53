"""The models by name: where their weights are, what they are allowed, how they are built.

Listing them is cheap; only :func:`load` reads weights and builds a graph.
"""

import difflib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from featuremill.errors import ModelError
from featuremill.images.preprocessing import Preprocessing
from featuremill.models import embedded, mobilenetv2, onnx_features, onnx_file
from featuremill.models.download import ByteProgress, cache_dir, fetch, mirrored
from featuremill.models.keras_h5 import WeightArray, read_weights
from featuremill.models.network import MixedPlan, Network
from featuremill.models.published_networks import NETWORKS

UNTRAINED_SEED = 20180113
"""The day MobileNetV2 was published; any other would do."""


class NetworkModule(Protocol):
    """What a module such as ``mobilenetv2`` says of its network."""

    N_FEATURES: int
    PREPROCESSING: Preprocessing
    MIXED: MixedPlan

    def build_onnx(self, weights: Any, /) -> bytes:
        """Write the network as an ONNX model."""


@dataclass(frozen=True)
class Published:
    """Weights that are downloaded once, unless other ones are given in their place."""

    file: str
    url: str
    size: int
    """Bytes."""
    sha256: str

    @property
    def origin(self) -> str:
        """Where the weights come from, for people."""
        return self.url


@dataclass(frozen=True)
class Packaged:
    """Weights in a file beside this module."""

    file: str
    sha256: str
    origin: ClassVar[str] = "shipped with featuremill"


@dataclass(frozen=True)
class Drawn:
    """Random weights, the same ones every time."""

    origin: ClassVar[str] = "drawn from a seed"


@dataclass(frozen=True)
class ModelSpec:
    """What there is to know about a model before it is loaded."""

    name: str
    summary: str
    architecture: NetworkModule
    weights: Published | Packaged | Drawn
    licence: str
    near: float
    """Cosine of features from which two photographs pass for the same: a copy of half the size,
    recompressed or cropped by 5 % is above it, other photographs are below."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the pixels."""
        return self.preprocessing.size

    @property
    def n_features(self) -> int:
        """Length of a row of features."""
        return self.architecture.N_FEATURES

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes pixels and these become numbers."""
        return self.architecture.PREPROCESSING

    @property
    def trained(self) -> bool:
        """False for weights that only keep machines busy."""
        return not isinstance(self.weights, Drawn)

    def description(self) -> dict[str, str]:
        """Everything about the model, for people."""
        height, width = self.input_size
        facts = {
            "name": self.name,
            "summary": self.summary,
            "licence": self.licence,
            "features": str(self.n_features),
            "input": f"{height} x {width}",
            "preprocessing": str(self.preprocessing),
            "weights": self.weights.origin,
        }
        if not isinstance(self.weights, Drawn):
            facts["sha256"] = self.weights.sha256
        if isinstance(self.weights, Published):
            facts["bytes"] = f"{self.weights.size:,}"
        return facts


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"

MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            ModelSpec(
                "embedded",
                "A small network that imitates mobilenetv2: faster, needs no download",
                embedded,
                Packaged(
                    file="embedded.safetensors",
                    sha256="b05e89ea58579daec3461806544bfec89b3361d3472f07894d13f34b46ed9489",
                ),
                licence="MIT",
                near=0.98,
            ),
            ModelSpec(
                "mobilenetv2",
                "MobileNetV2 1.0, trained on ImageNet, by Keras Applications",
                mobilenetv2,
                Published(
                    file=_FILE,
                    url=_KERAS + _FILE,
                    size=9_406_464,
                    sha256="f8aff69536bd77a692c594f559c798c19bf7f3f36668fc9fa00b21c6aab4797c",
                ),
                licence="Apache-2.0",
                near=0.9,
            ),
            ModelSpec(
                "mobilenetv2-untrained",
                "The same network with random weights: needs no download, its features mean little",
                mobilenetv2,
                Drawn(),
                licence="MIT",
                near=0.999,
            ),
        )
    }
)


def names() -> tuple[str, ...]:
    """Names of all models, sorted."""
    return tuple(sorted((*MODELS, *NETWORKS)))


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
    if is_path(name):
        raise ModelError(
            f"Model {name} is an ONNX file: such networks are computed on this machine only.",
            f"Choose one of {', '.join(MODELS)}.",
        )
    if name not in MODELS:
        closest = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        raise ModelError(
            f"Model {name!r} is unknown; there are {', '.join(names())}.",
            f"Did you mean --model {closest[0]}?" if closest else "Choose one of them.",
        )
    return MODELS[name]


def is_path(model: str) -> bool:
    """Whether ``--model`` names an ONNX file or a folder with one, here or at its publisher's."""
    looks_so = os.sep in model or model.endswith(".onnx") or Path(model).is_dir()
    return model in NETWORKS or (model not in MODELS and looks_so)


def place_of(model: str, progress: ByteProgress | None = None) -> Path:
    """Where the network lies that :func:`is_path` is true of; it is fetched if need be.

    Raises
    ------
    ModelError
        If it cannot be downloaded.
    """
    return NETWORKS[model].fetched(progress) if model in NETWORKS else Path(model)


def name_of(model: str) -> str:
    """Name under which a destination knows a model, by what ``--model`` is."""
    return onnx_file.name_of(Path(model)) if is_path(model) else model


def describe(model: str, output: str | None = None, pool: str | None = None) -> dict[str, str]:
    """Everything about a model, for people.

    Raises
    ------
    ModelError
        If there is no such model, or its file cannot be used.
    """
    if model in NETWORKS:
        return NETWORKS[model].description()
    if is_path(model):
        return onnx_features.describe(Path(model), output, pool)
    return get(model).description()


def load_held(
    held: Mapping[str, Any], weights: Path | None = None, progress: ByteProgress | None = None
) -> Network:
    """Build the network that a destination describes.

    Parameters
    ----------
    held : mapping
        As :meth:`Network.description` gave it.
    weights : Path, optional
        Where its weights lie now: a Keras .h5 file, or somebody else's network itself.
    progress : callable, optional
        As for :func:`load`.

    Raises
    ------
    ModelError
        As for :func:`load`.
    """
    if not held.get("location"):
        return load(str(held["name"]), weights, progress)
    place = str(weights or held["location"])
    if weights is None and held["name"] in NETWORKS and not Path(place).exists():
        place = str(held["name"])  # the cache was emptied, or is another machine's
    output, pool = held.get("output") or None, held.get("pool") or None
    return load(place, progress=progress, output=output, pool=pool)


def load(
    name: str,
    weights: Path | None = None,
    progress: ByteProgress | None = None,
    *,
    output: str | None = None,
    pool: str | None = None,
) -> Network:
    """Build a network, fetching its weights if they are neither shipped nor in the cache.

    Parameters
    ----------
    name : str
        As given to ``--model``: a name, an ONNX file, or a folder with one.
    weights : Path, optional
        A Keras .h5 file to take in place of a published one.
    progress : callable, optional
        Told how a download goes: bytes so far, bytes expected.
    output, pool : str, optional
        Of somebody else's network: the tensor that is embedded, and how it is pooled.

    Returns
    -------
    Network

    Raises
    ------
    ModelError
        If there is no such model, or its weights are missing, damaged or of another network.
    """
    if is_path(name):
        if weights is not None:
            raise ModelError(
                f"Model {name} has weights of its own, but --weights is {weights}.",
                "Leave --weights out.",
            )
        if name not in NETWORKS:
            return onnx_features.network(Path(name), output, pool)
        known = NETWORKS[name]
        if output is None:
            output, pool = known.output, pool or known.pool
        made = onnx_features.network(place_of(name, progress), output, pool)
        return replace(made, licence=known.licence)
    if output is not None or pool is not None:
        raise ModelError(
            f"Model {name} has one output, but --output or --pool is given.",
            "Leave them out: they are for --model FILE.onnx or a folder with one.",
        )
    spec = get(name)
    if isinstance(spec.weights, Published):
        return _published(spec, spec.weights, weights, progress)
    if weights is not None:
        raise ModelError(
            f"Model {name} has weights of its own, {spec.weights.origin},"
            f" but --weights is {weights}.",
            "Leave one of the two out, or choose --model mobilenetv2.",
        )
    if isinstance(spec.weights, Packaged):
        content = _packaged(spec.weights)
        return _build(spec, embedded.read_weights(content), spec.weights.sha256, spec.licence)
    layers = mobilenetv2.untrained_weights(UNTRAINED_SEED)
    return _build(spec, layers, _sha256_of_arrays(layers), spec.licence)


def _published(
    spec: ModelSpec, published: Published, weights: Path | None, progress: ByteProgress | None
) -> Network:
    """Build a network from the file given, else from the published one."""
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


def _packaged(weights: Packaged) -> bytes:
    """Read a file of this package, if it is the one that belongs here."""
    path = files(__package__) / weights.file
    remedy = "Install featuremill again."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.", remedy) from error
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise ModelError(
            f"{path} is not the file that ships with featuremill:"
            f" SHA-256 {found}, expected {weights.sha256}.",
            remedy,
        )
    return content


def _build(spec: ModelSpec, weights: Any, sha256: str, licence: str) -> Network:
    return Network(
        name=spec.name,
        onnx=spec.architecture.build_onnx(weights),
        weights_sha256=sha256,
        n_features=spec.n_features,
        mixed=spec.architecture.MIXED,
        preprocessing=spec.preprocessing,
        trained=spec.trained,
        licence=licence,
    )


def _sha256_of_arrays(layers: Mapping[str, Mapping[str, WeightArray]]) -> str:
    digest = hashlib.sha256()
    for fields in layers.values():
        for array in fields.values():
            digest.update(array.tobytes())
    return digest.hexdigest()
