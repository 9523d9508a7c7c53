"""Writes docs/cli.md from the command line's own help; a test compares the two.

python scripts/help_pages.py
"""

from collections.abc import Iterator
from pathlib import Path

import click

from featuremill.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"


def help_pages() -> str:
    """All help pages as one Markdown document."""
    parts = ["# Command line\n\nWritten by `scripts/help_pages.py`; every page is `--help`.\n"]
    for context in _contexts(main, "featuremill", None):
        page = context.command.get_help(context).rstrip()
        parts.append(f"## {context.command_path}\n\n```text\n{page}\n```\n")
    return "\n".join(parts)


def _contexts(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[click.Context]:
    settings = {**command.context_settings, "terminal_width": 100}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _contexts(below, name, context)


if __name__ == "__main__":
    PAGE.write_text(help_pages(), encoding="utf-8")
