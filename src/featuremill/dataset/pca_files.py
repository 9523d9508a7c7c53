"""What a destination says of its fitted PCA: ``model/pca.json``, and of which tables it is."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from featuremill.dataset.tables import Table, features_table, reduced_table
from featuremill.errors import DestinationError
from featuremill.storage import Store

MODEL_ARRAYS = "model/pca.safetensors"
MODEL_DESCRIPTION = "model/pca.json"

_ESSENTIAL = {
    "network": dict,
    "run": str,
    "versions": dict,
    "n_features": int,
    "n_components": int,
    "n_samples": int,
}
REMEDY = "Restore that file, or run again with the same SRC and DEST to fit a new PCA."
_OF_NETWORK = ("name", "model_id")


def still_fits(destination: Store, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Description of the PCA at a destination, if it is of the tables as they are now.

    Parameters
    ----------
    wanted : mapping
        Entries that the description must have besides.
    """
    try:
        description = read_description(destination)
    except (FileNotFoundError, DestinationError):
        return None
    fits = is_of(destination, description) and wanted.items() <= description.items()
    # one that was kept is not what would be fitted to these tables
    return description if fits and "kept" not in description else None


def is_of(destination: Store, description: Mapping[str, Any]) -> bool:
    """Whether a PCA is of the tables as they are now.

    A version that only says who may write now, as after a dead run, is of the same rows.
    """
    fitted = description.get("versions")
    tables = {table.folder: table for table in _tables(destination)}
    return (
        isinstance(fitted, dict)
        and fitted.keys() == tables.keys()
        and all(isinstance(fitted[folder], int) for folder in tables)
        and all(tables[folder].is_unchanged_since(fitted[folder]) for folder in tables)
    )


def table_versions(destination: Store) -> dict[str, int]:
    """Newest version of each of the two tables that there is."""
    return {table.folder: table.version() for table in _tables(destination)}


def _tables(destination: Store) -> list[Table]:
    tables = (features_table(destination), reduced_table(destination))
    return [table for table in tables if table.exists()]


def read_description(destination: Store) -> dict[str, Any]:
    """Description of the PCA at a destination.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DestinationError
        If it is damaged.
    """
    try:
        found = json.loads(destination.read(MODEL_DESCRIPTION))
    except ValueError as error:
        raise DestinationError(
            f"{destination.url}/{MODEL_DESCRIPTION} is damaged: {error}", REMEDY
        ) from error
    known: dict[str, Any] = found if isinstance(found, dict) else {}
    missing = [name for name, kind in _ESSENTIAL.items() if not isinstance(known.get(name), kind)]
    if not missing:
        missing = [f"network.{name}" for name in _OF_NETWORK if name not in known["network"]]
    if missing:
        raise DestinationError(
            f"{destination.url}/{MODEL_DESCRIPTION} is damaged: it has no {', '.join(missing)}",
            REMEDY,
        )
    return known


def outermost(destination: Store) -> Iterator[npt.NDArray[np.float32]]:
    """The largest magnitude among the scores of each row of the reduced table, in parts."""
    table = reduced_table(destination)
    for batch in table.batches(table.files(), ["features_pca"]):
        if batch.num_rows:
            scores = batch["features_pca"].flatten().to_numpy().reshape(batch.num_rows, -1)
            yield np.abs(scores).max(axis=1)
