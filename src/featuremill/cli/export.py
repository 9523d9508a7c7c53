"""``export``, ``explore`` and ``slides``: hand results to other tools, and present them."""

import tempfile
from pathlib import Path
from typing import Any

import click

from featuremill.cli.options import s3_options
from featuremill.export.forms import FORMS


@click.command()
@click.argument("destination", metavar="DEST")
@click.option(
    "--to",
    required=True,
    metavar="|".join(FORMS),
    help="Form to write; the forms are listed above.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="File (onnx, pandas) or folder (other forms) to write, local or s3://, outside DEST.",
)
@click.option("--overwrite", is_flag=True, help="Replace files of the same names at OUT.")
@click.option(
    "--weights", metavar="FILE", help="Keras file of the run, for onnx, if it has been moved."
)
@s3_options
def export(**options: Any) -> None:
    """Write what DEST holds in a form that other tools read.

    \b
    onnx         one model from RGB pixels to features and PCA scores, for ONNX Runtime
                 on phones and servers; compared with this library before it is written
    numpy        features.npy, features_pca.npy, paths.npy, labels.npy
    pandas       one wide Parquet file: path, label, pc_1 ..., feature_1 ...
    huggingface  a data set: Parquet files with the columns' types, and a card
    projector    tensors.tsv, metadata.tsv and their configuration, for TensorBoard

    \b
    Examples:
      featuremill export results --to onnx -o fruit.onnx
      featuremill export results --to numpy -o arrays
      featuremill export s3://fruits/results --to pandas -o fruit.parquet --overwrite
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.export import export as write

    with ConsoleProgress() as progress:
        exported = write(progress=progress, **options)
    for topic, fact in exported.facts.items():
        click.echo(f"{topic:9} {fact}")
    count, size = len(exported.files), sum(exported.files.values())
    files = f"{count} files, " if count > 1 else ""
    click.echo(f"written   {exported.url} ({files}{size / 1e6:,.1f} MB)")


@click.command()
@click.argument("destination", metavar="DEST")
@s3_options
def explore(**options: Any) -> None:
    """Show the images of DEST in the browser, in Apple's Embedding Atlas.

    Each image is a point at its first two components, with its thumbnail where SRC can still be
    read. Atlas, which the extra 'explore' installs, prints the address of its page and runs until
    Ctrl-C.

    \b
    Example:
      featuremill explore results
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.export.explore import prepare, serve

    with tempfile.TemporaryDirectory(prefix="featuremill-") as folder:
        with ConsoleProgress() as progress:
            command = prepare(folder=Path(folder), progress=progress, **options)
        serve(command)


@click.command()
@click.argument("destination", metavar="DEST")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="Presentation (.pptx) to write, local or s3://.",
)
@click.option(
    "--language",
    default="en",
    show_default=True,
    metavar="en|fr",
    help="Language of all texts and notes.",
)
@click.option("--title", default="", metavar="TEXT", help="Title of the first slide.")
@click.option("--author", default="", metavar="NAME", help="Who presents, on the first slide.")
@click.option(
    "--context", default="", metavar="TEXT", help="Situation and problem, on the second slide."
)
@click.option("--overwrite", is_flag=True, help="Replace a file of the same name.")
@s3_options
def slides(**options: Any) -> None:
    """Write a presentation of DEST's newest run, with notes for the speaker.

    It shows how the run works, what came out, what it costs on AWS, what holds for personal data,
    and the next steps. Shapes and charts are native, so PowerPoint, Keynote and LibreOffice edit
    them. Figures are the run's own; prices are those of the region, where it is in the EU, with
    their dates and sources.

    The command needs the extra 'slides' (python-pptx).

    \b
    Examples:
      featuremill slides results -o deck.pptx
      featuremill slides results -o deck.pptx --title "Fruits!" --author "A. Martin"
      featuremill slides s3://fruits/results -o fruits.pptx --language fr --overwrite
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.export.slides import write_slides

    with ConsoleProgress() as progress:
        written = write_slides(progress=progress, **options)
    click.echo(f"written   {written.url} ({written.pages} slides, {written.bytes / 1e6:,.1f} MB)")
