"""Text in cells of CSV files, so that no spreadsheet takes it for a formula, reversibly.

A folder may be named ``=HYPERLINK(…)``, and who opens the CSV in a spreadsheet would have it
computed. As OWASP advises ("CSV Injection"), such a cell begins with an apostrophe; the tables
themselves keep every name as it is.

Where the decimal sign is a comma, a spreadsheet separates cells by semicolons, and pays no heed to
quotes within one: of ``a;=1+1`` it makes two cells. So a part after such a separator gets an
apostrophe too. Blanks and quotes before the sign are passed over, and the signs that East Asian
keyboards make are signs as well.
"""

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

_BEGINS = "(^|[;|\\t\\r\\n])"
_SIGN = "[=+\\-@\uff1d\uff0b\uff0d\uff20\\t\\r]"
_BLANKS = "[\"'\\s\u200b\ufeff]*"
_FORMULA = re.compile(f"{_BEGINS}(?={_BLANKS}{_SIGN})")
_ESCAPED = re.compile(f"{_BEGINS}'(?={_BLANKS}{_SIGN})")
_NUMBER = re.compile(r"'*[+-]?\d+(\.\d+)?", re.ASCII)

# Arrow knows no other blanks than ASCII's: whatever is no letter, digit or slash may be one
_SUSPECT = f"{_BEGINS}[^0-9A-Za-z/]*{_SIGN}"


def cell(text: str) -> str:
    """A text as a cell.

    >>> cell("=1+1"), cell("-5"), cell("Apple - red"), cell("a;=1+1")
    ("'=1+1", '-5', 'Apple - red', "a;'=1+1")
    """
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)


def text_of(cell: str) -> str:
    """Inverse of :func:`cell`."""
    return cell if _NUMBER.fullmatch(cell) else _ESCAPED.sub(r"\1", cell)


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
