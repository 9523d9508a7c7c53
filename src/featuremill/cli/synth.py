"""``synth``: draws pictures to try everything with."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option(
    "--classes", type=int, default=12, show_default=True, help="Number of kinds of fruit."
)
@click.option(
    "--per-class", type=int, default=50, show_default=True, help="Number of pictures of each kind."
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Number that decides which pictures are drawn.",
)
@click.option(
    "--size", type=int, default=100, show_default=True, help="Width and height in pixels."
)
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
    from featuremill.images.synth import SynthConfig, write

    config = SynthConfig(classes, per_class, seed=seed, size=size, varied=varied)
    with click.progressbar(
        length=classes * per_class, label="drawing", file=sys.stderr, show_pos=True
    ) as bar:
        drawn = write(destination, config, progress=bar.update)
    click.echo(
        f"{drawn.count:,} pictures of {classes:,} classes in {destination}"
        f" ({drawn.bytes / 1e6:.1f} MB, {drawn.count / max(drawn.seconds, 1e-9):,.0f}/s)"
    )
