"""The Arrow schemas of everything that is stored or handed from stage to stage."""

import pyarrow as pa

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
