"""An engine alone: batches of eight through the network on one thread, nothing else."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from featuremill.errors import PrecisionError
from featuremill.models import registry
from featuremill.models.engines import BATCH, Engine, OpenVinoEngine, open_engine


def main() -> None:
    """Print images per second, or why the engine refuses."""
    options = _options()
    network = registry.load(options.model, options.weights)
    try:
        engine = open_engine(
            network.ready_for(options.precision), options.precision, options.engine
        )
    except PrecisionError as error:
        print(json.dumps({"images_per_second": None, "refusal": error.problem}))
        return
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, *network.input_size, 3), np.uint8)
    rate = _rate(engine, pixels, options.seconds)
    print(json.dumps({"images_per_second": rate, "instructions": _instructions(engine)}))


def _instructions(engine: Engine) -> str | None:
    """What OpenVINO's convolutions are compiled to, such as ``avx2``; other engines don't say."""
    if not isinstance(engine, OpenVinoEngine):
        return None
    layers = engine._request.get_compiled_model().get_runtime_model().get_ops()
    kernels = (str(layer.get_rt_info()["primitiveType"].value) for layer in layers)
    # such as brgconv_avx512_1x1_f32
    found = {kernel.split("_", 2)[1] for kernel in kernels if kernel.startswith("brgconv_")}
    return ", ".join(sorted(found))


def _rate(engine: Engine, pixels: np.ndarray, seconds: float) -> float:
    engine.embed(pixels)
    batches, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        engine.embed(pixels)
        batches += 1
    return batches * BATCH / (time.perf_counter() - start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
