"""What a run left, for people who go on working with it."""

import os
from typing import TYPE_CHECKING, cast, overload

import pyarrow as pa
import pyarrow.compute as pc

from featuremill.dataset.network import read_network
from featuremill.dataset.schemas import OK
from featuremill.dataset.tables import features_table
from featuremill.errors import DestinationError
from featuremill.storage import Store, open_store

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

_COLUMNS = ["path", "label", "width", "height", "features"]


@overload
def load_features(
    destination: str | os.PathLike[str],
    *,
    spark: None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
) -> "pd.DataFrame": ...
@overload
def load_features(
    destination: str | os.PathLike[str],
    *,
    spark: "SparkSession",
    endpoint_url: str | None = None,
    region: str | None = None,
) -> "DataFrame": ...
def load_features(
    destination: str | os.PathLike[str],
    *,
    spark: "SparkSession | None" = None,
    endpoint_url: str | None = None,
    region: str | None = None,
) -> "pd.DataFrame | DataFrame":
    """Features of every embedded image at a destination.

    Parameters
    ----------
    destination : str or path
        Of an earlier run.
    spark : SparkSession, optional
        Give a Spark DataFrame in this session instead of a pandas one. Spark reads the Parquet
        files itself, so for S3 it needs its own S3A file system.
    endpoint_url, region : str, optional
        For S3.

    Returns
    -------
    pandas.DataFrame or pyspark.sql.DataFrame
        ``path``, ``label``, ``width``, ``height`` and ``features`` (n_features float32 each).

    Raises
    ------
    DestinationError
        If there is no features table.
    """
    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    table = features_table(store)
    if not table.exists():
        raise DestinationError(
            f"{store.url} holds no features", "Name the destination of `featuremill run`."
        )
    model_id = read_network(store)["model_id"]
    files = table.files(status=OK)
    if spark is not None:
        return _with_spark(
            spark, store, [f"{table.folder}/{file.name}" for file in files], model_id
        )
    columns = [*_COLUMNS, "model_id"]
    batches = [batch for file in files for batch in table.read(file, columns)]
    schema = pa.schema([table.schema.field(name) for name in columns])
    rows = pa.Table.from_batches(batches, schema)
    of_model = rows.filter(pc.equal(rows["model_id"], model_id)).select(_COLUMNS)
    return cast("pd.DataFrame", of_model.to_pandas())


def _with_spark(
    spark: "SparkSession", store: Store, names: list[str], model_id: str
) -> "DataFrame":
    from pyspark.sql.types import (
        ArrayType,
        FloatType,
        IntegerType,
        StringType,
        StructField,
        StructType,
    )

    schema = StructType(
        [
            StructField("path", StringType()),
            StructField("label", StringType()),
            StructField("width", IntegerType()),
            StructField("height", IntegerType()),
            StructField("features", ArrayType(FloatType())),
            StructField("model_id", StringType()),
        ]
    )
    # Spark's name for the S3 file system; on EMR both names mean the same
    root = store.url.replace("s3://", "s3a://", 1)
    rows = spark.read.schema(schema).parquet(*(f"{root}/{name}" for name in names))
    return rows.where(rows["model_id"] == model_id).select(*_COLUMNS)
