"""``report``: the page of a run, written anew."""

import click

from featuremill.cli.options import s3_options


@click.command()
@click.argument("destination", metavar="DEST")
@s3_options
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
