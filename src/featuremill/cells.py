"""Text in cells of CSV files, so that no spreadsheet takes it for a formula, reversibly.

A folder may be named ``=HYPERLINK(…)``, and who opens the CSV in a spreadsheet would have it
computed. As OWASP advises ("CSV Injection"), such a cell begins with an apostrophe; the tables
themselves keep every name as it is.
"""

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

_SUSPECT = "^'*[=+\\-@\\t\\r]"
_FORMULA = re.compile(r"'*(?![+-]?\d+(\.\d+)?$)[=+\-@\t\r]")


def cell(text: str) -> str:
    """A text as a cell.

    >>> cell("=1+1"), cell("-5"), cell("Apple - red")
    ("'=1+1", '-5', 'Apple - red')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def text_of(cell: str) -> str:
    """Inverse of :func:`cell`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def cells(texts: pa.Array) -> pa.Array:
    """A column of texts as cells."""
    return _each(texts, cell)


def texts_of(cells: pa.Array) -> pa.Array:
    """Inverse of :func:`cells`."""
    return _each(cells, text_of)


def _each(column: pa.Array, change: Callable[[str], str]) -> pa.Array:
    # hardly a column has one, and so the test is all that most of them cost
    if not pc.any(pc.match_substring_regex(column, _SUSPECT)).as_py():
        return column
    return pa.array([text and change(text) for text in column.to_pylist()], pa.string())
