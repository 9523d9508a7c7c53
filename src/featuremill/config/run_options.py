"""The options of a run, each once: its name, default, bounds and help text.

The command line, ``featuremill cloud submit``, ``transform``, the record of a run and the
documentation take them from the fields of :class:`RunConfig`.
"""

import dataclasses
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from featuremill._utils import paths
from featuremill.config.option import Bound, Option, RejectLimit, above_zero, at_least, share
from featuremill.errors import ConfigError

PRECISIONS = ("auto", "fp32", "mixed", "bf16")
ENGINES = ("auto", "openvino", "onnxruntime")
DEFAULT_COMPONENTS = 50
DEFAULT_SAMPLE = 1_000

_SECONDS = (0.1, 86_400.0)
_MASTERS = ("spark://", "yarn", "k8s://", "local-cluster[", "sc://")
_FIT = ("run", "estimate")


def _option(default: Any, flag: str, said: str, **how: Any) -> Any:
    return field(default=default, metadata={"option": Option(flag, said, **how)})


@dataclass(frozen=True)
class RunConfig:
    """One run of the main job.

    Parameters
    ----------
    source, destination : str
        A folder or ``s3://bucket/prefix``.
    pca_from : str, optional
        Another destination, whose fitted PCA is used instead of fitting one; see
        :func:`featuremill.transform`.

    Raises
    ------
    ConfigError
        If a value is out of its bounds or two contradict each other.
    """

    source: str
    destination: str
    n_components: int | None = _option(
        None,
        "--components",
        f"Keep this many components.  [default: {DEFAULT_COMPONENTS}]",
        kind=int,
        commands=_FIT,
        metavar="K",
        bound=at_least(1, "To stop after the features give --no-reduce."),
    )
    variance: float | None = _option(
        None,
        "--variance",
        "Keep the fewest components that hold this share of the variance, such as 0.9.",
        kind=float,
        commands=_FIT,
        metavar="V",
        bound=share("For 90 % write --variance 0.9."),
    )
    standardize: bool = _option(
        True,
        "--standardize/--no-standardize",
        "Divide each feature by its standard deviation before the PCA.",
        kind=bool,
        commands=_FIT,
    )
    reduce: bool = _option(
        True, "--no-reduce", "Stop after the features and fit no PCA.", kind=bool, commands=_FIT
    )
    model: str = _option(
        "mobilenetv2",
        "--model",
        "The network: a name that `featuremill models` lists, an ONNX file, or a folder with one.",
        commands=_FIT,
    )
    output: str | None = _option(
        None,
        "--output",
        "Tensor of an ONNX file that is embedded; without it, its pooled output.",
        commands=_FIT,
        metavar="TENSOR",
        not_on_cluster="Leave it out: networks from files are computed on this machine only.",
    )
    pool: str | None = _option(
        None,
        "--pool",
        "How a tensor with a row for each place becomes one row for the image.",
        commands=_FIT,
        choices=("cls", "mean"),
        not_on_cluster="Leave it out: networks from files are computed on this machine only.",
    )
    precision: str = _option(
        "auto",
        "--precision",
        "Arithmetic of the network; auto is the fastest that keeps cosine 0.999 to float32.",
        commands=_FIT,
        choices=PRECISIONS,
    )
    weights: str | None = _option(
        None,
        "--weights",
        "Keras .h5 file with the weights, used instead of mobilenetv2's published ones.",
        metavar="FILE",
        not_on_cluster="Put it into the archive: `featuremill cloud package --weights FILE`.",
    )
    engine: str = _option("auto", "--engine", "Library that computes the network.", choices=ENGINES)
    include: tuple[str, ...] = _option(
        (),
        "--include",
        "Embed only images whose path below SRC matches; may be repeated.",
        metavar="GLOB",
    )
    exclude: tuple[str, ...] = _option(
        (),
        "--exclude",
        "Skip images whose path below SRC matches; may be repeated.",
        metavar="GLOB",
    )
    classes: tuple[str, ...] = _option(
        (),
        "--classes",
        "Embed only images in folders of these names.",
        metavar="A,B",
        separator=",",
    )
    max_rejects: RejectLimit = field(
        default=RejectLimit(share=0.05),
        metadata={
            "option": Option(
                "--max-rejects",
                "Fail the run if more images than this are rejected.",
                metavar="N|P%",
            )
        },
    )
    max_bytes: int = _option(
        100_000_000,
        "--max-bytes",
        "Reject files of more bytes than this.",
        kind=int,
        bound=above_zero("Leave --max-bytes out to have the default."),
    )
    max_pixels: int = _option(
        100_000_000,
        "--max-pixels",
        "Reject images of more pixels than this.",
        kind=int,
        bound=above_zero("Leave --max-pixels out to have the default."),
    )
    image_timeout: float = _option(
        60.0,
        "--image-timeout",
        "Reject an image that takes longer than this to decode and embed.",
        kind=float,
        metavar="SECONDS",
        bound=Bound(
            f"from {_SECONDS[0]:g} to {_SECONDS[1]:,.0f} seconds",
            lambda seconds: _SECONDS[0] <= seconds <= _SECONDS[1],
            "The default is 60.",
        ),
    )
    max_worker_deaths: int = _option(
        100,
        "--max-worker-deaths",
        "Stop the run after more crashed workers than this.",
        kind=int,
        metavar="N",
        bound=at_least(0, "The default is 100."),
    )
    workers: int | None = _option(
        None,
        "--workers",
        "Processes of this machine to work with.  [default: one for each core, or as many as fit"
        " the memory]",
        kind=int,
        metavar="N",
        bound=Bound("at least 1", lambda count: count >= 1, "Leave --workers out for the default."),
        not_on_cluster="Leave it out: the cluster's own Spark is used.",
    )
    master: str | None = _option(
        None,
        "--master",
        "Work on Spark, which needs Java: local[*], local[2], spark://host:7077 or yarn.",
        not_on_cluster="Leave it out: the cluster's own Spark is used.",
    )
    endpoint_url: str | None = _option(
        None,
        "--endpoint-url",
        "Address of a store that speaks S3, if it is not AWS.",
        not_on_cluster="Leave it out: the job reads the stack's bucket.",
    )
    region: str | None = _option(None, "--region", "AWS region, if the profile names none.")
    prune: bool = _option(
        False,
        "--prune",
        "Drop the rows of images that are gone from SRC.",
        kind=bool,
        commands=("run", "transform"),
    )
    keep_pca: bool = _option(
        False,
        "--keep-pca",
        "Project only new images, by the PCA that DEST holds; fit no new one.",
        kind=bool,
        commands=("run",),
    )
    replace_model: bool = _option(
        False,
        "--replace-model",
        "Compute all features again if DEST holds those of another model.",
        kind=bool,
        commands=("run",),
    )
    relative_paths: bool = _option(
        False,
        "--relative-paths",
        "Show paths in the report relative to SRC; the tables keep full paths.",
        kind=bool,
        commands=("run", "transform"),
    )
    pca_from: str | None = None

    def __post_init__(self) -> None:
        self._check_types()
        if self.n_components is not None and self.variance is not None:
            raise ConfigError(
                f"--components {self.n_components} and --variance {self.variance} were both given",
                "Give one of them.",
            )
        for name, option in options():
            if getattr(self, name) is not None:
                option.check(getattr(self, name))
        if self.keep_pca:
            self._check_keeping()
        if self.engine == "onnxruntime" and self.precision in ("mixed", "bf16"):
            raise ConfigError(
                f"--engine onnxruntime computes in fp32 only, but --precision is {self.precision}",
                "Choose --precision fp32 or auto, or --engine openvino.",
            )
        self._check_master()

    def _check_types(self) -> None:
        """Take paths and a written limit as they come; refuse what only looks right."""
        for name in ("source", "destination", "model", "weights", "pca_from"):
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

    def _check_master(self) -> None:
        if self.master is None:
            return
        if self.workers is not None:
            raise ConfigError(
                f"--master {self.master} and --workers {self.workers} were both given",
                "Give one of them: on Spark the master says how many tasks run at once, as in"
                " local[2].",
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
        """Every option as plain values, for the record of the run."""
        plain = dataclasses.asdict(self)
        for name in ("source", "destination", "pca_from"):
            # as the tables write paths: a folder's name need not be UTF-8
            plain[name] = plain[name] and paths.of_place(plain[name])
        plain["max_rejects"] = str(self.max_rejects)
        return plain

    def words(self) -> list[str]:
        """The arguments of ``featuremill run`` that ask for just this run, on a cluster.

        Raises
        ------
        ConfigError
            If an option means something only on this machine.
        """
        words = [self.source, self.destination]
        for name, option in options():
            value = getattr(self, name)
            if value == default_of(name):
                continue
            if option.not_on_cluster:
                raise ConfigError(
                    f"{option.flag} {value} has no meaning on AWS", option.not_on_cluster
                )
            words += option.words(value)
        if self.pca_from is not None:
            raise ConfigError(
                f"--pca-from {self.pca_from} has no meaning on AWS",
                "Fetch the results: `featuremill transform` runs where you are.",
            )
        return words


def options(command: str | None = None) -> Iterator[tuple[str, Option]]:
    """The fields of :class:`RunConfig` that a command takes as options, each with its option.

    Parameters
    ----------
    command : str, optional
        ``run``, ``estimate`` or ``transform``; all options if left out.
    """
    for each in dataclasses.fields(RunConfig):
        option = each.metadata.get("option")
        if option is not None and (command is None or command in option.commands):
            yield each.name, option


def default_of(name: str) -> Any:
    """Default of an option, by its field."""
    return RunConfig.__dataclass_fields__[name].default


def _with_parameters(docstring: str) -> str:
    """A docstring of :class:`RunConfig` with each option's type and help."""
    types = {each.name: each.type for each in dataclasses.fields(RunConfig)}
    described = "".join(
        f"{name} : {inspect.formatannotation(types[name])}\n"
        f"    {'If False: ' if option.flag.startswith('--no-') else ''}{option.help}\n"
        for name, option in options()
    )
    head, raises = docstring.split("\nRaises\n")
    return f"{head.rstrip()}\n{described}\nRaises\n{raises}"


RunConfig.__doc__ = _with_parameters(inspect.cleandoc(RunConfig.__doc__ or ""))
