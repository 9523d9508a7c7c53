"""Reads the rows of one model, a row group at a time: the only reader of the tables.

While a run replaces a model, the features table holds another's rows too: here they are left out.
``workflows/check`` reads for itself, since it has to survive what is damaged.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featuremill._utils.extras import require
from featuremill.dataset.ledger import kind_of
from featuremill.dataset.model_files import read_network
from featuremill.dataset.schemas import FEATURES_FOLDER, OK, REJECTED
from featuremill.dataset.tables import DataFile, Table, features_table, is_of_model
from featuremill.errors import DestinationError
from featuremill.storage import Store, open_store

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

Matrix = NDArray[np.float32]
Indices = NDArray[np.int64]

_COLUMNS = ["path", "label", "width", "height", "features"]


def rows_of(
    table: Table, files: Iterable[DataFile | str], model_id: str, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of a model in some files of the features table; no batch is empty."""
    for batch in table.batches(files, [*columns, "model_id"]):
        mine = is_of_model(batch, model_id)
        # copied only where something is left out: it is most of the time that reading takes
        rows = batch if mine.true_count == len(mine) else batch.filter(mine)
        if rows.num_rows:
            yield rows.select(columns)


def rejected_rows(
    destination: Store, model_id: str, columns: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """Columns of every rejected row of a model."""
    table = features_table(destination)
    for batch in rows_of(table, table.files(status=REJECTED), model_id, columns):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def count_rejections(destination: Store, model_id: str) -> Counter[tuple[str, str]]:
    """How many images of a model were rejected, by stage and kind of reason."""
    rows = rejected_rows(destination, model_id, ("stage", "reason"))
    return Counter((str(stage), kind_of(str(reason))) for stage, reason in rows)


@dataclass(frozen=True)
class Dataset:
    """The embedded images of a destination, as they were when it was opened.

    Attributes
    ----------
    store : Store
        The destination.
    network : mapping
        Description of the network whose features these are.
    files : sequence of DataFile
        Files of the features table, without rejects.
    """

    store: Store
    network: Mapping[str, Any]
    files: Sequence[DataFile]

    @classmethod
    def now(cls, store: Store, network: Mapping[str, Any]) -> "Dataset":
        """Open what a destination with a features table holds now of a network."""
        return cls(store, network, features_table(store).files(status=OK))

    @property
    def n_features(self) -> int:
        """Length of a row of features."""
        return int(self.network["n_features"])

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Every row, in the order of the files."""
        table = features_table(self.store)
        return rows_of(table, self.files, str(self.network["model_id"]), columns)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Every row at once, in the order of the files."""
        schema = features_table(self.store).schema
        return pa.Table.from_batches(
            self.batches(columns), pa.schema([schema.field(name) for name in columns])
        )

    def features(self) -> Iterator[pa.Array]:
        """Features of every row, as lists, in the order of the files."""
        return (batch["features"] for batch in self.batches(["features"]))


def open_dataset(store: Store) -> Dataset:
    """Open what a destination holds now.

    Raises
    ------
    DestinationError
        If there is no features table.
    """
    if not features_table(store).exists():
        raise DestinationError(
            f"{store.url} holds no features", "Name the destination of `featuremill run`."
        )
    return Dataset.now(store, read_network(store))


def matrix(lists: pa.Array, width: int) -> Matrix:
    """Lists of so many numbers, as an array of shape (n, width).

    Raises
    ------
    DestinationError
        If there are more numbers, or fewer.
    """
    values: Matrix = lists.flatten().to_numpy()
    if values.size != len(lists) * width:
        raise DestinationError(
            f"not every row holds {width} numbers",
            "See what is wrong by `featuremill check`, and compute them again.",
        )
    return values.reshape(len(lists), width)


def placed(
    lists: Iterable[pa.Array], places: Indices, width: int
) -> Iterator[tuple[Indices, Matrix]]:
    """Rows that are wanted of all that come, and where each goes.

    Parameters
    ----------
    lists : iterable of Array
        Lists of features or scores.
    places : ndarray of shape (n,), int64
        Where each row goes; -1 where it is not wanted.
    width : int
        Numbers in a row.
    """
    start = 0
    for part in lists:
        values, rows = matrix(part, width), places[start : start + len(part)]
        start += len(part)
        wanted = rows >= 0
        # copied only where something is left out, as above
        yield (rows, values) if wanted.all() else (rows[wanted], values[wanted])


def seeded_sample(n: int, most: int, random: np.random.Generator | None = None) -> Indices:
    """Numbers of rows, ascending: all of n, or a sample, always the same, where n is above most."""
    random = random or np.random.default_rng(0)
    return np.sort(random.choice(n, min(n, most), replace=False))


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
        Destination of an earlier run.
    spark : SparkSession, optional
        Give a Spark DataFrame in this session instead of a pandas one. Spark reads the Parquet
        files itself, so for S3 it needs its own S3A file system.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Returns
    -------
    pandas.DataFrame or pyspark.sql.DataFrame
        ``path``, ``label``, ``width``, ``height`` and ``features`` (n_features float32 each).

    Raises
    ------
    DestinationError
        If there is no features table.
    MissingExtraError
        If pandas is wanted and not installed.
    """
    if spark is None:
        require("pandas", "load_features without spark=")
    dataset = open_dataset(open_store(destination, endpoint_url=endpoint_url, region=region))
    if spark is not None:
        return _with_spark(spark, dataset)
    return cast("pd.DataFrame", dataset.read(_COLUMNS).to_pandas())


def _with_spark(spark: "SparkSession", dataset: Dataset) -> "DataFrame":
    schema = (
        "path string, label string, width int, height int, features array<float>, model_id string"
    )
    # Spark's name for the S3 file system; on EMR both names mean the same
    folder = f"{dataset.store.url}/{FEATURES_FOLDER}".replace("s3://", "s3a://", 1)
    rows = spark.read.schema(schema).parquet(*(f"{folder}/{file.name}" for file in dataset.files))
    return rows.where(rows["model_id"] == dataset.network["model_id"]).select(*_COLUMNS)
