"""``featuremill cloud package``."""

import time
from pathlib import Path

import click

from featuremill.cli.cloud.options import (
    Access,
    changing_aws,
    tell,
    was_dry,
)
from featuremill.cloud.aws.regions import DEFAULT_REGION
from featuremill.cloud.packaging.architecture import NAMES, get
from featuremill.cloud.packaging.archive import Recipe
from featuremill.cloud.packaging.package import (
    Packaged,
    archive_address,
    entry_address,
    package_here,
)
from featuremill.cloud.packaging.package import package as have
from featuremill.cloud.stack.project_file import Place

_MB = 1e6
_LARGEST = 10


@click.command()
@click.option(
    "--architecture",
    type=click.Choice(NAMES),
    help="Processor architecture of the machines that unpack the archive."
    f"  [default: the stack's; with --output {NAMES[0]}]",
)
@click.option(
    "--model",
    default="mobilenetv2",
    show_default=True,
    help="Model whose weights go into the archive; `featuremill models` lists them.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keras .h5 file of weights that goes in instead of the published one.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to leave the archive in instead of sending it; this needs no stack.",
)
@changing_aws
def package(
    architecture: str | None, model: str, weights: Path | None, output: Path | None, access: Access
) -> None:
    """Build the archive for the cluster, and put it into the stack's bucket.

    It holds all packages for Linux and Python 3.11, featuremill as it is installed here, and the
    model's weights, so that the cluster needs no internet. Packages are fetched by pip; no Docker
    is needed, on any system. An archive with the same contents is not built or sent again.

    \b
    Examples:
      featuremill cloud package
      featuremill cloud package --architecture arm64 --dry-run
      featuremill cloud package --weights mobilenet_v2.h5
      featuremill cloud package --output dist
    """
    started = time.monotonic()
    if output is not None:
        recipe = _recipe(architecture or NAMES[0], model, weights)
        aws = access.to_region(DEFAULT_REGION)
        done = package_here(aws, recipe, output)
        where = (str(output / recipe.archive), str(output / recipe.entry))
    else:

        def asked(place: Place) -> Recipe:
            return _recipe(architecture or place.output("Architecture"), model, weights)

        place, aws = access.to_stack(check=asked)
        recipe, bucket = asked(place), place.output("Bucket")
        done = have(aws, recipe, bucket)
        where = (archive_address(recipe, bucket), entry_address(recipe, bucket))
    if not was_dry(aws):
        _print(done, where, time.monotonic() - started)


def _recipe(architecture: str, model: str, weights: Path | None) -> Recipe:
    recipe = Recipe(get(architecture), model, weights)
    recipe.check()
    return recipe


def _print(done: Packaged, where: tuple[str, str], seconds: float) -> None:
    tell(f"archive   {where[0]}")
    tell(f"entry     {where[1]}")
    built = done.built
    if built is None:
        tell("size      as it was: the bucket had this very archive")
        return
    tell(
        f"size      {built.archive.stat().st_size / _MB:,.1f} MB, unpacked"
        f" {built.unpacked / _MB:,.1f} MB in {built.files:,} files; {seconds:,.0f} s"
    )
    largest = sorted(built.sizes.items(), key=lambda each: -each[1])[:_LARGEST]
    listed = ", ".join(f"{name} {size / _MB:,.1f}" for name, size in largest)
    tell(f"largest   {listed} MB")
