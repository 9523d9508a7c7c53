"""Features as a network's publisher would compute them, for comparison with ours.

Pillow decodes and resizes, NumPy does the arithmetic, and ONNX Runtime computes the file as it was
given, one image at a time. Nothing of the path that a run takes is used here, but for reading the
description of the preprocessing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from featuremill.errors import ImageRejected
from featuremill.images.decode import Decoded, Limits
from featuremill.images.preprocessing import Preprocessing, Size, shorter_edge_to
from featuremill.images.raw_pixels import Pixels
from featuremill.models import onnx_features, onnx_file
from featuremill.models.network import Network

if TYPE_CHECKING:
    import onnxruntime

Vector = npt.NDArray[np.float32]
Resize = Callable[[Image.Image, Size, str], Image.Image]
"""From an image, a height and width, and the name of a filter to an image of that size."""

DECODER = "featuremill.models.reference:decode"
"""For :class:`featuremill.images.sandbox.InChild`, in place of the run's own."""

_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of eight bits at most; it clips others, which are scaled by their range here."""


def decode(
    data: bytes,
    limits: Limits,
    _: tuple[int, int] | None = None,
    *,
    upright: bool = True,
    behind: str = "",
) -> Decoded:
    """Decode an image by Pillow alone and at every pixel.

    Parameters
    ----------
    data, limits
        The encoded image, and the largest one to decode.
    upright : bool
        Whether the picture is turned as its EXIF says.
    behind : str
        Colour that shows through transparent pixels; without one alpha is dropped.

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
        picture = ImageOps.exif_transpose(image) if upright else image
        if behind and picture.has_transparency_data:
            canvas = Image.new("RGBA", picture.size, behind)
            picture = Image.alpha_composite(canvas, picture.convert("RGBA"))
        rgb = np.asarray(picture.convert("RGB"))
    except ImageRejected:
        raise
    except Exception as error:  # of many kinds
        raise ImageRejected("decode", str(error)) from error
    return Decoded(rgb, *rgb.shape[:2])


def by_pillow(image: Image.Image, size: Size, resample: str) -> Image.Image:
    """Resize to a height and width by one of Pillow's filters."""
    return image.resize(size[::-1], Image.Resampling[resample.upper()])


def resized(rgb: Pixels, preprocessing: Preprocessing, resize: Resize = by_pillow) -> Pixels:
    """Resize and crop or pad an image by Pillow alone, unless another resize is given.

    Returns
    -------
    ndarray of shape (*size, 3), uint8
    """
    image, by = Image.fromarray(rgb), preprocessing.resample
    height, width = preprocessing.size
    if preprocessing.pad is not None:
        ratio = min(width / image.width, height / image.height)
        inside = max(1, round(image.height * ratio)), max(1, round(image.width * ratio))
        small = resize(image, inside, by)
        canvas = Image.new("RGB", (width, height), preprocessing.pad)
        canvas.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
        return np.asarray(canvas)
    whole = preprocessing.resize or preprocessing.size
    if isinstance(whole, int):
        whole = shorter_edge_to(whole, image.height, image.width)
    image = resize(image, whole, by)
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
    threads : int
        How many one image is computed with.
    """

    def __init__(self, network: Network, threads: int = 1) -> None:
        self._file = onnx_file.read(Path(network.location))
        self._vector = onnx_features.choose(self._file, network.output, network.pool or None)
        self._session = _session(self._file, [network.output], threads)
        self._every: onnxruntime.InferenceSession | None = None
        self.preprocessing = self._file.preprocessing

    def features(self, rgb: Pixels) -> Vector:
        """Features of one decoded image, of shape (n_features,)."""
        return self.features_of(resized(rgb, self.preprocessing), self.preprocessing)

    def features_of(self, pixels: Pixels, preprocessing: Preprocessing) -> Vector:
        """Features of one resized image, of shape (n_features,)."""
        (tensor,) = self._run(self._session, [self._vector.tensor], pixels, preprocessing)
        return _pooled(np.asarray(tensor, np.float32), self._vector.pool)

    def vectors(self, pixels: Pixels) -> Iterator[tuple[str, Vector]]:
        """All that could be taken for the features of one resized image.

        Yields
        ------
        name : str
            Of a tensor of the graph, and how it is pooled.
        vector : ndarray of shape (n,), float32
            Of any length n.
        """
        graph = self._file.model.graph
        made = (name for node in graph.node for name in node.output if name)
        names = list(dict.fromkeys((*(each.name for each in graph.output), *made)))
        if self._every is None:
            self._every = _session(self._file, names)
        tensors = self._run(self._every, names, pixels, self.preprocessing)
        for name, tensor in zip(names, tensors, strict=True):
            if not isinstance(tensor, np.ndarray) or tensor.dtype.kind != "f":
                continue
            for pool in {2: (None,), 3: ("cls", "mean"), 4: (None, "mean")}.get(tensor.ndim, ()):
                how = f" pooled by {pool}" if pool else ""
                yield f"{name}{how}", _pooled(tensor.astype(np.float32), pool)

    def _run(
        self,
        session: onnxruntime.InferenceSession,
        names: list[str],
        pixels: Pixels,
        preprocessing: Preprocessing,
    ) -> Sequence[Any]:
        read = session.get_inputs()[0]
        kind = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(read.type, np.float32)
        given = numbers(pixels, preprocessing).astype(kind)
        tensors: Sequence[Any] = session.run(names, {read.name: given})
        return tensors


def _pooled(tensor: Vector, pool: str | None) -> Vector:
    row: Vector = tensor[0]
    if pool == "cls":
        row = row[0]
    elif pool == "mean":
        row = np.asarray(row.mean(axis=0 if row.ndim == 2 else (1, 2)))
    return row.ravel()


def _session(
    file: onnx_file.OnnxFile, names: list[str], threads: int = 1
) -> onnxruntime.InferenceSession:
    """The file as it lies there; tensors within it are made some of its outputs."""
    import onnxruntime
    from onnx import ModelProto, ValueInfoProto

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    content: Any = str(file.place.file)
    inner = [name for name in names if name not in {each.name for each in file.model.graph.output}]
    if inner:
        shown = ModelProto()
        shown.CopyFrom(file.model)
        shown.graph.output.extend(ValueInfoProto(name=name) for name in inner)
        content = shown.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
