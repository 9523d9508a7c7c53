"""From references to feature rows: fetch, decode, embed.

Each stage is iterator in, iterator out, and hands on what an earlier stage rejected. Nothing
here knows of Spark: a task is a list of references, and its answer is a receipt.
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featuremill.dataset.schemas import FEATURES, FEATURES_FOLDER, feature_writer
from featuremill.errors import ImageRejected
from featuremill.images.decode import Limits
from featuremill.images.preprocessing import Preprocessing
from featuremill.images.sandbox import Decoder
from featuremill.models.engines import BATCH, Engine
from featuremill.storage import Store, member_places
from featuremill.storage.listing import Reference, Rejection
from featuremill.workflows.run.decoder_time import NO_TIME_LEFT, Decoding

SCHEMA_FINGERPRINT = hashlib.sha256(FEATURES.to_string().encode()).hexdigest()[:16]
"""Tells the driver that a worker writes the very same columns."""

_ROW_GROUP = 4096


class Raw(NamedTuple):
    """An image's bytes; the reference holds the version that was really read."""

    reference: Reference
    data: bytes


class Picture(NamedTuple):
    """An image ready for the network."""

    reference: Reference
    width: int
    height: int
    pixels: npt.NDArray[np.uint8]  # (H, W, 3) of the network's input


class Row(NamedTuple):
    """An image's features."""

    reference: Reference
    width: int
    height: int
    features: npt.NDArray[np.float32]  # (n_features,)


@dataclass(frozen=True)
class Receipt:
    """What one task did; all that travels back to the driver."""

    name: str | None
    rows: int
    size: int
    rejections: tuple[Rejection, ...]
    precision: str
    cpu_seconds: float
    seconds: float
    decoding: Decoding = field(default_factory=Decoding)
    schema: str = SCHEMA_FINGERPRINT


def fetch(
    references: Iterable[Reference], source: Store, limits: Limits
) -> Iterator[Raw | Rejection]:
    """Read images ahead, many at once, in order; at most ``source.read_ahead`` are held."""

    def one(reference: Reference) -> Raw | Rejection:
        if reference.bytes > limits.max_bytes:
            reason = f"{reference.bytes:,} bytes, limit {limits.max_bytes:,}"
            return Rejection(reference, "limit", reason)
        try:
            data, version = member_places.fetch(source, reference.path, reference.version)
        except OSError as error:
            return Rejection(reference, "fetch", error.strerror or str(error))
        return Raw(reference._replace(version=version, bytes=len(data)), data)

    waiting: deque[Future[Raw | Rejection]] = deque()
    with ThreadPoolExecutor(source.read_ahead, "fetch") as pool:
        try:
            for reference in references:
                waiting.append(pool.submit(one, reference))
                if len(waiting) > source.read_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def decode(
    fetched: Iterable[Raw | Rejection],
    decoder: Decoder,
    preprocessing: Preprocessing,
    decoding: Decoding | None = None,
    patience: float = math.inf,
) -> Iterator[Picture | Rejection]:
    """Bytes to RGB uint8 pixels of the network's input size.

    What decoding came to is noted in ``decoding``; from ``patience`` seconds beyond the ordinary
    on, all further images are rejected.
    """
    decoding = decoding or Decoding()
    for item in fetched:
        if isinstance(item, Rejection):
            yield item
            continue
        reference = item.reference
        if decoding.excess > patience:
            yield Rejection(reference, "limit", NO_TIME_LEFT)
            continue
        started = time.perf_counter()
        try:
            decoded = decoder.decode(item.data)
        except ImageRejected as rejected:
            yield Rejection(reference, rejected.stage, rejected.reason)
            continue
        finally:
            seconds = time.perf_counter() - started
            decoding.note_seconds(reference.path, seconds, len(item.data))
        pixels = preprocessing.apply(decoded.pixels)
        decoding.note_levels(reference.path, int(pixels.max()) - int(pixels.min()))
        yield Picture(reference, decoded.width, decoded.height, pixels)


def embed(pictures: Iterable[Picture | Rejection], engine: Engine) -> Iterator[Row | Rejection]:
    """Pixels to features, in batches of 8."""
    batch: list[Picture] = []
    for item in pictures:
        if isinstance(item, Rejection):
            yield item
            continue
        batch.append(item)
        if len(batch) == BATCH:
            yield from _embed_batch(batch, engine)
            batch = []
    if batch:
        yield from _embed_batch(batch, engine)


def write_features(
    rows: Iterable[Row | Rejection], model_id: str, run: str
) -> tuple[bytes, int, list[Rejection]]:
    """One Parquet file of the rows, how many there are, and what was rejected on the way."""
    sink = pa.BufferOutputStream()
    rejections: list[Rejection] = []
    buffered: list[Row] = []
    count = 0
    with feature_writer(sink) as writer:
        for item in rows:
            if isinstance(item, Rejection):
                rejections.append(item)
                continue
            buffered.append(item)
            if len(buffered) == _ROW_GROUP:
                writer.write_batch(_record_batch(buffered, model_id, run))
                count, buffered = count + len(buffered), []
        if buffered:
            writer.write_batch(_record_batch(buffered, model_id, run))
    return sink.getvalue().to_pybytes(), count + len(buffered), rejections


def rejected_rows(rejections: Iterable[Rejection], model_id: str, run: str) -> pa.Table:
    """Rows of the features table for images that were rejected."""
    rows = [
        {
            **rejection.reference._asdict(),
            "model_id": model_id,
            "stage": rejection.stage,
            "reason": rejection.reason,
            "run": run,
        }
        for rejection in rejections
    ]
    return pa.Table.from_pylist(rows, schema=FEATURES)


@dataclass(frozen=True)
class Task:
    """Everything but the network that one task needs; small and picklable.

    ``every_pixel`` tells whether large JPEGs too are decoded at their full size.
    """

    source: Store
    destination: Store
    limits: Limits
    preprocessing: Preprocessing
    model_id: str
    run: str
    every_pixel: bool

    @property
    def target(self) -> tuple[int, int] | None:
        """What a decoder may decode for, if that need not be every pixel."""
        return None if self.every_pixel else self.preprocessing.target


def run_task(
    task: Task,
    references: Iterable[Reference],
    name: str,
    engine: Engine,
    decoder: Decoder,
    patience: float = math.inf,
) -> Receipt:
    """Embed references and write one Parquet file to the destination.

    Parameters
    ----------
    name : str
        Of the file, below the features table's folder.
    patience : float
        Seconds beyond the ordinary that its images may take to decode, all together.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    fetched = fetch(references, task.source, task.limits)
    decoding = Decoding()
    rows = embed(decode(fetched, decoder, task.preprocessing, decoding, patience), engine)
    data, count, rejections = write_features(rows, task.model_id, task.run)
    if count:
        task.destination.write(f"{FEATURES_FOLDER}/{name}", data)
    return Receipt(
        name=name if count else None,
        rows=count,
        size=len(data),
        rejections=tuple(rejections),
        precision=engine.precision,
        cpu_seconds=time.process_time() - cpu_started,
        seconds=time.perf_counter() - started,
        decoding=decoding,
    )


def _embed_batch(batch: list[Picture], engine: Engine) -> Iterator[Row | Rejection]:
    features = engine.embed(np.stack([picture.pixels for picture in batch]))  # (B, n_features)
    for picture, row in zip(batch, features, strict=True):
        if np.isfinite(row).all():
            yield Row(picture.reference, picture.width, picture.height, row)
        else:
            yield Rejection(picture.reference, "embed", "the features are not finite numbers")


def _record_batch(rows: list[Row], model_id: str, run: str) -> pa.RecordBatch:
    matrix = np.stack([row.features for row in rows])  # (R, n_features)
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    nothing = pa.nulls(len(rows), pa.string())
    references = [row.reference for row in rows]
    columns = [
        pa.array([reference.path for reference in references]),
        pa.array([reference.label for reference in references]),
        pa.array([reference.version for reference in references]),
        pa.array([reference.bytes for reference in references], pa.int64()),
        pa.array([row.width for row in rows], pa.int32()),
        pa.array([row.height for row in rows], pa.int32()),
        pa.array([model_id] * len(rows)),
        pa.ListArray.from_arrays(offsets, matrix.ravel()),
        nothing,
        nothing,
        pa.array([run] * len(rows)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FEATURES)
