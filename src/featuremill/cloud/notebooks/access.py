"""The way in to notebooks: Studio's address, or a tunnel through Systems Manager.

Only real AWS shows that a tunnel opens: unverified here.
"""

import json
import shlex
import shutil
from dataclasses import dataclass
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.notebooks import clusters, server
from featuremill.cloud.stack import passwords
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

STUDIO, CLUSTER, SERVER = "studio", "cluster", "server"

_PLUGIN = (
    "Install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html; or give --ssh-key FILE."
)


@dataclass(frozen=True)
class Way:
    """A way in.

    Parameters
    ----------
    kind : str
        ``studio``, ``cluster`` or ``server``.
    url : str
        To open in a browser.
    instance, public_name : str
        Machine at the tunnel's other end; empty for Studio.
    port : int
        Its port, and ours.
    login : str
        Of the machine, for SSH.
    """

    kind: str
    url: str
    instance: str = ""
    public_name: str = ""
    port: int = 0
    login: str = ""

    @property
    def secret(self) -> str | None:
        """Which password opens it."""
        return {CLUSTER: passwords.JUPYTERHUB, SERVER: passwords.SERVER}.get(self.kind)


def find(aws: Aws, place: Place, kind: str | None = None) -> Way:
    """The way in that is there: what is asked for, else Studio, a cluster, a server.

    Raises
    ------
    CloudError
        If there is none.
    """
    if kind in (None, STUDIO) and place.outputs.get("StudioUrl"):
        return Way(STUDIO, place.outputs["StudioUrl"])
    if kind in (None, CLUSTER) and (up := clusters.for_notebooks(aws, place)):
        return _to_primary(aws, up.id)
    if kind in (None, SERVER) and (machine := server.standing(aws, place)):
        url = "http://localhost:8888/lab"
        return Way(SERVER, url, machine.id, machine.public_name, 8888, "ec2-user")
    raise CloudError(
        f"stack {place.stack} has no {kind or 'Studio, no cluster and no server'} to open",
        "Start one: `featuremill cloud server up` (one machine) or `featuremill cloud cluster up`;"
        " Studio comes with `featuremill cloud deploy --studio`.",
    )


def _to_primary(aws: Aws, cluster: str) -> Way:
    asked: dict[str, Any] = {"ClusterId": cluster, "InstanceFleetType": "MASTER"}
    why = f"look for the primary of {cluster}"
    running = aws.call("emr", "list_instances", why=why, **asked, InstanceStates=["RUNNING"])[
        "Instances"
    ]
    if not running:
        raise CloudError(
            f"the primary machine of cluster {cluster} does not run yet",
            "It starts in some ten minutes: repeat the command then.",
        )
    primary = running[0]
    return Way(
        CLUSTER,
        "https://localhost:9443",
        primary["Ec2InstanceId"],
        primary.get("PublicDnsName", ""),
        9443,
        "hadoop",
    )


def tunnel(way: Way, region: str, profile: str | None = None) -> list[str]:
    """Command that opens the tunnel and keeps it until it is interrupted."""
    parameters = {"portNumber": [str(way.port)], "localPortNumber": [str(way.port)]}
    command = ["aws", "ssm", "start-session", "--target", way.instance]
    command += ["--document-name", "AWS-StartPortForwardingSession"]
    command += ["--parameters", json.dumps(parameters), "--region", region]
    return command + (["--profile", profile] if profile else [])


def check_tools() -> None:
    """Refuse to open a tunnel without the programs for it.

    Raises
    ------
    CloudError
        If the AWS command line or its session-manager-plugin is not installed.
    """
    if shutil.which("aws") is None:
        raise CloudError(
            "the AWS command line is not installed",
            "Install it: https://docs.aws.amazon.com/cli/latest/userguide/"
            "getting-started-install.html",
        )
    if shutil.which("session-manager-plugin") is None:
        raise CloudError("session-manager-plugin is not installed", _PLUGIN)


def over_ssh(way: Way, key: str) -> str:
    """The command that does the same over SSH, for people to run.

    It needs a key pair on the machine and port 22 open for their address, which the stack has
    neither of.
    """
    forward = f"{way.port}:localhost:{way.port}"
    words = ["ssh", "-i", key, "-N", "-L", forward, f"{way.login}@{way.public_name}"]
    return shlex.join(words)
