"""scikit-learn's StandardScaler and PCA, or IncrementalPCA, from Parquet to Parquet.

PCA has all rows in memory, in float64. IncrementalPCA reads the files three times (to scale, to
fit, to project) in batches of its own default size, five times the number of features.
"""

import argparse
import json
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.preprocessing import StandardScaler

SCHEMA = pa.schema(
    [("path", pa.string()), ("label", pa.string()), ("features_pca", pa.list_(pa.float32()))]
)


def main() -> None:
    """Fit and project once and print how long that took."""
    options = _options()
    features = ds.dataset(options.features, format="parquet")
    run = in_batches if options.solver == "incremental" else in_memory
    answer = run(features, options)
    print(json.dumps(answer | {"versions": {"scikit-learn": metadata.version("scikit-learn")}}))


def in_memory(features: ds.Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Standardise, fit and project all rows at once."""
    began = time.perf_counter()
    table = features.to_table(columns=["path", "label", "features"]).combine_chunks()
    matrix = matrix_of(table["features"].chunk(0), np.float64)  # (n, d)
    table = table.select(["path", "label"])
    pca = PCA(options.components, svd_solver=options.solver, random_state=0, copy=False)
    scores = pca.fit_transform(StandardScaler(copy=False).fit_transform(matrix))
    fitted = time.perf_counter()
    with pq.ParquetWriter(options.reduced, SCHEMA, use_dictionary=["label"]) as writer:
        write(writer, table["path"].chunk(0), table["label"].chunk(0), scores)
    return report(len(scores), pca, began, fitted)


def in_batches(features: ds.Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Standardise, then fit, then project, a batch at a time."""
    began = time.perf_counter()
    scaler, pca = StandardScaler(), IncrementalPCA(options.components)
    for rows in matrices(features):
        scaler.partial_fit(rows)
    for rows in matrices(features):
        pca.partial_fit(scaler.transform(rows))
    fitted = time.perf_counter()
    count = 0
    with pq.ParquetWriter(options.reduced, SCHEMA, use_dictionary=["label"]) as writer:
        for batch in features.to_batches(columns=["path", "label", "features"]):
            if batch.num_rows:
                rows = matrix_of(batch["features"], np.float64)
                write(writer, batch["path"], batch["label"], pca.transform(scaler.transform(rows)))
                count += batch.num_rows
    return report(count, pca, began, fitted)


def matrices(features: ds.Dataset) -> Iterator[np.ndarray]:
    """All rows, in order, in matrices of 5 d rows; the last has up to twice that.

    IncrementalPCA refuses a batch with fewer rows than components.
    """
    waiting: list[np.ndarray] = []
    for batch in features.to_batches(columns=["features"]):
        if not batch.num_rows:
            continue
        waiting.append(matrix_of(batch["features"], np.float32))
        height = 5 * waiting[0].shape[1]
        while sum(map(len, waiting)) >= 2 * height:
            rows = np.concatenate(waiting)
            yield rows[:height].astype(np.float64)
            waiting = [rows[height:]]
    yield np.concatenate(waiting, dtype=np.float64)


def matrix_of(lists: pa.ListArray, dtype: npt.DTypeLike) -> np.ndarray:
    """Features as a matrix of shape (n, d)."""
    return lists.flatten().to_numpy().astype(dtype).reshape(len(lists), -1)


def write(writer: pq.ParquetWriter, paths: pa.Array, labels: pa.Array, scores: np.ndarray) -> None:
    """Write path, label and scores of some rows."""
    offsets = np.arange(0, scores.size + 1, scores.shape[1], dtype=np.int32)
    lists = pa.ListArray.from_arrays(offsets, scores.ravel().astype(np.float32))
    writer.write_batch(pa.RecordBatch.from_arrays([paths, labels, lists], schema=SCHEMA))


def report(
    rows: int, pca: PCA | IncrementalPCA, began: float, fitted: float
) -> dict[str, int | float | list[float]]:
    """What one run did, and how long it took until now."""
    return {
        "rows": rows,
        "fit": fitted - began,
        "project": time.perf_counter() - fitted,
        "ratios": pca.explained_variance_ratio_.tolist(),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, help="folder of the Parquet files")
    parser.add_argument("reduced", type=Path, help="file to write")
    parser.add_argument("--components", type=int, required=True)
    parser.add_argument("--solver", choices=("full", "auto", "incremental"), required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
