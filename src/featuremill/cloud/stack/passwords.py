"""Passwords of notebooks: made here, kept encrypted in Systems Manager, read by the machine.

A standard parameter with AWS's own key costs nothing.
"""

import secrets

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Work
from featuremill.cloud.stack.project_file import Place

JUPYTERHUB = "jupyterhub"
SERVER = "server"


def parameter(place: Place, what: str) -> str:
    """Name of the parameter that holds a password."""
    return f"/featuremill/{place.stack}/{what}"


def make(place: Place, what: str) -> Work:
    """Step that makes a password and stores it; no plan and no message ever holds it."""
    name = parameter(place, what)

    def put(aws: Aws, _answers: Answers) -> None:
        value = secrets.token_urlsafe(24)
        parameters = {"Name": name, "Type": "SecureString", "Value": value, "Overwrite": True}
        aws.call(Call("ssm", "put_parameter", parameters, f"store a password as {name}"))

    return Work(f"make a password and store it as {name}", put, calls=("ssm.put_parameter",))


def read(aws: Aws, place: Place, what: str) -> str:
    """The password.

    Raises
    ------
    CloudError
        If there is none, or it may not be read.
    """
    parameters = {"Name": parameter(place, what), "WithDecryption": True}
    call = Call("ssm", "get_parameter", parameters, "read the password", changes=False)
    return str(aws.call(call)["Parameter"]["Value"])


def forget(place: Place, what: str) -> Call:
    """Step that deletes a password."""
    name = parameter(place, what)
    return Call(
        "ssm",
        "delete_parameter",
        {"Name": name},
        f"delete the password {name}",
        forgives=("ParameterNotFound",),
    )
