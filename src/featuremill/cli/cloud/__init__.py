"""The commands of ``featuremill cloud``; each file adds its own to the group when it is needed."""

from collections.abc import Mapping
from types import MappingProxyType

import click

from featuremill.cli.options import LazyGroup

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "up": "up",
        "deploy": "stack",
        "destroy": "stack",
        "doctor": "stack",
        "upload": "transfer",
        "fetch": "transfer",
        "package": "package",
        "submit": "jobs",
        "status": "jobs",
        "logs": "jobs",
        "stop": "jobs",
        "cluster": "clusters",
        "server": "clusters",
        "notebook": "clusters",
        "estimate": "money",
        "cost": "money",
    }
)
"""Command → module of this package that has a function ``<command>``."""


@click.group(
    cls=LazyGroup, homes={name: f"{__name__}.{module}" for name, module in _COMMANDS.items()}
)
def cloud() -> None:
    """Run on AWS: deploy, submit, see the bill, destroy.

    Every command that changes anything takes --dry-run, which calls nothing and shows what it would
    call.

    \b
    Examples:
      featuremill cloud up photos
      featuremill cloud deploy --email me@example.org
      featuremill cloud submit --wait
      featuremill cloud destroy
    """
