"""``doctor``: checks what a run needs of its surroundings."""

import json
from dataclasses import asdict
from typing import Any

import click

from featuremill.cli.options import s3_options

_WIDTH = 17


@click.command()
@click.argument("source", metavar="[SRC]", required=False)
@click.argument("destination", metavar="[DEST]", required=False)
@click.option(
    "--model", default="mobilenetv2", show_default=True, help="Network whose weights the run needs."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array instead of a table.")
@s3_options
def doctor(as_json: bool, **options: Any) -> None:
    """Check Java, memory, threads, disk, CPU, engines, weights and credentials, and name remedies.

    With SRC and DEST, the command also checks that they can be read and written. It exits with 1 if
    something that a run needs is missing. `featuremill cloud doctor` checks AWS itself.

    \b
    Examples:
      featuremill doctor
      featuremill doctor photos results
      featuremill doctor s3://fruits/training s3://fruits/results
    """
    from featuremill.workflows.doctor import diagnose

    findings = []
    for finding in diagnose(**options):
        findings.append(finding)
        if as_json:
            continue
        click.echo(f"{finding.level:5} {finding.what:{_WIDTH}} {finding.said}")
        if finding.remedy:
            click.echo(f"{'':5} {'':{_WIDTH}} {finding.remedy}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    if any(finding.level == "fail" for finding in findings):
        raise click.exceptions.Exit(1)
