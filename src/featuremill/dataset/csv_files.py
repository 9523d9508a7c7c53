"""The tables as CSV files, for people and for tools that read nothing else."""

import csv
import io

import pyarrow as pa
import pyarrow.csv

from featuremill._utils.csv_cells import cell, cells
from featuremill.dataset.lock import confirm
from featuremill.dataset.reader import matrix, rejected_rows
from featuremill.dataset.tables import reduced_table
from featuremill.storage import Store

MATRIX = "csv/reduced.csv"
REJECTS = "rejects.csv"

_REJECT_COLUMNS = ("path", "label", "stage", "reason", "bytes", "version", "run")


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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_REJECT_COLUMNS)
    for row in rejected_rows(destination, model_id, _REJECT_COLUMNS):
        writer.writerow([cell(value) if isinstance(value, str) else value for value in row])
    confirm(destination)
    destination.write(REJECTS, text.getvalue().encode())
