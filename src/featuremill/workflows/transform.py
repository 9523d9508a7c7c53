"""Projects images onto the components of a PCA that another run has fitted."""

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from featuremill._utils.progress import Progress
from featuremill.config import RunConfig, options
from featuremill.dataset.exclusions import require_finished
from featuremill.dataset.model_files import NETWORK, read_network
from featuremill.errors import ConfigError, DestinationError
from featuremill.storage import open_store
from featuremill.storage.destination import require_folder
from featuremill.workflows.run.pipeline import RunResult, run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Location = str | os.PathLike[str]

_SETTLED = {each.name for each in fields(RunConfig)} - dict(options("transform")).keys()
"""Options of a run that leave no choice here."""


def transform(
    source: Location,
    destination: Location,
    output: Location,
    *,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    **given: Any,
) -> RunResult:
    """Turn a source of images into scores on the components that another run has fitted.

    Everything that a run leaves is left at the output, so that every other command takes it for a
    destination; the destination whose PCA is used is only read. Images that either of them was made
    to forget are skipped.

    Parameters
    ----------
    source : str or path
        Images.
    destination : str or path
        Destination of an earlier run: its model and its fitted PCA are used.
    output : str or path
        Where the results go; one of an earlier transform is brought up to date.
    spark, progress
        As for :func:`featuremill.run`.
    given
        Options of :class:`featuremill.RunConfig`, but for those that the PCA has settled.

    Returns
    -------
    RunResult
        ``record.drift`` tells how far these images are from those that the PCA was fitted to
        (see :class:`~featuremill.pca.drift.Drift`); beyond its bound it is among
        ``record.warnings``.

    Raises
    ------
    ConfigError
        If an option is given that the fitted PCA has settled.
    DestinationError
        If the destination holds no PCA of a model that can be loaded here, or a forget of it was
        interrupted, or the output holds a PCA that was fitted to its own images.
    InputError, RunError
        As for :func:`featuremill.run`.
    """
    settled = sorted(_SETTLED & given.keys())
    if settled:
        raise ConfigError(
            f"{', '.join(settled)} cannot be chosen: the PCA at {destination} was fitted to"
            " features of one model and precision",
            "Leave that out, or use `featuremill run` to fit another PCA.",
        )
    places = {name: given.get(name) for name in ("endpoint_url", "region")}
    held = open_store(destination, **places)
    require_folder(held)
    require_finished(held)
    if held.size(NETWORK) is None:
        raise DestinationError(
            f"{held.url} holds no result", "Name the destination of `featuremill run`."
        )
    network = read_network(held)
    config = RunConfig(
        os.fspath(source),
        os.fspath(output),
        # the precisions that are contracts too have the same names
        model=network.get("location") or network["name"],
        output=network.get("output") or None,
        pool=network.get("pool") or None,
        precision=network["contract"],
        pca_from=os.fspath(destination),
        **given,
    )
    return run(config, spark=spark, progress=progress)
