"""featuremill's command line with a stub for a network, and clocks on the driver's own work.

The stub looks at 8x8 pixels and gives 1280 numbers: the mean of each channel times constants. All
else is the real thing: listing, decoding, tasks, tables, commits, report.
"""

import json
import sys
import time
from collections import defaultdict
from functools import wraps
from typing import Any

import numpy as np

from benchmarks.contenders.peaks import peak_bytes
from featuremill.cli import main as featuremill
from featuremill.dataset import known_images, tables
from featuremill.images.preprocessing import Preprocessing
from featuremill.models import engines, registry
from featuremill.models.network import Network
from featuremill.workflows.run import dispatch, pipeline
from featuremill.workflows.run.extraction import Extraction

INPUT_SIZE = (8, 8)
N_FEATURES = 1280
ONNX_OPSET, ONNX_IR = 17, 8


def main() -> int:
    """Run, then print how long the driver's parts took and how much memory there was."""
    network = stub_network()
    registry.load = lambda *_: network
    seconds: dict[str, float] = defaultdict(float)
    for owner, attribute, name in (
        (known_images, "known_images", "read known"),
        (known_images.Known, "meet", "compare"),
        (dispatch, "split", "plan"),
        (dispatch, "pack", "plan"),
        (tables.Table, "commit", "commit"),
        (Extraction, "find_new", "extraction"),
        (Extraction, "run", "extraction"),
        (pipeline, "write_report", "report"),
    ):
        _clock(seconds, owner, attribute, name)
    peaks = _peaks_after_extraction()
    featuremill(sys.argv[1:], standalone_mode=False)
    # before this process loads an engine of its own
    peaks |= {"driver": peak_bytes()["driver"]}
    answer = {
        "seconds": seconds,
        "peaks": peaks,
        "stub_microseconds": stub_microseconds(network),
    }
    print(json.dumps(answer))
    return 0


def stub_network() -> Network:
    """A network that costs next to nothing."""
    from onnx import TensorProto, helper, numpy_helper

    factors = np.random.default_rng(0).uniform(0, 1, (3, N_FEATURES)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["means", "factors"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stub",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ("N", *INPUT_SIZE, 3))],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ("N", N_FEATURES))],
        initializer=[numpy_helper.from_array(factors, "factors")],
    )
    opset = helper.make_opsetid("", ONNX_OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=ONNX_IR)
    return Network(
        name="stub",
        onnx=model.SerializeToString(deterministic=True),
        weights_sha256="0" * 64,
        n_features=N_FEATURES,
        mixed=None,
        preprocessing=Preprocessing(INPUT_SIZE),
        trained=False,
        licence="MIT",
    )


def stub_microseconds(network: Network) -> float:
    """What the stub costs an image on one core."""
    engine = engines.open_engine(network, "fp32")
    pixels = np.zeros((4096, *INPUT_SIZE, 3), np.uint8)
    engine.embed(pixels)
    began = time.perf_counter()
    engine.embed(pixels)
    return 1e6 * (time.perf_counter() - began) / len(pixels)


def _clock(seconds: dict[str, float], owner: Any, attribute: str, name: str) -> None:
    """Have all calls of a function or method timed under a name."""
    timed = getattr(owner, attribute)

    @wraps(timed)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return timed(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - began

    setattr(owner, attribute, wrapper)


def _peaks_after_extraction() -> dict[str, int]:
    """Peaks of Spark's processes, filled in while they are still there."""
    peaks: dict[str, int] = {}
    extract = Extraction.run

    def run(extraction: Extraction, spark: Any) -> None:
        extract(extraction, spark)
        peaks.update(peak_bytes())

    Extraction.run = run  # type: ignore[method-assign]
    return peaks


if __name__ == "__main__":
    sys.exit(main())
