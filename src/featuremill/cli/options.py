"""What several commands share: exit codes, options of storage and of a run, lazy groups."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

import click

from featuremill.config import Option, RunConfig, default_of, options

INTERRUPTED = 130
_S3 = ("endpoint_url", "region")

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the run could not be finished
  2    refused before anything was written: an option, the source, the destination
  3    more images were rejected than --max-rejects allows
  130  interrupted
"""


def s3_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--endpoint-url`` and ``--region``, for every command that may reach a bucket."""
    return _with_options(command, [each for each in options() if each[0] in _S3])


def run_options(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """All options of a run that a command takes.

    Parameters
    ----------
    name : str
        ``run``, ``estimate`` or ``transform``.
    """
    return partial(_with_options, chosen=list(options(name)))


def _with_options(
    command: Callable[..., Any], chosen: Sequence[tuple[str, Option]]
) -> Callable[..., Any]:
    for name, option in reversed(chosen):
        command = _click_option(name, option)(command)
    return command


def _click_option(name: str, option: Option) -> Callable[..., Any]:
    default = default_of(name)
    if option.kind is bool:
        both = "/" in option.flag
        value: dict[str, Any] = {} if both else {"flag_value": not default}
        return click.option(
            option.flag, name, default=default, show_default=both, help=option.help, **value
        )
    several = isinstance(default, tuple) and not option.separator
    plain = default if isinstance(default, int | float | str | None) else str(default)
    return click.option(
        option.flag,
        name,
        type=option.kind,
        multiple=several,
        default=None if isinstance(default, tuple) else plain,
        show_default=default is not None and not isinstance(default, tuple),
        metavar="|".join(option.choices) or option.metavar,
        help=option.help,
    )


def run_config(**given: Any) -> RunConfig:
    """The run that the options of a command line ask for."""
    return RunConfig(**parsed(**given))


def parsed(classes: str | None, **given: Any) -> dict[str, Any]:
    """Options of the command line as the library takes them: names of classes one by one."""
    chosen = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    return {"classes": chosen, **given}


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

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command is told the nearest there is."""
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            nearest = get_close_matches(args[0], self._homes, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise click.UsageError(f"{error.message}{hint}", context) from None
