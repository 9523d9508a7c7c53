"""Writes the drawn pictures, in a folder for each class, with several processes."""

import io
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from featuremill._utils.hardware import usable_cores
from featuremill.errors import ConfigError, DestinationError, StorageError, WorkerError
from featuremill.images.synth.config import EXTENSIONS, SynthConfig, check, plan
from featuremill.images.synth.drawing import draw
from featuremill.images.synth.vocabulary import class_names, kind_at

BATCH = 200  # pictures a worker draws between two reports: about a third of a second


@dataclass(frozen=True)
class SynthResult:
    """The number of pictures written, the bytes of their files, and the wall-clock seconds."""

    count: int
    bytes: int
    seconds: float


def encode(rgb: npt.NDArray[np.uint8], file_format: str, quality: int = 90) -> bytes:
    """Encode pixels (height, width, 3) as ``jpeg``, ``png`` (where quality is unused) or ``webp``.

    Raises
    ------
    ConfigError
        If the format is none of these or the quality is not from 1 to 100.
    """
    check("quality", quality, 1, 100)
    if file_format == "jpeg":
        return bytes(simplejpeg.encode_jpeg(rgb, quality, "RGB", "420"))
    if file_format not in EXTENSIONS:
        known = ", ".join(EXTENSIONS)
        raise ConfigError(f"The format {file_format!r} is unknown.", f"Choose one of {known}.")
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def write(
    dest: Path,
    config: SynthConfig,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SynthResult:
    """Write ``dest/<class>/<class>_<number>.<extension>`` for every picture.

    Classes appear in ``dest`` when all pictures are written; after a failure it is empty again.

    Parameters
    ----------
    dest : Path
        A folder that is empty or does not exist yet.
    config : SynthConfig
        What to draw.
    workers : int, optional
        Processes that draw; by default one for each available processor.
    progress : callable, optional
        Called with the number of pictures written since its last call.

    Raises
    ------
    ConfigError
        If ``workers`` is less than 1.
    DestinationError
        If ``dest`` is not an empty folder, or cannot be made.
    StorageError
        If a picture cannot be written.
    WorkerError
        If a process that draws is killed.
    """
    workers = usable_cores() if workers is None else workers
    check("workers", workers, 1)
    began = time.perf_counter()
    names = class_names(config.classes)
    unfinished = _claim(dest)
    count = size = 0
    try:
        for name in names:
            (unfinished / name).mkdir()
        task = partial(_write_range, unfinished, config)
        for pictures, written in _in_processes(task, config.classes * config.per_class, workers):
            count, size = count + pictures, size + written
            if progress:
                progress(pictures)
        for name in names:
            (unfinished / name).rename(dest / name)
    except OSError as error:
        raise StorageError(
            f"Writing pictures to {dest} failed: {error}.", "Free some space and start again."
        ) from error
    except BrokenExecutor as error:
        raise WorkerError(
            f"One of {workers} processes that draw pictures died.",
            "Look at memory, and start again with fewer workers.",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return SynthResult(count, size, time.perf_counter() - began)


def _claim(dest: Path) -> Path:
    """Make ``dest``, refuse it if something is in it, and return the folder to fill inside it."""
    try:
        dest.mkdir(parents=True, exist_ok=True)
        if any(dest.iterdir()):
            raise DestinationError(
                f"{dest} is not empty; pictures are only drawn into an empty folder.",
                "Choose another folder, or delete what is in this one.",
            )
        unfinished = dest / ".partial"
        unfinished.mkdir()
    except OSError as error:
        raise DestinationError(
            f"{dest} cannot be made a folder of pictures: {error}.",
            "Choose a folder that you may write to.",
        ) from error
    return unfinished


def _write_range(folder: Path, config: SynthConfig, pictures: range) -> tuple[int, int]:
    """Write pictures, numbered through all classes; return their count and their bytes."""
    size = 0
    for class_index, image_index in (divmod(n, config.per_class) for n in pictures):
        name = kind_at(class_index).name
        file_format = plan(class_index, image_index, config)[2]
        content = encode(draw(class_index, image_index, config), file_format)
        path = folder / name / f"{name}_{image_index}.{EXTENSIONS[file_format]}"
        size += path.write_bytes(content)
    return len(pictures), size


def _in_processes(
    task: Callable[[range], tuple[int, int]], total: int, workers: int
) -> Iterator[tuple[int, int]]:
    """Results of ``task`` over all pictures, a few ranges at a time so that any number fits."""
    batch = max(1, min(BATCH, total // (4 * workers)))
    ranges = (range(low, min(low + batch, total)) for low in range(0, total, batch))
    if workers == 1:
        yield from map(task, ranges)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent
    )
    try:
        pending: set[Future[tuple[int, int]]] = set()
        for pictures in ranges:
            pending.add(pool.submit(task, pictures))
            if len(pending) > 2 * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
