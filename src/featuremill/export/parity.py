"""Checks that an exported ONNX model gives what this library gives for the same pictures."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featuremill.dataset.tables import features_table
from featuremill.errors import ImageRejected, RunError, StorageError
from featuremill.export.results import Results
from featuremill.images import decode
from featuremill.images.decode import Limits
from featuremill.images.originals import read_original
from featuremill.images.preprocessing import Preprocessing
from featuremill.images.raw_pixels import Pixels
from featuremill.images.synth import SynthConfig, draw, encode
from featuremill.models.engines import open_engine, smallest_cosine
from featuremill.models.network import BOUNDS, Network
from featuremill.pca.components import PCA

IMAGES = 16
"""How many pictures are compared, at most."""

_BOUND = BOUNDS["fp32"] or 1.0
_DRAWN = SynthConfig(classes=IMAGES, per_class=1, seed=0)


class Parity(NamedTuple):
    """Smallest cosine of all rows of both outputs, over so many images, and which these were."""

    smallest_cosine: float
    compared: int
    pictures: str


def compare(model: bytes, network: Network, pca: PCA, results: Results) -> Parity:
    """Run pictures through the exported model and through the library, in float32.

    The pictures are images of the destination where their source can still be read, else drawn.

    Raises
    ------
    RunError
        If the smallest cosine is below 0.9999.
    """
    found = list(_of_the_table(results, network.preprocessing))
    pictures = "images of the source" if found else "drawn pictures (the source cannot be read)"
    pixels = np.stack(found or list(_drawn(network.preprocessing)))  # (N, height, width, 3)
    features, scores = _run(model, pixels)
    expected = open_engine(network, "fp32").embed(pixels)
    smallest = min(
        smallest_cosine(features, expected), smallest_cosine(scores, pca.transform(expected))
    )
    if not smallest >= _BOUND:
        raise RunError(
            f"the ONNX model reaches cosine {smallest:.6f} to the library on {len(pixels)}"
            f" {pictures}, it must be at least {_BOUND}",
            "This is a defect of featuremill or of ONNX Runtime: please report it.",
        )
    return Parity(smallest, len(pixels), pictures)


def _run(model: bytes, pixels: Pixels) -> Sequence[npt.NDArray[np.float32]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs: Sequence[npt.NDArray[np.float32]] = session.run(
        ["features", "features_pca"], {"pixels": pixels}
    )
    return outputs


def _of_the_table(results: Results, preprocessing: Preprocessing) -> Iterator[Pixels]:
    """Pixels of some embedded images that are still what they were."""
    source = results.source()
    if source is None or results.record is None:
        return
    config = results.record.config
    limits = Limits(config["max_bytes"], config["max_pixels"])
    for path, version in _spread(results):
        try:
            data = read_original(source, path, version)
            yield preprocessing.apply(decode.decode(data, limits).pixels)
        except (OSError, ImageRejected):
            continue
        except StorageError:
            return


def _spread(results: Results) -> Iterator[tuple[str, str]]:
    """Paths and versions of images evenly apart over all files of the table."""
    table = features_table(results.store)
    total = sum(file.rows for file in results.files)
    wanted = np.linspace(0, total, IMAGES, endpoint=False).astype(np.int64)
    start = 0
    for file in results.files:
        here = np.unique(wanted[(wanted >= start) & (wanted < start + file.rows)]) - start
        start += file.rows
        if len(here):
            rows = pa.Table.from_batches(table.read(file, ["path", "version"])).take(pa.array(here))
            yield from zip(*(column.to_pylist() for column in rows.columns), strict=True)


def _drawn(preprocessing: Preprocessing) -> Iterator[Pixels]:
    for number in range(IMAGES):
        picture = encode(draw(number, 0, _DRAWN), "jpeg")
        yield preprocessing.apply(decode.decode(picture, Limits()).pixels)
