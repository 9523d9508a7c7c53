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
    for path, command in _commands("featuremill", main):
        context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
        parts.append(f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands(f"{path} {name}", command.commands[name])


if __name__ == "__main__":
    PAGE.write_text(help_pages(), encoding="utf-8")
