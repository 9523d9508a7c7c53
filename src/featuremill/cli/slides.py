"""``slides``: writes a run as a presentation."""

from typing import Any

import click

from featuremill.cli.options import s3_options


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
      featuremill slides s3://fruits/results -o fruits.pptx --language fr --overwrite
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.export.slides import write_slides

    with ConsoleProgress() as progress:
        written = write_slides(progress=progress, **options)
    click.echo(f"written   {written.url} ({written.pages} slides, {written.bytes / 1e6:,.1f} MB)")
