"""Features as a network's publisher would compute them, for comparison with ours.

Pillow decodes and resizes, NumPy does the arithmetic, and ONNX Runtime computes the file as it was
given, one image at a time. Nothing of the path that a run takes is used here, but for reading the
description of the preprocessing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from featuremill.errors import ImageRejected
from featuremill.images.decode import Decoded, Limits
from featuremill.images.preprocessing import Preprocessing, shorter_edge_to
from featuremill.images.raw_pixels import Pixels
from featuremill.models import onnx_features, onnx_file
from featuremill.models.network import Network

if TYPE_CHECKING:
    import onnxruntime

DECODER = "featuremill.models.reference:decode"
"""For :class:`featuremill.images.sandbox.InChild`, in place of the run's own."""

_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of eight bits at most; it clips others, which are scaled by their range here."""


def decode(data: bytes, limits: Limits, _: tuple[int, int] | None = None) -> Decoded:
    """Decode an image by Pillow alone, upright and at every pixel.

    Raises
    ------
    ImageRejected
        If Pillow cannot, or would not keep its levels.
    """
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(io.BytesIO(data))
        if image.mode not in _PLAIN:
            raise ImageRejected("decode", f"Pillow does not keep the levels of mode {image.mode}")
        rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except ImageRejected:
        raise
    except Exception as error:  # of many kinds
        raise ImageRejected("decode", str(error)) from error
    return Decoded(rgb, *rgb.shape[:2])


def resized(rgb: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Resize and crop or pad an image by Pillow alone.

    Returns
    -------
    ndarray of shape (*size, 3), uint8
    """
    image, by = Image.fromarray(rgb), Image.Resampling[preprocessing.resample.upper()]
    height, width = preprocessing.size
    if preprocessing.pad is not None:
        ratio = min(width / image.width, height / image.height)
        small = image.resize(
            (max(1, round(image.width * ratio)), max(1, round(image.height * ratio))), by
        )
        canvas = Image.new("RGB", (width, height), preprocessing.pad)
        canvas.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
        return np.asarray(canvas)
    whole = preprocessing.resize or preprocessing.size
    if isinstance(whole, int):
        whole = shorter_edge_to(whole, image.height, image.width)
    image = image.resize((whole[1], whole[0]), by)
    margins = image.width - width, image.height - height
    left, top = (m // 2 if preprocessing.crop == "floor" else round(m / 2) for m in margins)
    return np.asarray(image.crop((left, top, left + width, top + height)))


def numbers(pixels: Pixels, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """What the network reads for one image, in float32, with an axis of length 1 before it."""
    levels = pixels[..., ::-1] if preprocessing.channels == "BGR" else pixels
    scaled = levels.astype(np.float32) * np.float32(preprocessing.scale)
    mean, std = (np.array(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    normal = ((scaled - mean) / std)[np.newaxis]
    return normal.transpose(0, 3, 1, 2) if preprocessing.layout == "NCHW" else normal


class Reference:
    """A network's own file in ONNX Runtime.

    Parameters
    ----------
    network : Network
        Made of a file, which is read again.
    """

    def __init__(self, network: Network) -> None:
        self._file = onnx_file.read(Path(network.location))
        self._vector = onnx_features.choose(self._file, network.output, network.pool or None)
        self._session = _session(self._file, network.output)
        self.preprocessing = self._file.preprocessing

    def features(self, rgb: Pixels) -> npt.NDArray[np.float32]:
        """Features of one decoded image, of shape (n_features,)."""
        return self.features_of(resized(rgb, self.preprocessing), self.preprocessing)

    def features_of(self, pixels: Pixels, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
        """Features of one resized image, of shape (n_features,)."""
        read = self._session.get_inputs()[0]
        kind = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(read.type, np.float32)
        given = numbers(pixels, preprocessing).astype(kind)
        (tensor,) = self._session.run([self._vector.tensor], {read.name: given})
        return _pooled(np.asarray(tensor, np.float32), self._vector.pool)


def _pooled(tensor: npt.NDArray[np.float32], pool: str | None) -> npt.NDArray[np.float32]:
    row: npt.NDArray[np.float32] = tensor[0]
    if pool == "cls":
        row = row[0]
    elif pool == "mean":
        row = np.asarray(row.mean(axis=0 if row.ndim == 2 else (1, 2)))
    return row.ravel()


def _session(file: onnx_file.OnnxFile, output: str) -> onnxruntime.InferenceSession:
    """The file as it lies there; a tensor within it is made one of its outputs."""
    import onnxruntime
    from onnx import ModelProto, ValueInfoProto

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content: Any = str(file.place.file)
    if output not in {each.name for each in file.model.graph.output}:
        shown = ModelProto()
        shown.CopyFrom(file.model)
        shown.graph.output.append(ValueInfoProto(name=output))
        content = shown.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
