"""Writes notebooks/featuremill.ipynb and its French twin from notebooks/source.py.

python scripts/notebooks.py
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
SOURCE = FOLDER / "source.py"
NOTEBOOKS = {"en": FOLDER / "featuremill.ipynb", "fr": FOLDER / "featuremill.fr.ipynb"}

_HEADER = re.compile(r"# %% \[(markdown|code|raw)\] ([a-z0-9-]+)(?: (en|fr))?(?: tags=(\S+))?")
_MAGIC = re.compile(r"^# (?=%[a-z])", re.MULTILINE)
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Cell(NamedTuple):
    """A cell of the source; ``language`` is None where both notebooks have it."""

    kind: str
    name: str
    language: str | None
    tags: tuple[str, ...]
    text: str


def cells(source: str) -> list[Cell]:
    """Parse the source.

    Raises
    ------
    ValueError
        If a header is malformed, a name comes twice, or a text lacks its twin.
    """
    found = list(_cells(source))
    for language in NOTEBOOKS:
        names = [(cell.kind, cell.name) for cell in found if cell.language in (None, language)]
        if len(names) != len(set(names)):
            raise ValueError(f"names come twice: {sorted(names)}")
    texts = {cell.name: set[str | None]() for cell in found if cell.kind == "markdown"}
    for cell in found:
        if cell.kind == "markdown":
            texts[cell.name].add(cell.language)
    if alone := [name for name, languages in texts.items() if languages != set(NOTEBOOKS)]:
        raise ValueError(f"not in both languages: {', '.join(alone)}")
    return found


def notebook(source: str, language: str) -> str:
    """One of the notebooks, as the text of its file."""
    made = [_made(cell) for cell in cells(source) if cell.language in (None, language)]
    book = nbformat.v4.new_notebook(metadata=_METADATA, cells=made)
    nbformat.validate(book)
    text: str = nbformat.writes(book, version=4)
    return text + "\n"


def _cells(source: str) -> Iterator[Cell]:
    for part in re.split(r"^(?=# %% )", source, flags=re.MULTILINE)[1:]:
        first, _, text = part.partition("\n")
        header = _HEADER.fullmatch(first)
        if header is None or (header[1] == "markdown") != bool(header[3]):
            raise ValueError(f"malformed: {first}")
        tags = tuple((header[4] or "").split(",")) if header[4] else ()
        yield Cell(header[1], header[2], header[3], tags, text.strip("\n"))


def _made(cell: Cell) -> NotebookNode:
    # names, not chance, so that a change of one cell changes nothing else in the file
    known = {"id": f"{cell.name}-text" if cell.kind == "markdown" else cell.name}
    if cell.kind == "code":
        metadata = {"tags": list(cell.tags)} if cell.tags else {}
        return nbformat.v4.new_code_cell(_MAGIC.sub("", cell.text), metadata=metadata, **known)
    text = re.sub(r"^# ?", "", cell.text, flags=re.MULTILINE)
    if cell.kind == "raw":
        return nbformat.v4.new_raw_cell(text, **known)
    return nbformat.v4.new_markdown_cell(text, **known)


if __name__ == "__main__":
    for language, path in NOTEBOOKS.items():
        path.write_text(notebook(SOURCE.read_text("utf-8"), language), encoding="utf-8")
