"""What several commands share: exit codes, options of storage and of a run."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from featuremill.config import DEFAULT_COMPONENTS, ENGINES, PRECISIONS, RejectLimit, RunConfig

INTERRUPTED = 130

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the run could not be finished
  2    refused before anything was written: an option, the source, the destination
  3    more images were rejected than --max-rejects allows
  130  interrupted
"""


def s3_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--endpoint-url`` and ``--region``, for every command that may reach a bucket."""
    command = click.option("--region", help="AWS region, where the profile names none.")(command)
    return click.option("--endpoint-url", help="Address of a store that speaks S3.")(command)


_FIT_OPTIONS = (
    click.option(
        "--components",
        "n_components",
        type=int,
        metavar="K",
        help=f"Components to keep.  [default: {DEFAULT_COMPONENTS}]",
    ),
    click.option(
        "--variance",
        type=float,
        metavar="V",
        help="Instead: the fewest components that hold this share of the variance.",
    ),
    click.option(
        "--standardize/--no-standardize",
        default=True,
        show_default=True,
        help="Divide each feature by its standard deviation.",
    ),
    click.option(
        "--no-reduce",
        "reduce",
        flag_value=False,
        default=True,
        help="Stop after the features: no PCA.",
    ),
    click.option(
        "--model", default="mobilenetv2", show_default=True, help="See `featuremill models`."
    ),
    click.option(
        "--precision",
        default="auto",
        show_default=True,
        metavar="|".join(PRECISIONS),
        help="auto: as fast as cosine 0.999 to float32 allows.",
    ),
)

_IMAGE_OPTIONS = (
    click.option(
        "--weights", metavar="FILE", help="Keras .h5 file instead of mobilenetv2's published one."
    ),
    click.option(
        "--engine",
        default="auto",
        show_default=True,
        metavar="|".join(ENGINES),
        help="What computes the network.",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Only paths below SRC that match; may be repeated.",
    ),
    click.option(
        "--exclude", multiple=True, metavar="GLOB", help="No paths that match; may be repeated."
    ),
    click.option("--classes", metavar="A,B", help="Only images in folders of these names."),
    click.option(
        "--max-rejects",
        default="5%",
        show_default=True,
        metavar="N|P%",
        help="Fail above so many rejected images.",
    ),
    click.option(
        "--max-bytes", type=int, default=100_000_000, show_default=True, help="Reject larger files."
    ),
    click.option(
        "--max-pixels",
        type=int,
        default=100_000_000,
        show_default=True,
        help="Reject larger pictures.",
    ),
    click.option(
        "--image-timeout",
        type=float,
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="Reject images that take longer to decode.",
    ),
    click.option(
        "--max-worker-deaths",
        type=int,
        default=100,
        show_default=True,
        metavar="N",
        help="Stop after so many crashes; the images become rejects until then.",
    ),
    click.option(
        "--master",
        default="local[*]",
        show_default=True,
        help="Spark master; local[*] is a task for each core, or as many as fit the memory.",
    ),
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that is told what a run should be."""
    return _with_options(image_options(command), _FIT_OPTIONS)


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of them that say which images are embedded and how, not what is fitted to them."""
    return _with_options(s3_options(command), _IMAGE_OPTIONS)


def _with_options(
    command: Callable[..., Any], options: Sequence[Callable[..., Any]]
) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def run_config(**options: Any) -> RunConfig:
    """What was asked for on the command line."""
    return RunConfig(**parsed(**options))


def parsed(classes: str | None, max_rejects: str, **options: Any) -> dict[str, Any]:
    """Options of the command line as :class:`RunConfig` takes them."""
    chosen = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    return {"classes": chosen, "max_rejects": RejectLimit.parse(max_rejects), **options}
