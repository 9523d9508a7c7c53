"""``featuremill cloud cluster``, ``server`` and ``notebook``."""

import os
import shlex
from pathlib import Path

import click

from featuremill.cli.cloud.options import (
    Access,
    changing_aws,
    interrupted,
    machine_options,
    reaching_aws,
    tell,
    was_dry,
)
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.notebooks import access as ways
from featuremill.cloud.notebooks import clusters
from featuremill.cloud.notebooks import server as machines
from featuremill.cloud.stack import passwords
from featuremill.cloud.stack.project_file import Place


@click.group()
def cluster() -> None:
    """Start, list and end EMR clusters for notebooks: Spark, Livy and JupyterHub."""


@cluster.command("up")
@machine_options
@click.option(
    "--notebook",
    "notebooks",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Notebook to copy to the cluster; may be repeated.",
)
@click.option("--key-pair", metavar="NAME", help="EC2 key pair that may sign in by SSH.")
@changing_aws
def cluster_up(
    architecture: str | None,
    size: str,
    min_nodes: int,
    max_nodes: int,
    idle_hours: float,
    notebooks: tuple[Path, ...],
    key_pair: str | None,
    access: Access,
) -> None:
    """Start a cluster with JupyterHub, and wait until it is ready, some ten minutes.

    Three xlarge machines cost about 0.80 USD an hour until `cluster down`, or until they have been
    idle for --idle-hours. Notebooks are kept in the bucket.

    \b
    Examples:
      featuremill cloud cluster up
      featuremill cloud cluster up --notebook fruits.ipynb --idle-hours 1
    """

    def made_of(where: Place) -> Machines:
        return Machines(
            architecture or where.output("Architecture"),
            size,
            (min_nodes, max_nodes),
            idle_hours,
            key_pair=key_pair,
        )

    contents = machines.read_notebooks(notebooks)
    where, aws = access.to_stack(check=made_of)
    with interrupted(
        "A cluster that was started goes on, and costs: `featuremill cloud cluster list` shows it,"
        " `featuremill cloud cluster down` ends it."
    ):
        started = clusters.up(aws, where, made_of(where), contents)
    if not was_dry(aws):
        tell(f"cluster {started} is ready")
        tell("`featuremill cloud notebook` opens it; `featuremill cloud cluster down` ends it")


@cluster.command("down")
@click.argument("identifier", required=False, metavar="[CLUSTER]")
@changing_aws
def cluster_down(identifier: str | None, access: Access) -> None:
    """End the cluster for notebooks, or the one that is named; notebooks stay in the bucket.

    `cluster list` shows jobs' own clusters too; `stop` ends the job with its cluster.

    \b
    Examples:
      featuremill cloud cluster down
      featuremill cloud cluster down j-3H6EATEWWRWS
    """
    where, aws = access.to_stack(holds=True)
    ended = clusters.down(aws, where, identifier)
    if not was_dry(aws):
        tell(f"ended: {', '.join(ended) or 'no cluster was up'}")


@cluster.command("list")
@reaching_aws
def cluster_list(access: Access) -> None:
    """List the stack's clusters that are up, jobs' own ones too.

    \b
    Example:
      featuremill cloud cluster list
    """
    where, aws = access.to_stack()
    found = clusters.standing(aws, where)
    for each in found:
        tell(f"{each.id:16}  {each.state:13}  {each.hours:6.1f} h  {each.name}")
    if not found:
        tell("no cluster is up")


@click.group()
def server() -> None:
    """Start and end one machine with JupyterLab and Spark, the smallest way to work on AWS."""


@server.command("up")
@click.option(
    "--hours",
    type=float,
    default=8.0,
    show_default=True,
    help="Hours after which the machine ends, used or not.",
)
@click.option("--key-pair", metavar="NAME", help="EC2 key pair that may sign in by SSH.")
@changing_aws
def server_up(hours: float, key_pair: str | None, access: Access) -> None:
    """Start a machine of 2 vCPU and 4 GB, with no open port; it is ready in some five minutes.

    It costs about 0.05 USD an hour with its disk and address, until `server down` or --hours
    later. Notebooks are kept in the bucket.

    \b
    Examples:
      featuremill cloud server up
      featuremill cloud server up --hours 2
    """
    machines.check_hours(hours)
    where, aws = access.to_stack()
    with interrupted(
        "A machine that was started goes on, and costs: `featuremill cloud server down` ends it."
    ):
        started = machines.up(aws, where, hours, key_pair)
    if not was_dry(aws):
        tell(f"machine {started['InstanceId']} ({started['InstanceType']}) runs")
        tell(f"it ends itself in {hours:g} hours, and with `featuremill cloud server down`")
        tell("`featuremill cloud notebook` opens it, in some five minutes")


@server.command("down")
@changing_aws
def server_down(access: Access) -> None:
    """End the machine; its disk goes with it, notebooks stay in the bucket.

    \b
    Example:
      featuremill cloud server down
    """
    where, aws = access.to_stack(holds=True)
    ended = machines.down(aws, where)
    if not was_dry(aws):
        tell(f"ended: {ended or 'no machine was up'}")


@click.command()
@click.option("--studio", "kind", flag_value=ways.STUDIO, help="Open EMR Studio.")
@click.option("--cluster", "kind", flag_value=ways.CLUSTER, help="Open the cluster's JupyterHub.")
@click.option("--server", "kind", flag_value=ways.SERVER, help="Open the server's JupyterLab.")
@click.option(
    "--password", is_flag=True, help="Print the password of what would be opened, and open nothing."
)
@click.option(
    "--print",
    "only_print",
    is_flag=True,
    help="Print the command of the tunnel instead of running it.",
)
@click.option(
    "--ssh-key",
    metavar="FILE",
    help="Print the command of a tunnel by SSH with this key; it needs port 22 open.",
)
@reaching_aws
def notebook(
    kind: str | None, password: bool, only_print: bool, ssh_key: str | None, access: Access
) -> None:
    """Open notebooks: in Studio, else on the cluster, else on the server, by a tunnel.

    The tunnel stays until it is interrupted. No port is open to the internet.

    \b
    Examples:
      featuremill cloud notebook
      featuremill cloud notebook --server --password
      featuremill cloud notebook --print
    """
    where, aws = access.to_stack()
    way = ways.find(aws, where, kind)
    if way.kind == ways.STUDIO:
        tell(way.url)
    elif password and way.secret:
        tell(passwords.read(aws, where, way.secret))
    elif ssh_key:
        tell(ways.over_ssh(way, ssh_key))
    elif only_print:
        tell(shlex.join(ways.tunnel(way, where.region, access.profile)))
    else:
        ways.check_tools()
        user = " as jovyan" if way.kind == ways.CLUSTER else ""
        tell(
            f"open {way.url}{user}; `featuremill cloud notebook --password` shows the"
            " password; Ctrl-C ends the tunnel"
        )
        command = ways.tunnel(way, where.region, access.profile)
        os.execvp(command[0], command)
