"""Saves, loads and discards the fitted PCA of a destination."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from featuremill.dataset.lock import confirm
from featuremill.dataset.model_files import (
    MODEL_ARRAYS,
    MODEL_DESCRIPTION,
    REMEDY,
    outermost,
    read_description,
    table_versions,
)
from featuremill.dataset.schemas import REDUCED_FOLDER
from featuremill.dataset.tables import reduced_table
from featuremill.errors import DestinationError, InputError
from featuremill.pca.components import PCA
from featuremill.storage import Store


def save_model(
    destination: Store, pca: PCA, network: Mapping[str, Any], run: str
) -> dict[str, Any]:
    """Write the PCA, its SHA-256 and of which tables it is; returns its description.

    Only for a run that holds the destination, so that the tables are those it was fitted to.
    """
    arrays = pca.to_safetensors()
    largest = (float(reach.max()) for reach in outermost(destination))
    description = pca.description() | {
        "network": dict(network),
        "run": run,
        "versions": table_versions(destination),
        "largest_score": max(largest, default=0.0),
        "sha256": hashlib.sha256(arrays).hexdigest(),
    }
    confirm(destination)
    destination.write(MODEL_ARRAYS, arrays)
    destination.write(MODEL_DESCRIPTION, json.dumps(description, indent=2).encode())
    return description


def discard(destination: Store, run: str) -> bool:
    """Remove the rows and the PCA of an earlier run; returns whether there was anything.

    Only for a run that holds the destination and found no PCA for the features as they are now.
    One that dies in between has left what the next one discards.
    """
    table, log = reduced_table(destination), f"{REDUCED_FOLDER}/_delta_log/"
    found = [name for name in (MODEL_DESCRIPTION, MODEL_ARRAYS) if destination.size(name)]
    # people read the folder's Parquet files without the log
    rows = any(not name.startswith(log) for name in destination.names(REDUCED_FOLDER))
    if table.exists() and (rows or table.files()):
        table.commit(run, 0, [], overwrite=True)
        table.vacuum(everything=True)
    confirm(destination)
    for name in found:
        destination.remove(name)
    return rows or bool(found)


def load_fitted(destination: Store) -> tuple[PCA, dict[str, Any]] | None:
    """Read the fitted PCA and its description, or None if there is none.

    Raises
    ------
    DestinationError
        If one of the two files is damaged, or they are not of one PCA.
    """
    try:
        arrays = destination.read(MODEL_ARRAYS)
    except FileNotFoundError:
        return None
    both = f"{MODEL_ARRAYS} and {MODEL_DESCRIPTION} at {destination.url}"
    try:
        description = read_description(destination)
        pca = PCA.from_safetensors(arrays)
    except FileNotFoundError as error:
        raise DestinationError(
            f"{destination.url} holds {MODEL_ARRAYS}, but no {MODEL_DESCRIPTION}", REMEDY
        ) from error
    except DestinationError:
        raise
    except InputError as error:
        raise DestinationError(
            f"{destination.url}/{MODEL_ARRAYS} is damaged: {error.problem}", REMEDY
        ) from error
    fitted = pca.description()
    counts = {name: fitted[name] for name in ("n_features", "n_components", "n_samples")}
    if description.get("sha256") != hashlib.sha256(arrays).hexdigest() or (
        not counts.items() <= description.items()
    ):
        raise DestinationError(
            f"{both} do not belong together: one was changed, or a run ended between the two",
            REMEDY,
        )
    return pca, description


def load_model(destination: Store) -> PCA | None:
    """Read the fitted PCA as :func:`load_fitted` does, without its description."""
    fitted = load_fitted(destination)
    return None if fitted is None else fitted[0]
