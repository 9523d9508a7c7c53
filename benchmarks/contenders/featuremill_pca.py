"""featuremill's reduce stage alone: moments, components, the reduced table, with warm workers."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders.peaks import peak_bytes
from featuremill._utils.progress import Progress
from featuremill.config import RunConfig
from featuremill.dataset.ledger import new_run_id
from featuremill.pca.components import PCA
from featuremill.pca.reduce import RowSelection, compute_moments, project
from featuremill.storage import open_store
from featuremill.workers.opening import opening
from featuremill.workers.protocol import Attempt, Workers
from featuremill.workflows.run import modules_of_tasks


def main() -> None:
    """Fit and project once and print how long that took."""
    options = _options()
    destination, features = open_store(str(options.destination)), RowSelection(options.model_id)
    with _workers(options.master) as workers:
        workers.map([b""] * workers.slots, _warm_up, "warm-up")
        began = time.perf_counter()
        moments = compute_moments(workers, destination, features, options.n_features)
        pca = PCA.fit(moments, n_components=options.components)
        fitted = time.perf_counter()
        rows = project(workers, destination, features, pca, new_run_id())
        ended = time.perf_counter()
        peaks = peak_bytes()
    answer = {
        "rows": rows,
        "fit": fitted - began,
        "project": ended - fitted,
        "ratios": pca.explained_variance_ratio_.tolist(),
        "peaks": peaks,
    }
    print(json.dumps(answer))


@contextmanager
def _workers(master: str | None) -> Iterator[Workers]:
    """A run's workers: Spark's with a master, else processes of this machine."""
    config = RunConfig("in", "out", master=master)
    with opening(config, None, modules_of_tasks(), Progress()) as ready, ready.start() as workers:
        yield workers


def _warm_up(payload: bytes, _: Attempt) -> bytes:
    # a run's workers have embedded before they reduce
    import featuremill.workflows.run.dispatch  # noqa: F401

    return payload


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--model-id", required=True)
    parser.add_argument("--n-features", type=int, required=True)
    parser.add_argument("--components", type=int, required=True)
    parser.add_argument("--master")
    return parser.parse_args()


if __name__ == "__main__":
    main()
