"""Writes the tables as CSV files, in which no spreadsheet takes a text for a formula.

A folder may be named ``=HYPERLINK(…)``, and who opens the CSV in a spreadsheet would have it
computed. As OWASP advises ("CSV Injection"), such a cell begins with an apostrophe; the tables
themselves keep every name as it is.

Where the decimal sign is a comma, a spreadsheet separates cells by semicolons, and pays no heed to
quotes within one: of ``a;=1+1`` it makes two cells. So a part after such a separator gets an
apostrophe too. Blanks and quotes before the sign are passed over, and the signs that East Asian
keyboards make are signs as well.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from featuremill.dataset.lock import confirm
from featuremill.dataset.reader import matrix, rejected_rows
from featuremill.dataset.tables import reduced_table
from featuremill.storage import Store

MATRIX = "csv/reduced.csv"
REJECTS = "rejects.csv"

_REJECT_COLUMNS = ("path", "label", "stage", "reason", "bytes", "version", "run")

_BEGINS = "(^|[;|\\t\\r\\n])"
_SIGN = "[=+\\-@\uff1d\uff0b\uff0d\uff20\\t\\r]"
_BLANKS = "[\"'\\s\u200b\ufeff]*"
_FORMULA = re.compile(f"{_BEGINS}(?={_BLANKS}{_SIGN})")
_ESCAPED = re.compile(f"{_BEGINS}'(?={_BLANKS}{_SIGN})")
_NUMBER = re.compile(r"'*[+-]?\d+(\.\d+)?", re.ASCII)

# Arrow knows no other blanks than ASCII's: whatever is no letter, digit or slash may be one
_SUSPECT = f"{_BEGINS}[^0-9A-Za-z/]*{_SIGN}"


def write_matrix(destination: Store, n_components: int) -> None:
    """Write ``path, label, pc_1 … pc_k`` of every reduced row, streamed."""
    scores = [f"pc_{number}" for number in range(1, n_components + 1)]
    schema = pa.schema(
        [("path", pa.string()), ("label", pa.string()), *((name, pa.float32()) for name in scores)]
    )
    table = reduced_table(destination)
    with destination.writer(MATRIX) as file, pa.csv.CSVWriter(file, schema) as writer:
        for batch in table.batches(table.files()):
            columns = [pa.array(column) for column in matrix(batch["features_pca"], n_components).T]
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [cells(batch["path"]), cells(batch["label"]), *columns], schema=schema
                )
            )
        confirm(destination)


def write_rejects(destination: Store, model_id: str) -> None:
    """Write every rejected image of a model with stage and reason."""
    text = csv_text(_REJECT_COLUMNS, rejected_rows(destination, model_id, _REJECT_COLUMNS))
    confirm(destination)
    destination.write(REJECTS, text.encode())


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV file with a header; an entry that is None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([cell(value) if isinstance(value, str) else value for value in row])
    return text.getvalue()


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
