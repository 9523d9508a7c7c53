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
    """Bring the images of SRC onto the components that a run has fitted at DEST.

    They go through DEST's model and its PCA; OUT gets all that a run leaves. What DEST or OUT was
    made to forget is skipped.

    The drift is the distance of their mean features from those that the PCA was fitted to, in units
    of the spread of these, ± what chance makes of so many images; beyond its bound there is a
    warning, and the share of these images' variance that the components capture tells what is lost.

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
