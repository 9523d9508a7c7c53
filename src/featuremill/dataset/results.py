"""What a run left, for people who go on working with it."""

import os
from typing import TYPE_CHECKING, cast, overload

from featuremill.dataset.reader import Dataset, open_dataset
from featuremill.dataset.schemas import FEATURES_FOLDER
from featuremill.storage import open_store

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
    dataset = open_dataset(open_store(destination, endpoint_url=endpoint_url, region=region))
    if spark is not None:
        return _with_spark(spark, dataset)
    return cast("pd.DataFrame", dataset.read(_COLUMNS).to_pandas())


def _with_spark(spark: "SparkSession", dataset: Dataset) -> "DataFrame":
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
    folder = f"{dataset.store.url}/{FEATURES_FOLDER}".replace("s3://", "s3a://", 1)
    rows = spark.read.schema(schema).parquet(*(f"{folder}/{file.name}" for file in dataset.files))
    # the one place besides the reader that tells models apart, as nothing else is asked of Spark
    return rows.where(rows["model_id"] == dataset.network["model_id"]).select(*_COLUMNS)
