"""The tables as CSV files, for people and for tools that read nothing else."""

import csv
import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from featuremill._utils.csv_cells import cell, cells
from featuremill.dataset.lock import confirm
from featuremill.dataset.schemas import REJECTED
from featuremill.dataset.tables import features_table, reduced_table
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
        for data_file in table.files():
            for batch in table.read(data_file):
                # (n * k,) to k columns of n
                matrix = batch["features_pca"].flatten().to_numpy().reshape(-1, n_components)
                columns = [pa.array(column) for column in matrix.T]
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


def rejected_rows(
    destination: Store, model_id: str, columns: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """Columns of every rejected row of a model."""
    table = features_table(destination)
    for file in table.files(status=REJECTED):
        for batch in table.read(file, [*columns, "model_id"]):
            for row in batch.to_pylist():
                if row["model_id"] == model_id:
                    yield tuple(row[column] for column in columns)
