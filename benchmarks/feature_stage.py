"""The feature stage against a bare loop: how much of the machine reaches the network.

The bare loop is as many processes as there are cores, each one read, decode, resize, embed with
the same engine; no Spark, nothing written, nothing recorded. Both run in turn on the same
drawn pictures, and only their ratio is worth quoting: machines are noisy.

    python benchmarks/feature_stage.py --images 8000 --rounds 3
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from featuremill import RunConfig, images, machine, run
from featuremill.images import Limits
from featuremill.models import registry
from featuremill.models.engines import BATCH, open_engine
from featuremill.synth import SynthConfig, write

CLASSES = 131
LIMITS = Limits()


def main() -> None:
    """Measure and print a table and its JSON."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder, "pictures")
        write(pictures, SynthConfig(CLASSES, -(-options.images // CLASSES)))
        paths = sorted(pictures.rglob("*.jpg"))
        results = [
            {"precision": precision, "round": number, **_round(options, paths, precision, folder)}
            for precision in options.precisions
            for number in range(options.rounds)
        ]
    for precision in options.precisions:
        rows = [row for row in results if row["precision"] == precision]
        middle = {name: statistics.median(row[name] for row in rows) for name in ("bare", "stage")}
        ratio = statistics.median(row["ratio"] for row in rows)
        print(
            f"{precision:5}  bare loop {middle['bare']:6.1f} images/s"
            f"   feature stage {middle['stage']:6.1f} images/s   ratio {ratio:.3f}"
        )
    facts = {"images": len(paths), "hardware": machine.hardware(), "versions": machine.versions()}
    print(json.dumps({**facts, "results": results}, indent=2))


def _round(
    options: argparse.Namespace, paths: list[Path], precision: str, folder: str
) -> dict[str, float]:
    destination = tempfile.mkdtemp(dir=folder)
    config = RunConfig(
        str(paths[0].parents[1]),
        destination,
        model=options.model,
        weights=options.weights,
        precision=precision,
        reduce=False,
    )
    record = run(config).record
    stage = record.images_per_second or 0.0
    # the precision that auto chose, so that both compute the same
    chosen = record.precision.most_common(1)[0][0]
    bare = _bare_loop(options, paths, chosen)
    return {"bare": bare, "stage": stage, "ratio": stage / bare}


def _bare_loop(options: argparse.Namespace, paths: list[Path], precision: str) -> float:
    """Images a second of all processes together, from the first to the last image."""
    cores = machine.usable_cores()
    context = multiprocessing.get_context("spawn")
    barrier = context.Manager().Barrier(cores)
    with ProcessPoolExecutor(cores, context) as pool:
        model = options.model, options.weights
        shares = [paths[core::cores] for core in range(cores)]
        arguments = [(*model, share, precision, barrier) for share in shares]
        spans = list(pool.map(_embed_all, arguments))
    return len(paths) / (max(end for _, end in spans) - min(start for start, _ in spans))


def _embed_all(arguments: tuple) -> tuple[float, float]:
    model, weights, paths, precision, barrier = arguments
    network = registry.load(model, Path(weights) if weights else None)
    engine = open_engine(network, precision)
    engine.embed(np.zeros((BATCH, *network.input_size, 3), np.uint8))
    barrier.wait()
    start = time.time()
    for first in range(0, len(paths), BATCH):
        batch = [images.decode(path.read_bytes(), LIMITS) for path in paths[first : first + BATCH]]
        engine.embed(np.stack([images.resize(rgb, network.input_size) for rgb in batch]))
    return start, time.time()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "auto"])
    parser.add_argument("--model", default="mobilenetv2-untrained")
    parser.add_argument("--weights")
    return parser.parse_args()


if __name__ == "__main__":
    main()
