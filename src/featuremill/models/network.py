"""A network as it travels from the driver to the workers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from featuremill._utils.extras import is_installed
from featuremill.images.preprocessing import Preprocessing

BOUNDS: Mapping[str, float | None] = MappingProxyType({"fp32": 0.9999, "auto": 0.999, "bf16": None})
"""Smallest cosine to the network's float32 features (Keras', for MobileNetV2) that each accuracy
contract allows for any image; ``bf16`` promises nothing and reports what was measured."""

CONTRACTS = tuple(BOUNDS)

_FOREIGN = ("location", "output", "pool")


@dataclass(frozen=True)
class MixedPlan:
    """Where bf16 would cost too much of a network's fidelity.

    Parameters
    ----------
    fp32 : tuple of str
        Layers computed in fp32; all others are computed in bf16, with corrected biases. None may
        end in a residual sum: OpenVINO cannot compile that. Empty for a network trained in bf16.
    fp32_biases : tuple of str
        Layers among the others that add their bias in float32, before they round the result.
    """

    fp32: tuple[str, ...]
    fp32_biases: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """A feature extractor in fp32, with everything that its identity depends on.

    Small (10 MB, or 20 with corrected biases) and picklable, because it goes to every executor as
    a Spark broadcast.

    Parameters
    ----------
    name : str
        Name in the registry.
    onnx : bytes
        The graph: input ``pixels``, uint8 of shape (N, height, width, 3) with N dynamic; output
        ``features``, float32 of shape (N, n_features).
    weights_sha256 : str
        SHA-256 of the weights the graph was built from.
    n_features : int
        Length of a row of ``features``.
    mixed : MixedPlan or None
        How mixed precision computes; None where no such plan is known.
    preprocessing : Preprocessing
        How an image becomes ``pixels`` and ``pixels`` become numbers.
    trained : bool
        False for weights that only keep machines busy.
    licence : str
        SPDX identifier of the weights' licence, or a phrase that says who knows it.
    location, output, pool : str
        Of somebody else's network: where its file or folder lies, which tensor is embedded, and
        how it is pooled; empty for those of the package.
    fixed_batch : bool
        Whether the graph takes one image at a time: N is 1.
    """

    name: str
    onnx: bytes = field(repr=False)
    weights_sha256: str
    n_features: int
    mixed: MixedPlan | None
    preprocessing: Preprocessing
    trained: bool
    licence: str
    location: str = ""
    output: str = ""
    pool: str = ""
    fixed_batch: bool = False

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of ``pixels``."""
        return self.preprocessing.size

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the graph, its weights, its plan and the preprocessing."""
        graph = hashlib.sha256(self.onnx).hexdigest()
        return _digest(graph, self.weights_sha256, str(self.mixed), str(self.preprocessing))

    @cached_property
    def corrected(self) -> bytes:
        """The graph with biases corrected for mixed precision.

        It takes a second where it is first asked for, and travels with the network from then on.
        Where all kernels are bf16 already, it is the graph itself.
        """
        from featuremill.models.correction import correct_biases

        exact = self.mixed.fp32 if self.mixed else ()
        return correct_biases(self.onnx, self.input_size, exact)

    def ready_for(self, precision: str) -> "Network":
        """Return the network with what a precision needs computed here, not on every worker.

        Only OpenVINO can: without it here, a worker that serves the precision has it.
        """
        if precision == "mixed" and is_installed("openvino"):
            _ = self.corrected
        return self

    def model_id(self, contract: str) -> str:
        """Name of the features this network gives under an accuracy contract.

        Engine and machine are left out on purpose: whichever keeps the contract gives features
        that may stand in one table.

        Parameters
        ----------
        contract : str
            One of :data:`CONTRACTS`.

        Returns
        -------
        str
            16 hexadecimal digits.

        Raises
        ------
        ValueError
            If the contract is unknown.
        """
        if contract not in BOUNDS:
            raise ValueError(f"contract is {contract!r}, must be one of {', '.join(CONTRACTS)}")
        return _digest(self.fingerprint, contract)[:16]

    def description(self, contract: str) -> dict[str, str | int | bool]:
        """What identifies the network and its features, as plain values.

        Raises
        ------
        ValueError
            If the contract is unknown.
        """
        return {
            "name": self.name,
            "model_id": self.model_id(contract),
            "contract": contract,
            "fingerprint": self.fingerprint,
            "weights_sha256": self.weights_sha256,
            "n_features": self.n_features,
            "preprocessing": str(self.preprocessing),
            "trained": self.trained,
            "licence": self.licence,
            **({name: getattr(self, name) for name in _FOREIGN} if self.location else {}),
        }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
