"""The command line: reads options, calls the library, prints, and turns errors into exit codes.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from featuremill import __version__
from featuremill._utils.paths import visible
from featuremill.cli.options import EXIT_CODES, INTERRUPTED, LazyGroup
from featuremill.errors import FeaturemillError
from featuremill.workers.environment import give_home
from featuremill.workers.failures import remedy

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "run": "featuremill.cli.run",
        "transform": "featuremill.cli.run",
        "estimate": "featuremill.cli.run",
        "report": "featuremill.cli.run",
        "similar": "featuremill.cli.search",
        "duplicates": "featuremill.cli.search",
        "outliers": "featuremill.cli.search",
        "check": "featuremill.cli.check",
        "forget": "featuremill.cli.forget",
        "export": "featuremill.cli.export",
        "explore": "featuremill.cli.export",
        "slides": "featuremill.cli.export",
        "synth": "featuremill.cli.synth",
        "sample": "featuremill.cli.sample",
        "models": "featuremill.cli.models",
        "doctor": "featuremill.cli.doctor",
        "cloud": "featuremill.cli.cloud",
    }
)
"""Command → module that has it, in the order of the help."""
_KEPT: Mapping[str | None, str] = MappingProxyType(
    {
        "run": " What was committed is kept; run the same command again to resume.",
        "transform": " What was committed is kept; run the same command again to resume.",
        "sample": " What was brought is kept; run the same command again to resume.",
        "forget": " It is unfinished; run the same command again to resume.",
    }
)
"""Command → what stays of it when it is interrupted."""


class _Commands(LazyGroup):
    """Commands whose errors become a message and an exit code."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        _open_what_is_closed()
        give_home()
        return super().main(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FeaturemillError as error:
            click.echo(f"error: {visible(error.problem)}", err=True)
            if error.remedy:
                click.echo(f"  {visible(error.remedy)}", err=True)
            context.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(f"\ninterrupted.{_KEPT.get(context.invoked_subcommand, '')}", err=True)
            context.exit(INTERRUPTED)
        except BaseException as error:
            # a limit on processes stops Python anywhere, and libraries in Rust with a panic
            if isinstance(error, ImportError) or not (to_do := remedy(str(error))):
                raise
            click.echo(f"error: {visible(str(error))}\n  {to_do}", err=True)
            context.exit(FeaturemillError.exit_code)


def _open_what_is_closed() -> None:
    """Give a process without standard input, output or error a null one, as `2>&-` leaves it.

    Else the next file that is opened takes the number, and what is printed goes into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


@click.group(
    cls=_Commands,
    homes=_COMMANDS,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, package_name="featuremill")
def main() -> None:
    """Turn a bucket of images into features and a PCA.

    \b
    Examples:
      featuremill synth pictures --classes 12 --per-class 50
      featuremill run pictures results --model embedded
      featuremill run s3://fruits/training s3://fruits/results --variance 0.9
    """
