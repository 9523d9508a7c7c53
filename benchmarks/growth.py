"""What the driver costs an image, and how much memory it has, from a thousand images to a million.

The network is replaced by a stub, so that a million images take minutes; the workers do all else.
"""

import io
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import in_turn, newest_record, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result

NAME = "growth"
TITLE = "Growth: the driver's work and memory (a stub for a network)"

LISTING, FIRST, NOTHING_NEW, SOME_NEW = "listing alone", "first run", "nothing new", "1 % new"
COLUMNS = (
    *("run", "images", "listing µs", "read known µs", "compare µs", "plan µs", "commit µs"),
    *("extraction s", "process s", "chunks", "driver MB", "JVM MB", "worker MB"),
)

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_QUICK_SIZES = _SIZES[:2]
_NAMES_PER_FOLDER = 1000
_LINKS_PER_FILE = 50_000  # ext4 allows 65,000
_ADDED = "added"


def measure(options: Options) -> Result:
    """List, run, run again, and run once more with one image in a hundred added."""
    sizes = _QUICK_SIZES if options.quick else _SIZES
    pictures = {size: _pictures(options, size) for size in sizes}
    contenders = {f"{size:,} images": partial(_runs, pictures[size], size) for size in sizes}
    rounds = in_turn(contenders, options.rounds)
    stub = statistics.median(
        answers[name][FIRST]["stub_microseconds"] for answers in rounds for name in contenders
    )
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [
            _row(run, size, [answers[f"{size:,} images"][run] for answers in rounds])
            for size in sizes
            for run in (LISTING, FIRST, NOTHING_NEW, SOME_NEW)
        ],
        notes=[
            "The microseconds are the driver's, for each image listed; planning and committing,"
            " for each new one. Listing is a thread beside all else, so it is also timed alone.",
            f"The network is a stub that takes 8x8 pixels and costs {stub:.1f} µs an image; the"
            " images are names of a few 8x8 JPEGs. Everything else is real, features of 1280"
            " numbers in Delta tables included; --no-reduce.",
            "Memory: largest resident set of the driver's Python over its whole life, of its JVM"
            " and of one worker until the end of the extraction; none where nothing is new.",
        ],
        measurements=rounds,
    )


def _runs(pictures: Path, size: int) -> Mapping[str, Mapping[str, Any]]:
    added = pictures / _ADDED
    shutil.rmtree(added, ignore_errors=True)
    destination = Path(tempfile.mkdtemp(dir=pictures.parent))
    try:
        answers = {LISTING: _measured("listing", pictures)}
        answers[FIRST] = _run(pictures, destination)
        answers[NOTHING_NEW] = _run(pictures, destination)
        _fill(added, size // 100)
        answers[SOME_NEW] = _run(pictures, destination)
    finally:
        shutil.rmtree(added, ignore_errors=True)
        shutil.rmtree(destination)
    return answers


def _run(pictures: Path, destination: Path) -> Mapping[str, Any]:
    arguments = ["--no-reduce", "--model", "mobilenetv2-untrained"]
    answer = _measured("stubbed_run", "run", pictures, destination, *arguments)
    record = newest_record(destination)
    return {**answer, "ledger": record["ledger"], "chunks": record["chunks"]}


def _measured(module: str, *arguments: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.contenders.{module}", *arguments]
    measured = run_measured(command, cwd=HERE.parent)
    return {**measured.answer, "process_seconds": measured.seconds}


def _row(run: str, size: int, answers: Sequence[Mapping[str, Any]]) -> list[Cell]:
    def median(of: str, part: str) -> float:
        return statistics.median(answer[of].get(part, 0) for answer in answers)

    process = statistics.median(answer["process_seconds"] for answer in answers)
    driver = median("peaks", "driver") / 1e6
    if run == LISTING:
        seconds = statistics.median(answer["seconds"] for answer in answers)
        listing = 1e6 * seconds / answers[0]["images"]
        return [run, size, listing, *[None] * 5, process, None, driver, None, None]
    ledger = answers[0]["ledger"]
    listed, new = ledger["listed"], ledger["embedded"]
    return [
        run,
        size,
        None,
        *(1e6 * median("seconds", part) / listed for part in ("read known", "compare")),
        *(1e6 * median("seconds", part) / new if new else None for part in ("plan", "commit")),
        median("seconds", "extraction"),
        process,
        answers[0]["chunks"],
        driver,
        *(median("peaks", which) / 1e6 for which in ("jvm", "worker")),
    ]


def _pictures(options: Options, size: int) -> Path:
    """So many names of a few small pictures, made once and reused."""
    folder = options.data / f"names-{size}"
    if not folder.exists():
        print(f"  making {folder.name}", flush=True)
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _fill(unfinished, size)
        unfinished.rename(folder)
    return folder


def _fill(folder: Path, count: int) -> None:
    for number in range(count):
        class_folder = folder / f"class_{number // _NAMES_PER_FOLDER:04d}"
        if number % _NAMES_PER_FOLDER == 0:
            class_folder.mkdir(parents=True)
        path = class_folder / f"picture_{number:07d}.jpg"
        if number % _LINKS_PER_FILE == 0:
            path.write_bytes(_jpeg(number))
            original = path
        else:
            os.link(original, path)


def _jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    return file.getvalue()
