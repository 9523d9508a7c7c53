"""Checks the Delta tables: their columns, and that the files which their logs name are there."""

from collections.abc import Mapping

import pyarrow as pa

from featuremill.dataset.tables import DataFile, Table
from featuremill.errors import DestinationError
from featuremill.workflows.check.findings import Findings


def check_table(
    table: Table, sizes: Mapping[str, int], findings: Findings, *, alone: bool
) -> list[DataFile] | None:
    """Judge a table's log against the files there.

    Parameters
    ----------
    sizes : mapping
        Name → bytes of every file at the destination.
    alone : bool
        Whether no other Parquet file may lie in the folder, since people read it without the log.

    Returns
    -------
    list of DataFile or None
        The files that its log names.
    """
    from deltalake.exceptions import DeltaError

    name = table.folder
    try:
        if not table.exists():
            raise DestinationError("there is no table")
        table.check()
        files = table.files()
    except (DestinationError, DeltaError, OSError, ValueError, KeyError) as error:
        problem = error.problem if isinstance(error, DestinationError) else str(error)
        note = problem.splitlines()[0] if problem else type(error).__name__
        findings.judge(f"{name}.schema", False, "damaged", note, "a Delta table")
        findings.blocked(f"{name}.files", f"{name}.schema")
        return None
    columns = len(table.schema.names)
    findings.judge(f"{name}.schema", True, columns, "columns", f"{columns}")
    wrong = [_state(table, file, sizes) for file in files]
    wrong += _others(table, files, sizes) if alone else []
    faults = [fault for fault in wrong if fault]
    what = "files of the log that are missing or of another size" + (
        ", and files beside them" if alone else ""
    )
    findings.none_of(f"{name}.files", len(faults), what, *faults[:1])
    return files


def same_columns(found: pa.Schema, expected: pa.Schema) -> bool:
    """Whether a file has the names and types that it should, whatever its lists call an element."""

    def plain(schema: pa.Schema) -> list[tuple[str, str]]:
        return [(field.name, str(field.type).replace("element:", "item:")) for field in schema]

    return plain(found) == plain(expected)


def _state(table: Table, file: DataFile, sizes: Mapping[str, int]) -> str:
    name = f"{table.folder}/{file.name}"
    found = sizes.get(name)
    if found is None:
        return f"{name}, which is missing"
    return "" if found == file.size else f"{name} of {found:,} bytes, not {file.size:,}"


def _others(table: Table, files: list[DataFile], sizes: Mapping[str, int]) -> list[str]:
    known = {f"{table.folder}/{file.name}" for file in files}
    log = f"{table.folder}/_delta_log/"
    return [
        f"{name}, which the log does not name"
        for name in sizes
        if name.startswith(f"{table.folder}/") and not name.startswith(log) and name not in known
        if not name.rpartition("/")[2].startswith(".")
    ]
