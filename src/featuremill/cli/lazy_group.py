"""A group of commands whose modules are loaded when a command is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Commands that each stand in a module of their own, loaded on demand.

    Parameters
    ----------
    homes : mapping of str to str
        Command → module that has it; the command is the module's attribute of the same name,
        with ``_`` for ``-``.
    """

    def __init__(self, *args: Any, homes: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._homes = homes

    def list_commands(self, _context: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(self._homes)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command, with its module loaded."""
        if name not in self._homes:
            return None
        module: Any = importlib.import_module(self._homes[name])
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command
