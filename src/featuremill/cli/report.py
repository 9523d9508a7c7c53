"""``report``: the page of a run, written anew."""

import click

from featuremill.cli.options import s3_options


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
