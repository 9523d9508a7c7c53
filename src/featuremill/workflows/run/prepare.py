"""Everything about a run that can be refused, refused before anything is written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featuremill._utils.extras import require
from featuremill._utils.progress import Progress
from featuremill.config import RunConfig
from featuremill.dataset.ledger import new_run_id
from featuremill.dataset.lock import confirm
from featuremill.dataset.model_files import NETWORK, read_network
from featuremill.dataset.tables import features_table
from featuremill.errors import DestinationError, PrecisionError, SourceError, StorageError
from featuremill.models import registry
from featuremill.models.download import download_progress
from featuremill.models.network import Network
from featuremill.pca.incremental import find_kept
from featuremill.storage import Store, open_store
from featuremill.storage.destination import require_apart, require_folder, require_readable
from featuremill.storage.listing import Listing, Selection


@dataclass(frozen=True)
class PreparedRun:
    """A run that may begin."""

    config: RunConfig
    run: str
    source: Store
    destination: Store
    network: Network
    contract: str
    replacing: bool
    """Whether the destination holds another model's rows, which are dropped at the end."""
    listing: Listing

    @property
    def model_id(self) -> str:
        """Name of the features this run computes."""
        return self.network.model_id(self.contract)

    @property
    def fast_precision(self) -> str:
        """The fastest precision that may keep the contract."""
        if self.contract in ("fp32", "bf16"):
            return self.contract
        can_mix = self.network.mixed is not None and self.config.engine != "onnxruntime"
        return "mixed" if can_mix else "fp32"


def prepare(config: RunConfig, progress: Progress) -> PreparedRun:
    """Check a configuration against the world; nothing is written.

    Raises
    ------
    InputError
        With the value, the bound and the remedy of what is wrong.
    """
    progress.doing("looking at the source and the destination")
    source = _open(config, config.source)
    destination = _open(config, config.destination)
    require_readable(destination)
    require_folder(destination)
    require_apart(source, destination)
    if config.pca_from is not None:
        _require_output(destination, source, _open(config, config.pca_from))
    if registry.is_path(config.model):
        # its features are compared with those that ONNX Runtime has of the file
        require("onnxruntime", f"--model {config.model}")
    else:
        config.check_components(registry.get(config.model).n_features)
    if config.engine == "onnxruntime":
        require("onnxruntime", "--engine onnxruntime")
    listing = Listing(source, Selection(config.include, config.exclude, config.classes))
    try:
        _require_images(source, listing)
        try:
            held = _held_network(destination)
        except StorageError as error:
            raise DestinationError(error.problem, error.remedy) from error
        _require_model(config, held)
        progress.doing(f"loading {config.model}")
        weights = Path(config.weights) if config.weights else None
        network = registry.load(
            config.model,
            weights,
            download_progress(progress),
            output=config.output,
            pool=config.pool,
        )
        config.check_components(network.n_features)
        _require_plan(config, network)
        try:
            contract = _contract(config, network, held)
            find_kept(config, destination, network.description(contract))
        except StorageError as error:
            raise DestinationError(error.problem, error.remedy) from error
        return PreparedRun(
            config=config,
            run=new_run_id(),
            source=source,
            destination=destination,
            network=network,
            contract=contract,
            # a run that was to replace a model and died leaves that to the next one
            replacing=config.replace_model or bool(held and held.get("replacing")),
            listing=listing,
        )
    except BaseException:
        listing.close()
        raise


def write_network(job: PreparedRun, *, replacing: bool) -> None:
    """Note whose features the destination holds from now on."""
    network = {**job.network.description(job.contract), "replacing": replacing}
    confirm(job.destination)
    job.destination.write(NETWORK, json.dumps(network, indent=2).encode())


def _open(config: RunConfig, url: str) -> Store:
    return open_store(url, endpoint_url=config.endpoint_url, region=config.region)


def _require_output(output: Store, *read: Store) -> None:
    """Refuse to put a transform's results around what it only reads."""
    for store in read:
        if output.contains(store) and not store.contains(output):
            raise DestinationError(
                f"output {output.url} contains {store.url}, which is only to be read",
                "Choose another output.",
            )


def _require_images(source: Store, listing: Listing) -> None:
    if listing.peek() is not None:
        return
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in listing.skipped.items())
    missing = listing.missing_classes() if listing.other_labels else ""
    raise SourceError(
        f"source {source.url} holds no image"
        + (f": {listing.listed:,} entries were skipped ({skipped})" if skipped else "")
        + (f"; {missing}" if missing else ""),
        "Name a folder of images, and check --include, --exclude and --classes.",
    )


def _held_network(destination: Store) -> dict[str, Any] | None:
    """Description of the network whose features the destination holds."""
    table = features_table(destination)
    if not table.exists():
        if next(destination.names(table.folder), None) is not None:
            raise DestinationError(
                f"{destination.url}/{table.folder} holds files that are no features table",
                "Choose another destination.",
            )
        return None
    table.check()
    return read_network(destination)


def _require_model(config: RunConfig, held: dict[str, Any] | None) -> None:
    """Refuse another model by its name alone, before any weights are fetched."""
    if held is None or config.replace_model or held["name"] == registry.name_of(config.model):
        return
    remedy = f"Give --model {held.get('location', held['name'])}, or choose another destination"
    if config.pca_from is not None:
        remedy = "Choose another output"
    elif not config.keep_pca:
        remedy += ", or give --replace-model to compute all features anew"
    raise DestinationError(
        f"destination {config.destination} holds features of {held['name']}, not of {config.model}",
        f"{remedy}.",
    )


def _require_plan(config: RunConfig, network: Network) -> None:
    """Refuse mixed precision for a network of which nobody knows where it would cost too much."""
    if config.precision == "mixed" and network.mixed is None:
        raise PrecisionError(
            f"--precision is mixed, but no plan for it is known of model {network.name}",
            "Choose --precision fp32 or auto.",
        )


def _contract(config: RunConfig, network: Network, held: dict[str, Any] | None) -> str:
    """Accuracy contract of the run: the one held, where the precision is left to us."""
    safe = "auto" if network.mixed is not None else "fp32"
    contract = {"fp32": "fp32", "bf16": "bf16"}.get(config.precision, safe)
    if held is None or config.replace_model:
        return contract
    if held["fingerprint"] == network.fingerprint:
        if config.precision == "auto":
            return str(held["contract"])
        if held["contract"] == contract:
            return contract
    raise DestinationError(
        f"destination {config.destination} holds features of {held['name']}"
        f" (weights {held['weights_sha256'][:12]}, contract {held['contract']}),"
        f" not of {network.name} (weights {network.weights_sha256[:12]}, contract {contract})",
        "Choose another destination or the same model, or give --replace-model"
        " to compute all features anew.",
    )
