"""What a run is asked to do, validated whole before anything is touched."""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featuremill import names
from featuremill.errors import ConfigError

PRECISIONS = ("auto", "fp32", "mixed", "bf16")
ENGINES = ("auto", "openvino", "onnxruntime")
DEFAULT_COMPONENTS = 50
DEFAULT_SAMPLE = 1_000

_SECONDS = (0.1, 86_400.0)
_MASTERS = ("spark://", "yarn", "k8s://", "local-cluster[", "sc://")


@dataclass(frozen=True)
class RejectLimit:
    """How many rejected images a run may have, as a share or as a number."""

    share: float | None = None
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> "RejectLimit":
        """Read ``5%`` or ``100``.

        Raises
        ------
        ConfigError
            If the text is neither a percentage from 0 to 100 nor a whole number.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*|\s*(\d+)\s*", text)
        if match is None or (match[1] and float(match[1]) > 100):
            raise ConfigError(
                f"--max-rejects is {text!r}",
                "Give a percentage such as 5% or a number such as 100.",
            )
        if match[1]:
            return cls(share=float(match[1]) / 100)
        return cls(count=int(match[2]))

    def exceeded(self, rejected: int, total: int) -> bool:
        """Whether that many rejects among that many images are too many."""
        if self.count is not None:
            return rejected > self.count
        return self.share is not None and rejected > self.share * total

    def __str__(self) -> str:
        return str(self.count) if self.share is None else f"{100 * self.share:g}%"


@dataclass(frozen=True)
class RunConfig:
    """One run of the main job.

    Parameters
    ----------
    source, destination : str
        A folder or ``s3://bucket/prefix``.
    n_components : int, optional
        Components to keep, 1 to the number of features; 50 unless ``variance`` is given.
    variance : float, optional
        Keep the fewest components that hold this share of the variance, in (0, 1].
    standardize : bool
        Divide every feature by its standard deviation before the PCA.
    reduce : bool
        Fit the PCA and write the reduced table; else stop after the features.
    model : str
        Name of a registered model.
    weights : str, optional
        File with the model's weights, instead of the registered ones.
    precision : str
        ``auto``, ``fp32``, ``mixed`` or ``bf16``.
    engine : str
        ``auto``, ``openvino`` or ``onnxruntime``.
    replace_model : bool
        Embed again with this model what the destination holds from another one.
    prune : bool
        Drop the rows of images that are gone from the source.
    relative_paths : bool
        Show paths in the report as below the source; the tables keep them in full.
    keep_pca : bool
        Project what is new by the PCA that the destination holds, instead of fitting one to all.
    pca_from : str, optional
        Another destination, whose fitted PCA is used instead of fitting one; see
        :func:`featuremill.transform`.
    include, exclude : tuple of str
        Globs over paths below the source; an image must match one of ``include`` (if any) and
        none of ``exclude``.
    classes : tuple of str
        Only images whose parent folder has one of these names; all if empty.
    max_rejects : RejectLimit
        Above this the run fails.
    max_bytes, max_pixels : int
        Larger images are rejected.
    image_timeout : float
        Seconds that decoding and embedding one image may take.
    max_worker_deaths : int
        Above this the run stops; see :class:`featuremill.dispatch.Deaths`.
    master : str
        Spark master, used only where a session has to be started.
    endpoint_url, region : str, optional
        For S3 and stores that speak it.

    Raises
    ------
    ConfigError
        If a value is out of its bounds or two contradict each other.
    """

    source: str
    destination: str
    n_components: int | None = None
    variance: float | None = None
    standardize: bool = True
    reduce: bool = True
    model: str = "mobilenetv2"
    weights: str | None = None
    precision: str = "auto"
    engine: str = "auto"
    replace_model: bool = False
    prune: bool = False
    keep_pca: bool = False
    relative_paths: bool = False
    pca_from: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    max_rejects: RejectLimit = RejectLimit(share=0.05)
    max_bytes: int = 100_000_000
    max_pixels: int = 100_000_000
    image_timeout: float = 60.0
    max_worker_deaths: int = 100
    master: str = "local[*]"
    endpoint_url: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        self._check_types()
        self._check_reduction()
        _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--engine", self.engine, ENGINES)
        if self.engine == "onnxruntime" and self.precision in ("mixed", "bf16"):
            raise ConfigError(
                f"--engine onnxruntime computes in fp32 only, but --precision is {self.precision}",
                "Choose --precision fp32 or auto, or --engine openvino.",
            )
        for option, value in (
            ("--max-bytes", self.max_bytes),
            ("--max-pixels", self.max_pixels),
        ):
            if not value > 0:  # NaN is not either
                raise ConfigError(
                    f"{option} is {value}, it must be above 0",
                    f"Leave {option} out to have the default.",
                )
        if not _SECONDS[0] <= self.image_timeout <= _SECONDS[1]:
            raise ConfigError(
                f"--image-timeout is {self.image_timeout}, it must be from"
                f" {_SECONDS[0]:g} to {_SECONDS[1]:,.0f} seconds",
                "The default is 60.",
            )
        if not self.max_worker_deaths >= 0:
            raise ConfigError(
                f"--max-worker-deaths is {self.max_worker_deaths}, it must be at least 0",
                "The default is 100.",
            )
        local = re.fullmatch(r"local(\[(\*|[1-9]\d*)(,[1-9]\d*)?\])?", self.master)
        if local is None and not self.master.startswith(_MASTERS):
            raise ConfigError(
                f"--master is {self.master!r}",
                "Name a master: local[*], local[2], spark://host:7077 or yarn.",
            )
        if self.master.startswith("sc://"):
            raise ConfigError(
                f"--master is {self.master}: Spark Connect is not supported",
                "Name a classic master: local[*], spark://host:7077 or yarn.",
            )

    def _check_types(self) -> None:
        """Take paths and a written limit as they come; refuse what only looks right."""
        for name in ("source", "destination", "weights", "pca_from"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, os.fspath(value))
        if isinstance(self.max_rejects, str):
            object.__setattr__(self, "max_rejects", RejectLimit.parse(self.max_rejects))
        for name in ("include", "exclude", "classes"):
            if isinstance(getattr(self, name), str):
                raise ConfigError(
                    f"{name} is the text {getattr(self, name)!r}", "Give a tuple of texts."
                )
        for name, kind in (("n_components", int), ("variance", (int, float))):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise ConfigError(f"{name} is {value!r}", "Give a number.")

    def _check_reduction(self) -> None:
        if self.n_components is not None and self.variance is not None:
            raise ConfigError(
                f"--components {self.n_components} and --variance {self.variance} were both given",
                "Give one of them.",
            )
        if self.n_components is not None and self.n_components < 1:
            raise ConfigError(
                f"--components is {self.n_components}, it must be at least 1",
                "To stop after the features give --no-reduce.",
            )
        if self.variance is not None and not 0 < self.variance <= 1:
            raise ConfigError(
                f"--variance is {self.variance}, it must be above 0 and at most 1",
                "For 90 % write --variance 0.9.",
            )
        if self.keep_pca:
            self._check_keeping()

    def _check_keeping(self) -> None:
        for option, given in (
            ("--no-reduce", not self.reduce),
            ("--replace-model", self.replace_model),
            ("pca_from", self.pca_from is not None),
        ):
            if given:
                raise ConfigError(
                    f"--keep-pca and {option} were both given, which contradict each other",
                    "Give one of them.",
                )

    def check_components(self, n_features: int) -> None:
        """Compare the components asked for with the features there are.

        Raises
        ------
        ConfigError
            If more components are asked for than the model has features.
        """
        if self.n_components is not None and self.n_components > n_features:
            raise ConfigError(
                f"--components is {self.n_components}, but {self.model} has {n_features} features",
                f"Give a number from 1 to {n_features}.",
            )

    def description(self) -> Mapping[str, Any]:
        """Every option as plain values, for the run's ledger."""
        plain = dataclasses.asdict(self)
        for name in ("source", "destination", "pca_from"):
            # as the tables write paths: a folder's name need not be UTF-8
            plain[name] = plain[name] and names.of_place(plain[name])
        plain["max_rejects"] = str(self.max_rejects)
        return plain


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{option} is {value!r}", f"Choose one of {', '.join(known)}.")
