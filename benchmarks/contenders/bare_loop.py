"""The ceiling: bare processes, each one read, decode, resize, embed; nothing is written."""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier

from benchmarks.contenders.embedding import pixels_of
from featuremill._utils import hardware
from featuremill.models import registry
from featuremill.models.engines import BATCH, open_engine


def main() -> None:
    """Embed all pictures of a folder and print images per second."""
    options = _options()
    paths = sorted(map(str, options.folder.rglob("*.jpg")))
    cores = hardware.usable_cores()
    context = multiprocessing.get_context("spawn")
    barrier = context.Manager().Barrier(cores)
    with ProcessPoolExecutor(cores, context) as pool:
        shares = [(options, paths[core::cores], barrier) for core in range(cores)]
        spans = list(pool.map(_embed_all, *zip(*shares, strict=True)))
    seconds = max(end for _, end in spans) - min(start for start, _ in spans)
    print(json.dumps({"images": len(paths), "images_per_second": len(paths) / seconds}))


def _embed_all(
    options: argparse.Namespace, paths: list[str], barrier: Barrier
) -> tuple[float, float]:
    """When this process embedded its first and its last image."""
    network = registry.load(options.model, options.weights)
    engine = open_engine(network, options.precision)
    engine.embed(pixels_of(paths[:BATCH], network.input_size))  # compiles what compiles late
    barrier.wait()
    start = time.time()
    for first in range(0, len(paths), BATCH):
        engine.embed(pixels_of(paths[first : first + BATCH], network.input_size))
    return start, time.time()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
