"""The files below ``model/``: which network's features a destination holds, and its fitted PCA."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from featuremill.dataset.tables import existing_tables, reduced_table
from featuremill.errors import DestinationError
from featuremill.storage import Store

NETWORK = "model/network.json"
"""Which network's features a destination holds."""
MODEL_ARRAYS = "model/pca.safetensors"
MODEL_DESCRIPTION = "model/pca.json"

_PCA_ENTRIES = {
    "network.name": str,
    "network.model_id": str,
    "run": str,
    "versions": dict,
    "n_features": int,
    "n_components": int,
    "n_samples": int,
}
_NETWORK_ENTRIES = {
    "name": str,
    "model_id": str,
    "contract": str,
    "fingerprint": str,
    "weights_sha256": str,
    "n_features": int,
}
_RESTORE = "Restore that file, or choose another destination."
REMEDY = "Restore that file, or run again with the same SRC and DEST to fit a new PCA."


def read_network(destination: Store) -> dict[str, Any]:
    """Description of the network whose features a destination holds.

    Raises
    ------
    DestinationError
        If it is missing or damaged.
    """
    try:
        return _read(destination, NETWORK, _NETWORK_ENTRIES, _RESTORE)
    except FileNotFoundError as error:
        raise DestinationError(
            f"{destination.url} holds features, but {NETWORK} is missing", _RESTORE
        ) from error


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
    tables = {table.folder: table for table in existing_tables(destination)}
    return (
        isinstance(fitted, dict)
        and fitted.keys() == tables.keys()
        and all(isinstance(fitted[folder], int) for folder in tables)
        and all(tables[folder].is_unchanged_since(fitted[folder]) for folder in tables)
    )


def table_versions(destination: Store) -> dict[str, int]:
    """Newest version of each of the two tables that there is."""
    return {table.folder: table.version() for table in existing_tables(destination)}


def read_description(destination: Store) -> dict[str, Any]:
    """Description of the PCA at a destination.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DestinationError
        If it is damaged.
    """
    return _read(destination, MODEL_DESCRIPTION, _PCA_ENTRIES, REMEDY)


def _read(
    destination: Store, name: str, entries: Mapping[str, type], remedy: str
) -> dict[str, Any]:
    """A JSON object that has these entries, of these types; ``a.b`` is entry b of a's object."""
    try:
        found = json.loads(destination.read(name))
    except ValueError as error:
        raise DestinationError(f"{destination.url}/{name} is damaged: {error}", remedy) from error
    known: dict[str, Any] = found if isinstance(found, dict) else {}
    missing = [entry for entry, kind in entries.items() if not isinstance(_at(known, entry), kind)]
    if missing:
        raise DestinationError(
            f"{destination.url}/{name} is damaged: it has no {', '.join(missing)}", remedy
        )
    return known


def _at(known: Any, entry: str) -> Any:
    for part in entry.split("."):
        known = known.get(part) if isinstance(known, dict) else None
    return known


def outermost(destination: Store) -> Iterator[npt.NDArray[np.float32]]:
    """The largest magnitude among the scores of each row of the reduced table, in parts."""
    table = reduced_table(destination)
    for batch in table.batches(table.files(), ["features_pca"]):
        if batch.num_rows:
            scores = batch["features_pca"].flatten().to_numpy().reshape(batch.num_rows, -1)
            yield np.abs(scores).max(axis=1)
