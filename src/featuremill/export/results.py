"""Reads what is exported: the embedded images of a destination, a block of rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featuremill._utils import paths
from featuremill.dataset.exclusions import require_finished
from featuremill.dataset.ledger import RunRecord, load_latest, open_recorded
from featuremill.dataset.model_files import read_description
from featuremill.dataset.reader import Dataset, Matrix, open_dataset
from featuremill.dataset.tables import reduced_table
from featuremill.errors import DestinationError, StorageError
from featuremill.pca.components import PCA
from featuremill.pca.saved import load_model
from featuremill.storage import Store

BLOCK = 4096
"""Rows held at a time: 21 MB of 1280 features."""

_COLUMNS = ["path", "label", "width", "height", "features"]


class ExportRows(NamedTuple):
    """Some images.

    ``features`` has the shape (n, n_features), ``scores`` (n, k); ``scores`` is None where the
    destination has no PCA. The other four are Arrow arrays.
    """

    path: pa.Array
    label: pa.Array
    width: pa.Array
    height: pa.Array
    features: Matrix
    scores: Matrix | None


@dataclass(frozen=True)
class Survey:
    """Counts and lengths of all rows, which are needed before the first is written.

    ``labels`` are sorted; the lengths are in characters.
    """

    rows: int
    labels: tuple[str, ...]
    longest_path: int
    longest_label: int


@dataclass(frozen=True)
class Results(Dataset):
    """The embedded images of a destination, with its PCA.

    Attributes
    ----------
    pca : PCA or None
    run : str or None
        The run that fitted the PCA.
    record : RunRecord or None
        Record of the newest run.
    weights : Path or None
        File of weights to take instead of the one that the run had.
    endpoint_url, region : str, optional
        Endpoint and region of S3, where the images lie there.
    """

    pca: PCA | None
    run: str | None
    record: RunRecord | None
    weights: Path | None
    endpoint_url: str | None = None
    region: str | None = None

    def fitted(self) -> PCA:
        """The PCA, where there has to be one.

        Raises
        ------
        DestinationError
            If there is none.
        """
        if self.pca is None:
            raise DestinationError(
                f"{self.store.url} has no PCA",
                "Run `featuremill run` with the same SRC and DEST, without --no-reduce.",
            )
        return self.pca

    def source(self) -> Store | None:
        """The store that the images came from, if that is known."""
        if self.record is None:
            return None
        config = self.record.config
        return open_recorded(paths.place(config["source"]), config, self.endpoint_url, self.region)

    def survey(self) -> Survey:
        """Count rows, and find the labels and the longest texts.

        Raises
        ------
        DestinationError
            If there is no row.
        """
        rows = longest_path = longest_label = 0
        labels: set[str] = set()
        for batch in self.batches(["path", "label"]):
            rows += batch.num_rows
            labels.update(pc.unique(batch["label"]).to_pylist())
            longest_path = max(longest_path, pc.max(pc.utf8_length(batch["path"])).as_py())
            longest_label = max(longest_label, pc.max(pc.utf8_length(batch["label"])).as_py())
        if not rows:
            raise DestinationError(
                f"{self.store.url} holds no image with features",
                "Look for the reasons in its rejects.csv.",
            )
        return Survey(rows, tuple(sorted(labels)), longest_path, longest_label)

    def rows(self, block: int = BLOCK) -> Iterator[ExportRows]:
        """Every image with its features and its scores.

        Scores are computed from the features, as the run computed those of the reduced table: the
        two tables have different orders, and nothing else could join them in little memory.

        Parameters
        ----------
        block : int
            Rows at a time; only the last block is smaller.
        """
        for table in _regrouped(self.batches(_COLUMNS), block):
            columns = {name: table[name].combine_chunks() for name in _COLUMNS}
            features = _matrix(columns["features"])
            scores = None if self.pca is None else self.pca.transform(features)
            yield ExportRows(
                path=columns["path"],
                label=columns["label"],
                width=columns["width"],
                height=columns["height"],
                features=features,
                scores=None if scores is None else scores.astype(np.float32),
            )

    def scores(self) -> Iterator[tuple[pa.Array, pa.Array, Matrix]]:
        """Path, label and scores (n, k) of every row of the reduced table.

        Raises
        ------
        DestinationError
            If there is no PCA, or a run that died left a table of another one.
        """
        k = self.fitted().n_components_
        table = reduced_table(self.store)
        for batch in table.batches(table.files()):
            scores = _matrix(batch["features_pca"])
            if scores.shape[1] != k:
                raise DestinationError(
                    f"the reduced table at {self.store.url} has {scores.shape[1]} components,"
                    f" the PCA has {k}",
                    "Run `featuremill run` with the same SRC and DEST again.",
                )
            yield batch["path"], batch["label"], scores

    def reduced_rows(self) -> int:
        """How many rows :meth:`scores` gives."""
        return sum(file.rows for file in reduced_table(self.store).files())


def open_results(
    store: Store,
    weights: Path | None = None,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
) -> Results:
    """Read what a destination holds.

    Parameters
    ----------
    endpoint_url, region : str, optional
        Endpoint and region of S3, where the images lie there.

    Raises
    ------
    DestinationError
        If it holds no features, or a PCA of another model, or cannot be read, or a forget of it
        was interrupted.
    """
    require_finished(store)
    try:
        held = open_dataset(store)
        pca = load_model(store)
        run = None
        if pca is not None:
            fitted = read_description(store)
            run = str(fitted["run"])
            _check_model(store, str(fitted["network"]["model_id"]), str(held.network["model_id"]))
        return Results(
            **vars(held),
            pca=pca,
            run=run,
            record=load_latest(store),
            weights=weights,
            endpoint_url=endpoint_url,
            region=region,
        )
    except FileNotFoundError as error:
        raise DestinationError(
            f"{store.url} is not complete: {error}",
            "Run `featuremill run` with the same SRC and DEST again.",
        ) from error
    except StorageError as error:
        raise DestinationError(error.problem, error.remedy) from error


def _check_model(store: Store, fitted: str, held: str) -> None:
    if fitted != held:
        raise DestinationError(
            f"the PCA at {store.url} is of model {fitted}, the features are of {held}",
            "Run `featuremill run` with the same SRC and DEST again, without --no-reduce.",
        )


def _regrouped(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """The same rows, `size` at a time."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size)
            waiting = table.slice(size).to_batches()
            count -= size
    if count:
        yield pa.Table.from_batches(waiting)


def _matrix(lists: pa.Array) -> Matrix:
    values: Matrix = lists.flatten().to_numpy()
    return values.reshape(len(lists), -1)
