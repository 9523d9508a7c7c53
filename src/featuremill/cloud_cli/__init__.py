"""The commands of ``featuremill cloud``; each file adds its own to the group when it is needed."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "up": "everything",
        "deploy": "stack",
        "destroy": "stack",
        "doctor": "stack",
        "upload": "data",
        "fetch": "data",
        "package": "archive",
        "submit": "jobs",
        "status": "jobs",
        "logs": "jobs",
        "cluster": "clusters",
        "server": "clusters",
        "notebook": "clusters",
        "estimate": "money",
        "cost": "money",
    }
)
"""Command → module of this package that has a function ``<command>``."""


class _Lazy(click.Group):
    """Loads a command's module when it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module: Any = importlib.import_module(f"{__name__}.{_COMMANDS[name]}")
        command: click.Command = getattr(module, name)
        return command


@click.group(cls=_Lazy)
def cloud() -> None:
    """On AWS: deploy, run, see the bill, destroy.

    Every command that changes anything takes --dry-run, which shows each call and makes none.

    \b
    Examples:
      featuremill cloud up photos
      featuremill cloud deploy --email me@example.org
      featuremill cloud submit --wait
      featuremill cloud destroy
    """
