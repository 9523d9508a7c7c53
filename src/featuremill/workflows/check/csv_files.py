"""Checks the CSV files against the tables that they were written from."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from featuremill.dataset.csv_files import MATRIX, REJECTS, text_of, texts_of
from featuremill.workflows.check.findings import Findings
from featuremill.workflows.check.run import Held
from featuremill.workflows.check.scan import Columns, Digests, digests, row_digests

NAMES = ("csv.header", "csv.rows", "csv.values")

_BLOCK: Final = 4 << 20


def check_matrix(held: Held, reduced: Digests, k: int, findings: Findings) -> None:
    """Judge the CSV matrix by the rows of the reduced table."""
    if MATRIX not in held.sizes:
        findings.judge("csv.header", False, MATRIX, "is missing", "there")
        findings.blocked(NAMES[1:], "csv.header")
        return
    expected = ["path", "label", *(f"pc_{number}" for number in range(1, k + 1))]
    with held.store.open(MATRIX) as file:
        found = next(csv.reader([file.readline().decode(errors="replace")]), [])
    shown = ", ".join([*found[:3], *(["…"] if len(found) > 3 else [])])
    note, bound = f"are {len(found):,} columns", f"path, label and pc_1 to pc_{k}"
    if not findings.judge("csv.header", found == expected, shown, note, bound):
        findings.blocked(NAMES[1:], "csv.header")
        return
    rows, damage = _scan(held, expected)
    whole = len(rows) == len(reduced) and not damage
    note = f"rows, then: {damage}" if damage else "rows"
    findings.judge("csv.rows", whole, len(rows), note, f"{len(reduced):,}, as in the reduced table")
    strange = int((~np.isin(rows, reduced)).sum())
    findings.none_of(
        "csv.values", strange, "rows that are not in the reduced table to the last bit"
    )


def check_rejects(held: Held, rejected: Digests, findings: Findings) -> None:
    """Judge the list of rejected images by the rows of the features table."""
    try:
        text = held.store.read(REJECTS).decode()
        paths = [text_of(row["path"]) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except FileNotFoundError:
        findings.judge("rejects.csv", False, REJECTS, "is missing", "there")
        return
    except (ValueError, KeyError, csv.Error) as error:
        findings.judge("rejects.csv", False, REJECTS, f"is damaged: {error!r}", "a CSV file")
        return
    same = np.array_equal(np.sort(digests(pa.array(paths, pa.string()))), np.sort(rejected))
    note = "rows" if same else "rows, of other images than the features table rejects"
    findings.judge("rejects.csv", same, len(paths), note, f"{len(rejected):,}, as in the table")


def _scan(held: Held, columns: list[str]) -> tuple[Digests, str]:
    """Digests of the rows, and why reading them ended early, or nothing."""
    scores = columns[2:]
    rows = Columns()
    with held.store.open(MATRIX) as file:
        file.readline()
        try:
            for table in _tables(file, columns):
                for at, name in enumerate(("path", "label")):
                    table = table.set_column(at, name, texts_of(table[name]))
                rows.add(row_digests(table, np.column_stack([table[name] for name in scores])))
        except pa.ArrowException as error:
            return rows.digests(), str(error).splitlines()[0]
    return rows.digests(), ""


def _tables(file: BinaryIO, columns: list[str]) -> Iterator[pa.Table]:
    """Rows of a CSV file after its header, some megabytes at a time.

    Arrow's CSV readers read ahead in a thread of their own, also with ``use_threads=False``. Given
    a Python file, they may let go of it only while Python ends, and then abort the process with
    exit code 134. So lines are read here, and Arrow gets them in memory of its own.
    """
    types = dict.fromkeys(columns, pa.float32()) | dict.fromkeys(columns[:2], pa.string())
    read = pa.csv.ReadOptions(use_threads=False, column_names=columns, block_size=2 * _BLOCK)
    convert = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    while lines := file.readlines(_BLOCK):
        memory = pa.BufferOutputStream()
        memory.write(b"".join(lines))
        yield pa.csv.read_csv(
            pa.BufferReader(memory.getvalue()), read_options=read, convert_options=convert
        )
