"""Passwords of notebooks: made here, kept encrypted in Systems Manager, read by the machine.

A standard parameter with AWS's own key costs nothing.
"""

import secrets
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack.project_file import Place

JUPYTERHUB = "jupyterhub"
SERVER = "server"


def parameter(place: Place, what: str) -> str:
    """Name of the parameter that holds a password."""
    return f"/featuremill/{place.stack}/{what}"


def make(aws: Aws, place: Place, what: str) -> None:
    """Make a password and store it; no message ever holds it."""
    name = parameter(place, what)
    aws.step(f"make a password and store it as {name}")
    value = secrets.token_urlsafe(24)
    aws.call("ssm", "put_parameter", Name=name, Type="SecureString", Value=value, Overwrite=True)


def read(aws: Aws, place: Place, what: str) -> str:
    """The password.

    Raises
    ------
    CloudError
        If there is none, or it may not be read.
    """
    asked: dict[str, Any] = {"Name": parameter(place, what), "WithDecryption": True}
    return str(
        aws.call("ssm", "get_parameter", why="read the password", **asked)["Parameter"]["Value"]
    )


def forget(aws: Aws, place: Place, what: str) -> None:
    """Delete a password."""
    name, missing = parameter(place, what), ("ParameterNotFound",)
    aws.step(f"delete the password {name}")
    aws.call("ssm", "delete_parameter", forgives=missing, Name=name)
