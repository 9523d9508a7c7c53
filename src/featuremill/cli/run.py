"""``run``, ``estimate``, ``transform`` and ``report``: the main job and its page."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.options import EXIT_CODES, parsed, run_config, run_options, s3_options
from featuremill.config import DEFAULT_SAMPLE

if TYPE_CHECKING:
    from featuremill.workflows.estimate.measure import Estimate
    from featuremill.workflows.run.pipeline import RunResult


@click.command(epilog=EXIT_CODES)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DEST")
@run_options("run")
@click.pass_obj
def run(spark: Any, /, **options: Any) -> None:
    """Turn the images of SRC into features, a PCA, a CSV matrix and a report at DEST.

    SRC and DEST are folders or s3://bucket/prefix. The name of an image's parent folder is its
    label. Tar and zip files in SRC are read as folders of images. A second run embeds only what is
    new or has changed, and fits the PCA to all.

    \b
    Examples:
      featuremill run photos results
      featuremill run photos results --components 256 --precision fp32
      featuremill run photos results --prune --keep-pca
      featuremill run photos results --weights mobilenet_v2.h5 --classes Apple,Banana
      featuremill run s3://fruits/training s3://fruits/results --variance 0.9
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.workers.opening import opening
    from featuremill.workflows.run import modules_of_tasks

    config = run_config(**options)
    with ConsoleProgress() as progress:
        progress.say(f"reading {config.source}, writing {config.destination}")
        progress.doing("loading the libraries")
        with opening(config, spark, modules_of_tasks(config.engine), progress) as workers:
            # while the workers start
            from featuremill.workflows.run.pipeline import run_with

            result = run_with(workers, config, progress)
    print_result(result)


@click.command(epilog=EXIT_CODES)
@click.argument("source", metavar="SRC")
@click.option(
    "--sample",
    type=int,
    default=DEFAULT_SAMPLE,
    show_default=True,
    metavar="N",
    help="Number of images to measure with.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print counts, seconds and bytes as one line of JSON."
)
@run_options("estimate")
def estimate(sample: int, as_json: bool, **options: Any) -> None:
    """Predict time, memory and output sizes of a run over SRC on this machine.

    Images drawn evenly from SRC go through the whole job in a temporary folder, which is removed
    afterwards. The options are those of the run.

    \b
    Examples:
      featuremill estimate photos
      featuremill estimate photos --sample 4000 --precision fp32 --json
    """
    from featuremill.cli.console import ConsoleProgress

    config = run_config(destination="", **options)
    with ConsoleProgress() as progress:
        progress.say(f"reading {config.source}")
        progress.doing("loading the libraries")
        from featuremill.workflows.estimate.measure import estimate as predict

        predicted = predict(config, sample=sample, progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(predicted)))
    else:
        _print_estimate(predicted)


def print_result(result: "RunResult") -> None:
    """Print what a run, or a transform, found and where its results are."""
    from featuremill._utils.formatting import plural, tenths

    record = result.record
    if record.pca is not None:
        count, reached = record.pca["n_components"], record.pca["components_for_variance"]
        marks = ", ".join(f"{float(share):.0%} with {needed}" for share, needed in reached.items())
        click.echo(
            f"PCA       {plural(count, 'component')} {'holds' if count == 1 else 'hold'}"
            f" {tenths(record.pca['variance_held']):.1f}% of the variance ({marks})"
        )
        if "kept" in record.pca:
            click.echo(
                f"fitted    by run {record.pca['run']} to"
                f" {plural(record.pca['n_samples'], 'image')},"
                f" kept since run {record.pca['kept']['since']}"
            )
    if record.drift is not None:
        click.echo(
            f"drift     {record.drift['shift']:.2f} ± {record.drift['noise']:.2f}"
            f" of {plural(record.drift['rows'], 'image')}, bound {record.drift['bound']:.2f}"
        )
    if record.pruned:
        click.echo(f"pruned    {plural(record.pruned, 'row')}")
    if record.images_per_second:
        click.echo(f"speed     {record.images_per_second:,.0f} images/s while embedding")
    click.echo(f"images    {record.ledger.summary()}")
    click.echo(f"features  {result.destination}/features")
    if record.pca is not None:
        click.echo(f"scores    {result.destination}/reduced, {result.destination}/csv/reduced.csv")
    click.echo(f"report    {result.report}")


def _print_estimate(predicted: "Estimate") -> None:
    from featuremill._utils.formatting import plural

    seconds, sizes = dict(predicted.seconds), predicted.output_bytes
    click.echo(
        f"source    {plural(predicted.images, 'image')} in"
        f" {plural(predicted.classes, 'class', 'classes')},"
        f" {predicted.image_bytes / 1e6:,.1f} MB,"
        f" {plural(predicted.skipped, 'entry', 'entries')} skipped"
    )
    whole = ", which is all" if predicted.sample == predicted.images else ""
    click.echo(
        f"sample    {plural(predicted.sample, 'image')}{whole}, {predicted.rejected:,} rejected,"
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


@click.command(epilog=EXIT_CODES)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DEST")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="Folder or prefix for the results; DEST is only read.",
)
@run_options("transform")
@click.pass_obj
def transform(spark: Any, /, source: str, destination: str, output: str, **options: Any) -> None:
    """Project the images of SRC onto the components that a run has fitted at DEST.

    The images go through DEST's model and its PCA, and OUT gets all that a run leaves. Images that
    DEST or OUT was made to forget are skipped.

    The command prints the drift: how far the images' mean features lie from those that the PCA was
    fitted to, in units of their spread, ± what chance does with so many images. Beyond its bound it
    warns; the share of the images' variance that the components capture tells what is lost.

    \b
    Examples:
      featuremill transform new-photos results -o new-results
      featuremill transform s3://fruits/test s3://fruits/results -o s3://fruits/test-results
    """
    from featuremill.cli.console import ConsoleProgress

    with ConsoleProgress() as progress:
        progress.say(f"reading {source}, writing {output}")
        progress.doing("loading the libraries")
        from featuremill.workflows.transform import transform as run_transform

        result = run_transform(
            source,
            destination,
            output,
            spark=spark,
            progress=progress,
            **parsed(**options),
        )
    print_result(result)


@click.command()
@click.argument("destination", metavar="DEST")
@click.option(
    "--relative-paths", is_flag=True, help="Show paths relative to the source of the run."
)
@s3_options
def report(
    destination: str, relative_paths: bool, endpoint_url: str | None, region: str | None
) -> None:
    """Write the report of DEST's newest run again.

    \b
    Examples:
      featuremill report results
      featuremill report results --relative-paths
    """
    from featuremill.dataset.exclusions import require_finished
    from featuremill.dataset.half_written import held_between_runs
    from featuremill.report.gather import rewrite_report
    from featuremill.storage import open_store

    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    # not in the library's function: a forget that is under way calls it too
    require_finished(store)
    with held_between_runs(store):
        address = rewrite_report(
            store, relative_paths=relative_paths, endpoint_url=endpoint_url, region=region
        )
    click.echo(address)
