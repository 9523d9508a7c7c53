"""Writes notebooks/featuremill.ipynb and its French twin from notebooks/source.py, and runs them.

    python scripts/notebooks.py --execute

Without --execute only texts may have changed: outputs are kept where the code is the one that made
them, and left out otherwise. WEIGHTS in the environment is the Keras file that the notebooks use.
"""

import hashlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
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
    texts = {cell.name: set[str | None]() for cell in found if cell.language}
    for cell in found:
        if cell.language:
            texts[cell.name].add(cell.language)
    if alone := [name for name, languages in texts.items() if languages != set(NOTEBOOKS)]:
        raise ValueError(f"not in both languages: {', '.join(alone)}")
    return found


def notebook(source: str, language: str) -> NotebookNode:
    """One of the notebooks, without outputs."""
    made = [_made(cell) for cell in cells(source) if cell.language in (None, language)]
    book = nbformat.v4.new_notebook(metadata=dict(_METADATA), cells=made)
    nbformat.validate(book)
    return book


def digest(book: NotebookNode) -> str:
    """SHA-256 of a notebook's code: outputs are of other code where it has changed since."""
    code = (cell.source for cell in book.cells if cell.cell_type == "code")
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def execute(book: NotebookNode) -> None:
    """Run a notebook in an empty folder, and keep what its cells show there."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # the time of day
        if cell.cell_type == "code":
            # what Java says of this machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    book.metadata = _METADATA | {"executed": digest(book)}


def keep_outputs(book: NotebookNode, earlier: NotebookNode) -> None:
    """Take the outputs over from an earlier notebook of the same code."""
    if earlier.metadata.get("executed") != digest(book):
        return
    outputs = {cell.id: cell for cell in earlier.cells if cell.cell_type == "code"}
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    book.metadata = earlier.metadata


def _cells(source: str) -> Iterator[Cell]:
    for part in re.split(r"^(?=# %% )", source, flags=re.MULTILINE)[1:]:
        first, _, text = part.partition("\n")
        header = _HEADER.fullmatch(first)
        if header is None or (header[1] == "markdown" and not header[3]):
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
        book = notebook(SOURCE.read_text("utf-8"), language)
        if "--execute" in sys.argv[1:]:
            execute(book)
        elif path.exists():
            keep_outputs(book, nbformat.read(path, 4))
        path.write_text(nbformat.writes(book, version=4) + "\n", encoding="utf-8")
