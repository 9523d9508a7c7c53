"""Exports one wide Parquet file: a column for each number, as data frames have them."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featuremill._utils.progress import Progress
from featuremill.dataset.reader import Matrix
from featuremill.export.output import Output
from featuremill.export.results import Results

IS_FILE = True
NAMES = ()

_TEXTS = ("path", "label")
_SIZES = ("width", "height")

_ROWS_PER_GROUP = 8_192
"""The footer describes every column of every group, 1300 of them: few groups keep it small."""


def write(results: Results, output: Output, progress: Progress) -> Mapping[str, str]:
    """Write ``path, label, width, height, pc_1 … pc_k, feature_1 … feature_d``.

    Numbers are float32 and stored as they are, since they do not pack; the ``pc`` columns are
    missing without a PCA.
    """
    n = results.survey().rows
    k = results.pca.n_components_ if results.pca is not None else 0
    numbers = [
        *(f"pc_{number}" for number in range(1, k + 1)),
        *(f"feature_{number}" for number in range(1, results.n_features + 1)),
    ]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in _TEXTS),
            *((name, pa.int32()) for name in _SIZES),
            *((name, pa.float32()) for name in numbers),
        ]
    )
    done = 0
    with (
        output.writer(output.file or "") as file,
        pq.ParquetWriter(
            file,
            schema,
            compression={**dict.fromkeys(numbers, "none"), **dict.fromkeys(_TEXTS, "zstd")},
            use_dictionary=["label"],
            write_statistics=[*_TEXTS, *_SIZES],
        ) as writer,
    ):
        for rows in results.rows(_ROWS_PER_GROUP):
            columns = [rows.path, rows.label, rows.width, rows.height]
            if rows.scores is not None:
                columns += _columns(rows.scores)
            columns += _columns(rows.features)
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            done += len(rows.path)
            progress.advance(done, n)
    scores = f"pc_1 … pc_{k}, " if k else ""
    return {
        "rows": f"{n:,}",
        "columns": f"path, label, width, height, {scores}feature_1 … {numbers[-1]}",
    }


def _columns(matrix: Matrix) -> list[pa.Array]:
    # (n, columns) -> columns of n, each in one piece
    return [pa.array(column) for column in np.ascontiguousarray(matrix.T)]
