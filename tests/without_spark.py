"""What a run leaves, made by a run's own functions but without Spark."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from featuremill._utils import paths
from featuremill.config import RunConfig
from featuremill.dataset.ledger import RunRecord
from featuremill.dataset.model_files import NETWORK
from featuremill.dataset.tables import DataFile, features_table, reduced_table
from featuremill.images import decode as images
from featuremill.images.decode import Limits
from featuremill.models import registry
from featuremill.models.engines import open_engine
from featuremill.models.network import Network
from featuremill.pca import reduce, saved
from featuremill.pca.components import PCA, Moments
from featuremill.storage import Store, open_store
from featuremill.storage.listing import Reference
from featuremill.workers.protocol import Attempt
from featuremill.workflows.run.task import Task, run_task
from outputs import MODEL


class Decoder:
    """The library's own decoder, without the watchdog of a worker."""

    def decode(self, data: bytes) -> images.Decoded:
        return images.decode(data, Limits())


def results_of(
    source: Path | str,
    destination: Path | str,
    *,
    model: str = MODEL,
    weights: str | None = None,
    components: int | None = 12,
    endpoint_url: str | None = None,
) -> str:
    """Embed a source in fp32, reduce it unless no components are wanted, and note the run."""
    network = registry.load(model, Path(weights) if weights else None)
    store = open_store(destination, endpoint_url=endpoint_url)
    origin = open_store(source, endpoint_url=endpoint_url)
    embed_part(origin, store, network, run="run")
    description = network.description("fp32")
    store.write(NETWORK, json.dumps({**description, "replacing": False}).encode())
    config = RunConfig(
        str(source), str(destination), model=model, weights=weights, endpoint_url=endpoint_url
    )
    RunRecord("run", config.description(), network=description).save(store)
    if components is not None:
        _reduce(store, network, components)
    return store.url


def embed_part(origin: Store, store: Store, network: Network, run: str) -> None:
    """Add the rows of a source to a destination's features, in two files and one commit."""
    references = [
        Reference(found.path, paths.label(found.path), found.version, found.size)
        for found in origin.list()
    ]
    model_id = network.model_id("fp32")
    task = Task(origin, store, Limits(), network.preprocessing, model_id, run, every_pixel=True)
    table, files = features_table(store), []
    for part in range(2):
        name = f"status=ok/{run}-{part}.parquet"
        engine = open_engine(network, "fp32")
        receipt = run_task(task, references[part::2], name, engine, Decoder())
        files.append(DataFile(name, receipt.rows, receipt.size, {"status": "ok"}))
    table.create()
    table.commit(run, 0, [file for file in files if file.rows])


def _reduce(store: Store, network: Network, components: int) -> None:
    files: Sequence[DataFile] = features_table(store).files()
    payload = json.dumps([file.name for file in files]).encode()
    model_id = network.model_id("fp32")
    sums = reduce.SumFiles(store, model_id, network.n_features)(payload, Attempt(0, 0))
    pca = PCA.fit(Moments.from_bytes(sums), n_components=components)
    broadcast: Any = SimpleNamespace(value=pca.to_safetensors())
    answer = reduce.ProjectFiles(store, model_id, "run", broadcast)(payload, Attempt(0, 0))
    scores = reduced_table(store)
    scores.create()
    scores.commit("run", 0, [DataFile(**json.loads(answer))], overwrite=True)
    saved.save_model(store, pca, network.description("fp32"), "run")
