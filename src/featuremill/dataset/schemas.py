"""The Arrow schemas of all tables, and how their Parquet files are written and read."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from featuremill.storage import Store

STAGES = ("list", "fetch", "limit", "decode", "embed", "worker")
"""Where an image can fail; ``limit`` means that it is too large or took too long for this run's
options, ``worker`` that the process died on it."""

FEATURES_FOLDER = "features"
REDUCED_FOLDER = "reduced"
"""Where the tables lie at the destination."""

OK = "ok"
REJECTED = "rejected"
"""Partitions of the features table."""

FEATURES = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("label", pa.string()),
        pa.field("version", pa.string()),
        pa.field("bytes", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("model_id", pa.string()),
        pa.field("features", pa.list_(pa.float32())),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("run", pa.string()),
    ]
)
"""A row of the features table as its Parquet files hold it (``status`` is the partition)."""

REDUCED = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("label", pa.string()),
        pa.field("features_pca", pa.list_(pa.float32())),
    ]
)
"""A row of the reduced table."""


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
