"""The command line: reads options, calls the library, prints, and turns errors into exit codes.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill import __version__
from featuremill.cloud_cli import cloud
from featuremill.config import (
    DEFAULT_COMPONENTS,
    DEFAULT_SAMPLE,
    ENGINES,
    PRECISIONS,
    RejectLimit,
    RunConfig,
)
from featuremill.errors import FeaturemillError

if TYPE_CHECKING:
    from featuremill.estimation import Estimate
    from featuremill.pipeline import RunResult

INTERRUPTED = 130

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    the run could not be finished
  2    refused before anything was written: an option, the source, the destination
  3    more images were rejected than --max-rejects allows
  130  interrupted
"""


class _Commands(click.Group):
    """Commands whose errors become a message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FeaturemillError as error:
            click.echo(f"error: {error.problem}", err=True)
            if error.remedy:
                click.echo(f"  {error.remedy}", err=True)
            context.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(
                "\ninterrupted. What was committed is kept: the same command goes on from there.",
                err=True,
            )
            context.exit(INTERRUPTED)


def _s3_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that may reach a bucket."""
    command = click.option("--region", help="AWS region, where the profile names none.")(command)
    return click.option("--endpoint-url", help="Address of a store that speaks S3.")(command)


_RUN_OPTIONS = (
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
        "--weights", metavar="FILE", help="Keras .h5 file instead of mobilenetv2's published one."
    ),
    click.option(
        "--precision",
        default="auto",
        show_default=True,
        metavar="|".join(PRECISIONS),
        help="auto: as fast as cosine 0.999 to float32 allows.",
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
    click.option("--master", default="local[*]", show_default=True, help="Spark master."),
)


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that is told what a run should be."""
    command = _s3_options(command)
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


@click.group(
    cls=_Commands,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, package_name="featuremill")
def main() -> None:
    """Turn a bucket of images into features and a PCA.

    \b
    Examples:
      featuremill synth pictures --classes 12 --per-class 50
      featuremill run pictures results --model embedded
      featuremill run s3://fruits/training s3://fruits/results --variance 0.9
    """


@main.command(epilog=_EXIT_CODES)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DEST")
@_run_options
@click.option(
    "--replace-model", is_flag=True, help="Compute anew what DEST holds of another model."
)
@click.pass_obj
def run(spark: Any, /, **options: Any) -> None:
    """Turn the images of SRC into features, a PCA, a CSV matrix and a report at DEST.

    SRC and DEST are folders or s3://bucket/prefix. The name of an image's parent folder is its
    label. A second run embeds only what is new or has changed.

    \b
    Examples:
      featuremill run photos results
      featuremill run photos results --components 256 --precision fp32
      featuremill run photos results --weights mobilenet_v2.h5 --classes Apple,Banana
      featuremill run s3://fruits/training s3://fruits/results --variance 0.9
    """
    from featuremill.console import ConsoleProgress
    from featuremill.pipeline import run as run_pipeline

    with ConsoleProgress() as progress:
        result = run_pipeline(_config(**options), spark=spark, progress=progress)
    _print_result(result)


@main.command(epilog=_EXIT_CODES)
@click.argument("source", metavar="SRC")
@click.option(
    "--sample",
    type=int,
    default=DEFAULT_SAMPLE,
    show_default=True,
    metavar="N",
    help="Images to try it with.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON: counts, seconds, bytes."
)
@_run_options
def estimate(sample: int, as_json: bool, **options: Any) -> None:
    """Predict time, memory and output sizes of a run over SRC on this machine.

    Images drawn evenly from SRC go through the whole job in a temporary folder, of which nothing
    is left. The options are those of the run.

    \b
    Examples:
      featuremill estimate photos
      featuremill estimate photos --sample 4000 --precision fp32 --json
    """
    from featuremill.console import ConsoleProgress
    from featuremill.estimation import estimate as predict

    with ConsoleProgress() as progress:
        predicted = predict(_config(destination="", **options), sample=sample, progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(predicted)))
    else:
        _print_estimate(predicted)


@main.command()
@click.argument("destination", metavar="DEST")
@_s3_options
def report(destination: str, endpoint_url: str | None, region: str | None) -> None:
    """Write the report of DEST's newest run anew.

    \b
    Example:
      featuremill report results
    """
    from featuremill.report.gather import rewrite_report
    from featuremill.storage import open_store

    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    click.echo(rewrite_report(store))


@main.command()
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--classes", type=int, default=12, show_default=True, help="Kinds of fruit.")
@click.option("--per-class", type=int, default=50, show_default=True, help="Pictures of each.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the pictures.")
@click.option("--size", type=int, default=100, show_default=True, help="Width and height.")
@click.option("--varied", is_flag=True, help="Mix sizes and formats (JPEG, PNG, WebP).")
def synth(
    destination: Path, classes: int, per_class: int, seed: int, size: int, varied: bool
) -> None:
    """Draw a labelled set of fruit-like pictures in DEST, one folder for each class.

    The same seed draws the same pictures.

    \b
    Examples:
      featuremill synth pictures
      featuremill synth pictures --classes 131 --per-class 517 --seed 7
      featuremill synth pictures --varied --size 200
    """
    from featuremill.synth import SynthConfig, write

    config = SynthConfig(classes, per_class, seed=seed, size=size, varied=varied)
    with click.progressbar(
        length=classes * per_class, label="drawing", file=sys.stderr, show_pos=True
    ) as bar:
        drawn = write(destination, config, progress=bar.update)
    click.echo(
        f"{drawn.count:,} pictures of {classes:,} classes in {destination}"
        f" ({drawn.bytes / 1e6:.1f} MB, {drawn.count / max(drawn.seconds, 1e-9):,.0f}/s)"
    )


@main.group()
def models() -> None:
    """The networks there are: list them, show one, fetch its weights."""


@models.command("list")
def models_list() -> None:
    """List the networks.

    \b
    Example:
      featuremill models list
    """
    from featuremill.models import registry

    for name in registry.names():
        click.echo(f"{name:24}  {registry.get(name).summary}")


@models.command("show")
@click.argument("name")
def models_show(name: str) -> None:
    """Show one network: its weights, licence, input and preprocessing.

    \b
    Example:
      featuremill models show mobilenetv2
    """
    from featuremill.models import registry

    for fact, value in registry.get(name).description().items():
        click.echo(f"{fact:14}  {value}")


@models.command("fetch")
@click.argument("name", default="mobilenetv2")
def models_fetch(name: str) -> None:
    """Download a network's weights into the cache, if it needs any, and check them.

    \b
    Example:
      featuremill models fetch mobilenetv2
    """
    from featuremill.console import ConsoleProgress
    from featuremill.models import registry
    from featuremill.prepare import download_progress

    weights = registry.get(name).weights
    with ConsoleProgress() as progress:
        network = registry.load(name, progress=download_progress(progress))
    click.echo(f"{network.name} is ready (weights {network.weights_sha256})")
    if not isinstance(weights, registry.Published):
        click.echo(f"nothing to fetch: its weights are {weights.origin}")


main.add_command(cloud)


def _config(classes: str | None, max_rejects: str, **options: Any) -> RunConfig:
    """What was asked for on the command line."""
    return RunConfig(
        classes=tuple(name.strip() for name in (classes or "").split(",") if name.strip()),
        max_rejects=RejectLimit.parse(max_rejects),
        **options,
    )


def _print_result(result: "RunResult") -> None:
    record = result.record
    if record.pca is not None:
        reached = record.pca["components_for_variance"]
        marks = ", ".join(f"{float(share):.0%} with {count}" for share, count in reached.items())
        click.echo(
            f"PCA       {record.pca['n_components']} components hold"
            f" {record.pca['variance_held']:.2%} of the variance ({marks})"
        )
    if record.images_per_second:
        click.echo(f"speed     {record.images_per_second:,.0f} images/s while embedding")
    click.echo(f"ledger    {record.ledger}")
    click.echo(f"report    {result.report}")


def _print_estimate(predicted: "Estimate") -> None:
    seconds, sizes = dict(predicted.seconds), predicted.output_bytes
    click.echo(
        f"source    {predicted.images:,} images in {predicted.classes:,} classes,"
        f" {predicted.image_bytes / 1e6:,.1f} MB, {predicted.skipped:,} entries skipped"
    )
    whole = ", which is all" if predicted.sample == predicted.images else ""
    click.echo(
        f"sample    {predicted.sample:,} images{whole}, {predicted.rejected:,} rejected,"
        f" precision {predicted.precision or 'unknown'}"
    )
    total, listing = seconds.pop("total"), seconds.pop("list")
    stages = " + ".join(f"{name} {spent:,.1f}" for name, spent in seconds.items())
    click.echo(f"time      {total:,.1f} s = {stages}; meanwhile listing {listing:,.1f}")
    click.echo(f"speed     {predicted.images_per_second:,.0f} images/s while embedding")
    click.echo(f"memory    {predicted.peak_bytes / 1e6:,.0f} MB at its peak")
    parts = ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in sizes.items())
    click.echo(f"output    {parts} MB")
    for warning in predicted.warnings:
        click.echo(f"warning   {warning}")
