"""Writes the tables of modules in CONTRIBUTING.md and docs/architecture.md; a test compares them.

python scripts/module_tables.py

The rooms and their order stand in ``pyproject.toml``; what each module is for is the first line of
its docstring.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "featuremill"
PAGES = {"CONTRIBUTING.md": "rooms", "docs/architecture.md": "modules"}


def rooms() -> list[list[str]]:
    """Every room with its modules and packages, in the order in which they may import."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[list[str]] = settings["tool"]["featuremill"]["rooms"]
    return found


def summary(name: str) -> str:
    """First line of the docstring of a module or package, by its dotted name."""
    path = PACKAGE.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|").rstrip(".")


def table(kind: str) -> str:
    """A table in Markdown: of the ``rooms`` alone, or of all ``modules`` in them."""
    return "\n".join(["| | |", "|---|---|", *(_rows(kind))])


def _rows(kind: str) -> Iterator[str]:
    for room, *inside in rooms():
        folder = (PACKAGE / room).is_dir()
        bold = "**" if kind == "modules" else ""
        yield f"| {bold}`{room}{'/' if folder else '.py'}`{bold} | {summary(room)} |"
        if kind == "modules":
            # what its __init__ says stands in the row of the room
            for name in (each for each in inside if each != "__init__"):
                yield f"| `{room}/{name}` | {summary(f'{room}.{name}')} |"


def written(page: str) -> str:
    """A page with its table as it should be."""
    kind = PAGES[page]
    text = (ROOT / page).read_text(encoding="utf-8")
    mark = rf"(<!-- {kind}: written by scripts/module_tables\.py -->\n).*?(\n<!-- end -->)"
    return re.sub(mark, lambda found: f"{found[1]}{table(kind)}{found[2]}", text, flags=re.DOTALL)


if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(written(page), encoding="utf-8")
