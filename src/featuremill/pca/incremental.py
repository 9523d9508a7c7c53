"""Extends the reduced table by new images while the fitted PCA is kept.

What was reduced before stays as it is, to the last bit; only what came or changed since is
projected. Which rows those are is told by the features table's own log: the files of the version
that the PCA's description names, against those of the newest one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from featuremill.config import RunConfig
from featuremill.dataset import model_files
from featuremill.dataset.lock import confirm
from featuremill.dataset.model_files import MODEL_ARRAYS, MODEL_DESCRIPTION
from featuremill.dataset.schemas import FEATURES_FOLDER, OK, REDUCED_FOLDER
from featuremill.dataset.tables import (
    DataFile,
    Table,
    drop_paths,
    features_table,
    reduced_table,
    without_rows,
)
from featuremill.errors import DestinationError
from featuremill.pca import reduce, saved
from featuremill.pca.components import PCA
from featuremill.pca.drift import FAR, Beyond, Drift, drift
from featuremill.pca.reduce import RowSelection
from featuremill.storage import Store, open_store
from featuremill.workers.protocol import Workers

_OPTIONS = {
    "n_components_requested": "--components",
    "variance_requested": "--variance",
    "standardize": "--no-standardize",
}


@dataclass(frozen=True)
class KeptPca:
    """A fitted PCA and its description."""

    origin: Store
    pca: PCA
    description: Mapping[str, Any]


@dataclass(frozen=True)
class Since:
    """The changes of the features table since an earlier version.

    Attributes
    ----------
    rows : RowSelection
        Those that are new or changed.
    stale : frozenset of str
        Paths whose earlier row is gone or was replaced.
    """

    rows: RowSelection
    stale: frozenset[str]


def find_kept(config: RunConfig, destination: Store, network: Mapping[str, Any]) -> KeptPca | None:
    """The PCA that a run is to use, or None if it is to fit one.

    Raises
    ------
    DestinationError
        If there is none that can take the features of that network, or the destination holds
        another one that would be lost.
    """
    if not config.keep_pca and config.pca_from is None:
        return None
    wanted = {
        "n_components_requested": config.n_components,
        "variance_requested": config.variance,
        "standardize": None if config.standardize else False,
    }
    if config.pca_from is None:
        anew = "To fit a PCA anew, run without --keep-pca."
        return load_kept(destination, network, wanted, anew)
    origin = open_store(config.pca_from, endpoint_url=config.endpoint_url, region=config.region)
    if origin.contains(destination):
        raise DestinationError(
            f"output {destination.url} is, or lies in, {origin.url}, whose PCA is to be used",
            "Choose another output; to add images to it, use `featuremill run --keep-pca`.",
        )
    held = _description(destination)
    if held and "from" not in held.get("kept", {}):
        raise DestinationError(
            f"output {destination.url} holds a PCA that was fitted to its own images",
            "Choose another output.",
        )
    other = "Name the destination of a `featuremill run` that has fitted one."
    return load_kept(origin, network, wanted, other)


def load_kept(
    origin: Store, network: Mapping[str, Any], wanted: Mapping[str, Any], otherwise: str
) -> KeptPca:
    """Read a destination's fitted PCA, if it can take a network's features.

    Parameters
    ----------
    network : mapping
        Description of the network that computes the features.
    wanted : mapping
        Entries that the PCA's description must have where they are not None.
    otherwise : str
        What to do where it cannot be used.

    Raises
    ------
    DestinationError
        If there is no PCA, or it is damaged, of another model, or of other options.
    """
    try:
        fitted = saved.load_fitted(origin)
    except DestinationError as error:
        raise DestinationError(error.problem, otherwise) from error
    if fitted is None:
        raise DestinationError(f"{origin.url} holds no fitted PCA", otherwise)
    pca, description = fitted
    _check_network(origin, description, network, otherwise)
    for name, value in wanted.items():
        if value is not None and description.get(name) != value:
            raise DestinationError(
                f"the PCA at {origin.url} was fitted {_option(name, description.get(name))},"
                f" this run is {_option(name, value)}",
                f"Leave that option out to use it as it is. {otherwise}",
            )
    return KeptPca(origin, pca, description)


def _option(name: str, value: object) -> str:
    """An entry of a PCA's description, as the option that makes it so."""
    option = _OPTIONS[name]
    if isinstance(value, bool):
        return f"without {option}" if value else f"with {option}"
    return f"without {option}" if value is None else f"with {option} {value}"


def _check_network(
    origin: Store, description: Mapping[str, Any], network: Mapping[str, Any], otherwise: str
) -> None:
    fitted = description["network"]
    if fitted["model_id"] == network["model_id"] and (
        description["n_features"] == network["n_features"]
    ):
        return
    raise DestinationError(
        f"the PCA at {origin.url} was fitted to {description['n_features']} features of"
        f" {fitted['name']} (model {fitted['model_id']}), this run computes"
        f" {network['n_features']} of {network['name']} (model {network['model_id']})",
        f"Use the model it was fitted to, with its --weights if it has any. {otherwise}",
    )


def changed_since(table: Table, version: int, model_id: str) -> Since | None:
    """Rows of the features table that a version did not have, and paths whose rows went.

    None if the log, or a file, of that version is there no more.
    """
    from deltalake.exceptions import DeltaError

    try:
        now, before = table.files(status=OK), table.files(version, status=OK)
        gone = _missing_from(now, before)
        added = _missing_from(before, now)
        runs: set[str] = set()
        paths: set[str] = set()
        for batch in table.batches(gone, ["path", "run"]):
            paths.update(batch["path"].to_pylist())
            runs.update(batch["run"].to_pylist())
    except (DeltaError, FileNotFoundError):
        return None
    # rows that were moved to another file with what remained of theirs; a run's rows are all of
    # that version or all later, since one run at a time writes
    for batch in table.batches(added if gone else (), ["path", "run"]):
        pairs = zip(batch["path"].to_pylist(), batch["run"].to_pylist(), strict=True)
        paths.difference_update(path for path, run in pairs if run in runs)
    return Since(RowSelection(model_id, added, frozenset(runs)), frozenset(paths))


def extend(workers: Workers, destination: Store, kept: KeptPca, model_id: str, run: str) -> None:
    """Bring the reduced table up to date with the features table.

    Rows that it has stay as they are where it is known to be of this PCA and of which features;
    else all rows are projected.
    """
    since, table = _unreduced(destination, kept, model_id), reduced_table(destination)
    if since is None:
        reduce.project(workers, destination, RowSelection(model_id), kept.pca, run)
        return
    replaced = partial(without_rows, table, f"{run}-kept", drop_paths(since.stale))
    reduce.project(workers, destination, since.rows, kept.pca, run, replaced)


def measure_drift(
    workers: Workers, destination: Store, kept: KeptPca, model_id: str
) -> Drift | None:
    """Compare all images that the PCA was not fitted to with those it was fitted to.

    None where there is no such image, or where the log no longer tells which these are.
    """
    rows: RowSelection | None = RowSelection(model_id)
    if _is_of_its_own(destination, kept):
        since = changed_since(features_table(destination), _fitted_version(kept), model_id)
        rows = since.rows if since else None
    if rows is None:
        return None
    moments = reduce.compute_moments(workers, destination, rows, kept.pca.n_features_in_)
    return drift(kept.pca, moments) if moments.n else None


def far_beyond(destination: Store, kept: KeptPca) -> Beyond:
    """Find scores in the reduced table far beyond those that a PCA was fitted to."""
    pca, n = kept.pca, kept.pca.n_samples_
    # of n numbers none is farther than this from their mean, in standard deviations
    possible = float(np.sqrt(pca.explained_variance_[0])) * (n - 1) / np.sqrt(n)
    largest = float(kept.description.get("largest_score", possible))
    rows, farthest = 0, 0.0
    for reach in model_files.outermost(destination):
        rows += int((reach > FAR * largest).sum())
        farthest = max(farthest, float(reach.max()))
    return Beyond(rows, farthest, largest)


def is_traceable(destination: Store, kept: KeptPca) -> bool:
    """Whether it can still be told which images the PCA was fitted to; no row is read."""
    from deltalake.exceptions import DeltaError

    if not _is_of_its_own(destination, kept):
        return True
    table = features_table(destination)
    try:
        now, before = table.files(status=OK), table.files(_fitted_version(kept), status=OK)
    except (DeltaError, FileNotFoundError):
        return False
    gone = _missing_from(now, before)
    return all(destination.size(f"{table.folder}/{file.name}") is not None for file in gone)


def save_kept(
    destination: Store, kept: KeptPca, found: Mapping[str, Any] | None, run: str
) -> dict[str, Any]:
    """Write the PCA with what it is of now, and the drift found; returns its description.

    Only for a run that holds the destination.
    """
    of_others = kept.origin.url != destination.url
    place = {"from": kept.origin.url} if of_others else {"fitted_version": _fitted_version(kept)}
    description = {
        **kept.description,
        "versions": model_files.table_versions(destination),
        "kept": {
            "since": run,
            **place,
            **_standing(destination, kept).get("kept", {}),
            "run": run,
            "rows": sum(file.rows for file in reduced_table(destination).files()),
            "drift": found,
        },
        "beyond": asdict(far_beyond(destination, kept)),
    }
    confirm(destination)
    destination.write(MODEL_ARRAYS, kept.pca.to_safetensors())
    destination.write(MODEL_DESCRIPTION, json.dumps(description, indent=2).encode())
    return description


def still_reduced(destination: Store, kept: KeptPca) -> dict[str, Any] | None:
    """Description of the PCA at a destination, if both tables are as a run with it left them."""
    description = _standing(destination, kept)
    return description if description and model_files.is_of(destination, description) else None


def _unreduced(destination: Store, kept: KeptPca, model_id: str) -> Since | None:
    versions = _standing(destination, kept).get("versions", {})
    reduced = reduced_table(destination)
    if not (
        REDUCED_FOLDER in versions
        and reduced.exists()
        and reduced.is_unchanged_since(versions[REDUCED_FOLDER])
    ):
        return None
    return changed_since(features_table(destination), versions[FEATURES_FOLDER], model_id)


def _standing(destination: Store, kept: KeptPca) -> dict[str, Any]:
    """Description of the PCA at a destination if it is this one, else nothing."""
    description = _description(destination)
    return description if description.get("sha256") == kept.description["sha256"] else {}


def _description(destination: Store) -> dict[str, Any]:
    try:
        return model_files.read_description(destination)
    except (FileNotFoundError, DestinationError):
        return {}


def _is_of_its_own(destination: Store, kept: KeptPca) -> bool:
    """Whether the PCA was fitted to images of this very destination."""
    return kept.origin.url == destination.url and "from" not in kept.description.get("kept", {})


def _fitted_version(kept: KeptPca) -> int:
    """Version of the features table that the PCA was fitted to."""
    version: int = kept.description.get("kept", {}).get(
        "fitted_version", kept.description["versions"][FEATURES_FOLDER]
    )
    return version


def _missing_from(files: Sequence[DataFile], others: Sequence[DataFile]) -> list[DataFile]:
    """The files of `others` that are not among `files`."""
    names = {file.name for file in files}
    return [file for file in others if file.name not in names]
