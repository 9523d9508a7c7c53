"""Engines that run a network on the CPU with one thread each, and how close their features are.

OpenVINO and ONNX Runtime are imported where they are used, for the sake of machines that have
only one of them and of commands that need neither.
"""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from featuremill._utils.extras import is_installed, require
from featuremill.errors import PrecisionError
from featuremill.images.raw_pixels import Pixels
from featuremill.models import mixed
from featuremill.models.network import Network
from featuremill.models.uniform import is_uniform

if TYPE_CHECKING:
    import openvino


FeatureBatch = npt.NDArray[np.float32]

BATCH = 8
"""Images per inference. Larger ones are slower on a CPU: their activations leave the cache."""

PRECISIONS = ("fp32", "mixed", "bf16")
ENGINES = ("openvino", "onnxruntime")

_PRECISION_REMEDY = "Choose --precision fp32, or auto: the fastest that every worker can serve."


class Engine(ABC):
    """A compiled network; not for use by several threads at once.

    Parameters
    ----------
    network : Network
        What to run.
    precision : str
        ``fp32``, ``mixed`` (the network's sensitive layers in fp32, the rest in bf16) or ``bf16``.

    Attributes
    ----------
    name : str
        One of :data:`ENGINES`.
    precision : str
        One of :data:`PRECISIONS`.
    n_features : int
        Length of a row of features.
    batch : int
        Images per inference: :data:`BATCH`, or 1 where the network takes no more.
    """

    name: ClassVar[str]

    def __init__(self, network: Network, precision: str) -> None:
        self.precision = precision
        self.n_features = network.n_features
        self.batch = 1 if network.fixed_batch else BATCH
        self._image_shape = (*network.input_size, 3)

    @abstractmethod
    def embed_batch(self, pixels: Pixels) -> FeatureBatch:
        """Compute the features of exactly one batch.

        Parameters
        ----------
        pixels : ndarray of shape (BATCH, height, width, 3)
            RGB, uint8, C-contiguous.

        Returns
        -------
        ndarray of shape (BATCH, n_features)
            float32, owned by the caller.
        """

    def embed(self, pixels: Pixels) -> FeatureBatch:
        """Compute the features of any number of images.

        The last batch is padded: kernels chosen for another batch size round differently, and a
        rerun that cuts its batches elsewhere must give the same numbers.

        Parameters
        ----------
        pixels : ndarray of shape (N, height, width, 3)
            RGB, uint8.

        Returns
        -------
        ndarray of shape (N, n_features)
            float32.

        Raises
        ------
        ValueError
            If ``pixels`` has another shape or dtype.
        """
        if pixels.shape[1:] != self._image_shape or pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels are {pixels.dtype} of shape {pixels.shape}, "
                f"must be uint8 of shape (N, {', '.join(map(str, self._image_shape))})"
            )
        return self._embed(np.ascontiguousarray(pixels))

    def _embed(self, pixels: Pixels) -> FeatureBatch:
        features = np.empty((len(pixels), self.n_features), np.float32)
        for start in range(0, len(pixels), self.batch):
            batch = pixels[start : start + self.batch]
            row = self.embed_batch(_padded(batch, self.batch))[: len(batch)]
            features[start : start + self.batch] = row
        return features


def _padded(batch: Pixels, size: int) -> Pixels:
    if len(batch) == size:
        return batch
    full = np.zeros((size, *batch.shape[1:]), np.uint8)
    full[: len(batch)] = batch
    return full


class OpenVinoEngine(Engine):
    """OpenVINO in any precision; fastest where the CPU computes bf16 natively."""

    name = "openvino"

    def __init__(self, network: Network, precision: str) -> None:
        import openvino as ov

        super().__init__(network, precision)
        core = ov.Core()
        if precision == "mixed":
            compiled = _compile_mixed(core, network)
        else:
            model = _read(core, network.onnx, network.input_size, self.batch)
            compiled = _compile(core, model, "bf16" if precision == "bf16" else "f32")
        self._request = compiled.create_infer_request()

    def embed_batch(self, pixels: Pixels) -> FeatureBatch:
        """See :meth:`Engine.embed_batch`."""
        import openvino as ov

        # OpenVINO shares memory it may write to, and pixels may lie in a read-only buffer.
        writeable = np.require(pixels, requirements="W")
        self._request.set_input_tensor(ov.Tensor(writeable, shared_memory=True))
        self._request.infer()
        features: FeatureBatch = self._request.get_output_tensor().data.copy()
        return features


class MixedEngine(OpenVinoEngine):
    """OpenVINO in mixed precision, and in fp32 for pictures that bf16 is too coarse for.

    These are computed one by one, so that no picture's features depend on another picture.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network, "mixed")
        self._network = network

    def _embed(self, pixels: Pixels) -> FeatureBatch:
        in_fp32 = is_uniform(pixels)
        if not in_fp32.any():
            return super()._embed(pixels)
        features = np.empty((len(pixels), self.n_features), np.float32)
        features[~in_fp32] = super()._embed(pixels[~in_fp32])
        for index in np.flatnonzero(in_fp32):
            features[index] = self._exact.infer({0: pixels[index : index + 1]})[0]
        return features

    @cached_property
    def _exact(self) -> openvino.InferRequest:
        """In fp32 and for one picture; compiled when the first such picture comes."""
        import openvino as ov

        core = ov.Core()
        model = _read(core, self._network.onnx, self._network.input_size, batch=1)
        return _compile(core, model, "f32").create_infer_request()


def _read(
    core: openvino.Core, onnx: bytes, size: tuple[int, int], batch: int = BATCH
) -> openvino.Model:
    model = core.read_model(onnx)
    model.reshape([batch, *size, 3])
    return model


def _compile(
    core: openvino.Core, model: openvino.Model, precision_hint: str
) -> openvino.CompiledModel:
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        # Pinning puts the only thread of every process on core 0.
        "ENABLE_CPU_PINNING": False,
        # Left to itself, OpenVINO computes in bf16 wherever the CPU can.
        "INFERENCE_PRECISION_HINT": precision_hint,
    }
    return core.compile_model(model, "CPU", options)


def _compile_mixed(core: openvino.Core, network: Network) -> openvino.CompiledModel:
    """Compile a network's plan, or refuse if OpenVINO makes something else of it."""
    plan = network.mixed
    if plan is None:
        raise PrecisionError(
            f"Model {network.name} has no plan for mixed precision.", _PRECISION_REMEDY
        )
    model = _read(core, network.corrected, network.input_size)
    try:
        compiled = _compile(core, mixed.keep_fp32(core, model, plan), "bf16")
    except RuntimeError as error:
        raise PrecisionError(
            f"OpenVINO cannot compile {network.name} in mixed precision: {error}",
            _PRECISION_REMEDY,
        ) from error
    departures = mixed.departures(compiled, plan.fp32)
    if departures:
        raise PrecisionError(
            f"OpenVINO departs from the plan for mixed precision in {len(departures)} layers;"
            f" it computes {departures[0]}.",
            _PRECISION_REMEDY,
        )
    return compiled


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime in fp32; runs everywhere."""

    name = "onnxruntime"

    def __init__(self, network: Network) -> None:
        import onnxruntime

        super().__init__(network, "fp32")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            network.onnx, options, providers=["CPUExecutionProvider"]
        )

    def embed_batch(self, pixels: Pixels) -> FeatureBatch:
        """See :meth:`Engine.embed_batch`."""
        features: FeatureBatch = self._session.run(["features"], {"pixels": pixels})[0]
        return features


_open: dict[tuple[str, str, str], Engine] = {}


def open_engine(network: Network, precision: str, engine: str = "auto") -> Engine:
    """Compile a network once per process and hand out the same engine from then on.

    Parameters
    ----------
    network : Network
        What to run.
    precision : str
        One of :data:`PRECISIONS`.
    engine : str
        One of :data:`ENGINES`, or ``auto``: OpenVINO on x86-64 where it is installed, else ONNX
        Runtime.

    Returns
    -------
    Engine
        Shared within the process.

    Raises
    ------
    PrecisionError
        If this machine, engine or network cannot serve the precision.
    MissingExtraError
        If ONNX Runtime is asked for and not installed.
    ValueError
        If the precision or the engine is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, must be one of {', '.join(PRECISIONS)}")
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"engine is {engine!r}, must be one of auto, {', '.join(ENGINES)}")
    if engine == "auto":
        engine = "openvino" if _has_openvino() else "onnxruntime"
    key = (network.fingerprint, precision, engine)
    if key not in _open:
        _require(precision, engine)
        if engine == "openvino" and precision == "mixed" and network.mixed and network.mixed.fp32:
            _open[key] = MixedEngine(network)
        elif engine == "openvino":
            _open[key] = OpenVinoEngine(network, precision)
        else:
            _open[key] = OnnxRuntimeEngine(network)
    return _open[key]


def native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether this machine computes bf16 in hardware, so that it pays.

    OpenVINO's own list of capabilities will not do: it also names what it emulates.

    Parameters
    ----------
    cpuinfo : Path
        The kernel's description of the CPU; without one (macOS) the answer is no.

    Returns
    -------
    bool
        False too where OpenVINO, the only engine with bf16 here, is missing.
    """
    if not (_has_openvino() and cpuinfo.exists()):
        return False
    lines = cpuinfo.read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def _has_openvino() -> bool:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and is_installed("openvino")


def _require(precision: str, engine: str) -> None:
    """Refuse what this machine cannot serve."""
    if engine == "openvino" and not _has_openvino():
        raise PrecisionError(
            f"OpenVINO is not installed, or the CPU is {platform.machine()} and not x86-64.",
            "Choose the engine onnxruntime, or auto.",
        )
    if engine == "onnxruntime":
        require("onnxruntime", "--engine onnxruntime")
    if precision == "fp32":
        return
    if engine == "onnxruntime":
        raise PrecisionError(
            f"Precision {precision} needs OpenVINO, not ONNX Runtime.", _PRECISION_REMEDY
        )
    if not native_bf16():
        raise PrecisionError(
            f"Precision {precision} needs a CPU that computes bf16 (AMX or AVX512-BF16).",
            _PRECISION_REMEDY,
        )


def smallest_cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Smallest cosine between rows of the same index.

    Parameters
    ----------
    a, b : ndarray of shape (n, n_features)
        Computed with in float64.

    Returns
    -------
    float
        In [-1, 1]. Two rows of zeros agree (1), one row of zeros agrees with nothing (0), a row
        that is not finite is as wrong as can be (-1); without rows nothing disagrees (1).

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    left, right = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    if not finite.all():
        return -1.0
    norms = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    scale = norms[0] * norms[1]
    products = np.einsum("ij,ij->i", left, right)
    cosines = np.divide(products, scale, out=both_zero.astype(np.float64), where=scale > 0)
    return float(np.clip(cosines, -1, 1).min(initial=1))
