"""Parquet files of the tables: how rows are written, and how they are read without threads."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from featuremill.dataset.schemas import FEATURES, REDUCED
from featuremill.storage import Store


def feature_writer(sink: pa.NativeFile) -> pq.ParquetWriter:
    """Parquet writer for feature rows; floats are stored as they are, since they don't pack."""
    text = [name for name in FEATURES.names if name != "features"]
    return pq.ParquetWriter(
        sink,
        FEATURES,
        compression={
            **dict.fromkeys(text, "zstd"),
            "features.list.element": "none",
        },
        use_dictionary=["label", "model_id", "stage", "reason", "run"],
        write_statistics=["label", "model_id", "run"],
    )


def reduced_writer(sink: pa.NativeFile) -> pq.ParquetWriter:
    """Parquet writer for reduced rows."""
    # scores are floats that neither repeat nor pack, so a dictionary would only cost time
    return pq.ParquetWriter(sink, REDUCED, use_dictionary=["label"])


def read_parquet(
    store: Store, name: str, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file of a store, a row group at a time."""
    with store.open(name) as source:
        file = pq.ParquetFile(source, pre_buffer=False)
        # decoding in threads out of a foreign buffer has brought interpreters down at exit
        yield from file.iter_batches(8192, columns=columns, use_threads=False)
