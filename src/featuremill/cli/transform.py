"""``transform``: other images through a PCA that is fitted already."""

from typing import Any

import click

from featuremill.cli.options import EXIT_CODES, parsed, run_options
from featuremill.cli.run import print_result


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
    from featuremill.workflows.transform import transform as run_transform

    with ConsoleProgress() as progress:
        result = run_transform(
            source,
            destination,
            output,
            spark=spark,
            progress=progress,
            **parsed(**options),
        )
    print_result(result)
