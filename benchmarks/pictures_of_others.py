"""Pictures that nobody here made: features of a folder of them against Keras' way to features.

``python -m benchmarks.pictures_of_others FOLDER --weights FILE`` runs featuremill in fp32 over any
folder, holds its ledger against the files there, and compares every row with ONNX Runtime in
float32 on the pixels that Keras' ``load_img`` gives: Pillow's RGB, bicubic, here turned upright.
What differs, and what only one of the two can read, is listed by kind.
"""

import argparse
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from featuremill import RunConfig, run
from featuremill.config import RejectLimit
from featuremill.models import registry
from featuremill.models.engines import BATCH, Engine, open_engine, smallest_cosine

SAME = 0.9999
"""Cosine from which features are those of Keras."""

Pixels = npt.NDArray[np.uint8]


class Reference(NamedTuple):
    """What Pillow makes of a file: ``pixels`` is None where it can't read it."""

    kind: str
    pixels: Pixels | None


class Compared(NamedTuple):
    """One picture: its kind, and the cosine of both features or who could not read it."""

    kind: str
    path: str
    cosine: float | None
    note: str = ""


def main() -> int:
    """Compare a folder; 1 if the ledger or a number of rows does not add up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--dest", type=Path, help="keep the results here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        dest = options.dest or Path(scratch) / "results"
        config = RunConfig(
            *(str(options.folder), str(dest)),
            weights=str(options.weights),
            precision="fp32",
            reduce=False,
            max_rejects=RejectLimit.parse("100%"),
        )
        record = run(config).record
        files = sum(path.is_file() for path in options.folder.rglob("*"))
        print(f"{files:,} files; {record.ledger}")
        print("skipped:", dict(record.skipped))
        engine = open_engine(registry.load(config.model, options.weights), "fp32", "onnxruntime")
        compared = list(_compared(_rows(dest), engine))
    _print_by_kind(compared)
    ledger = record.ledger
    sound = files == ledger.listed == len(compared) + ledger.skipped
    print("accounted for: " + ("all" if sound else "NOT all"))
    return 0 if sound else 1


def _rows(dest: Path) -> Iterator[tuple[str, npt.NDArray[np.float32] | None, str]]:
    import pyarrow as pa
    from deltalake import DeltaTable

    table = pa.table(DeltaTable(dest / "features").to_pyarrow_table())
    for row in table.select(["path", "features", "reason"]).sort_by("path").to_pylist():
        features = row["features"]
        numbers = None if features is None else np.asarray(features, np.float32)
        yield row["path"], numbers, row["reason"] or ""


def _compared(
    rows: Iterable[tuple[str, npt.NDArray[np.float32] | None, str]], engine: Engine
) -> Iterator[Compared]:
    waiting: list[tuple[str, str, npt.NDArray[np.float32], Pixels]] = []
    for path, features, reason in rows:
        kind, pixels = keras_pixels(Path(path), engine)
        if features is None or pixels is None:
            who = "featuremill" if features is None else "Pillow"
            note = "neither reads it" if features is None and pixels is None else f"{who} does not"
            yield Compared(kind, path, None, f"{note}: {reason}" if reason else note)
            continue
        waiting.append((kind, path, features, pixels))
        if len(waiting) == BATCH:
            yield from _embedded(waiting, engine)
            waiting = []
    if waiting:
        yield from _embedded(waiting, engine)


def _embedded(
    waiting: list[tuple[str, str, npt.NDArray[np.float32], Pixels]], engine: Engine
) -> Iterator[Compared]:
    expected = engine.embed(np.stack([pixels for *_, pixels in waiting]))
    for (kind, path, features, _), row in zip(waiting, expected, strict=True):
        yield Compared(kind, path, smallest_cosine(features[None], row[None]))


def keras_pixels(path: Path, engine: Engine) -> Reference:
    """Pixels as Keras' ``load_img`` gives them for the network, but upright."""
    kind = path.suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                turned = image.getexif().get(0x0112, 1) != 1
                kind = f"{image.format} {image.mode}" + (", turned by EXIF" if turned else "")
                image.load()
                upright = ImageOps.exif_transpose(image)
                rgb = upright if upright.mode == "RGB" else upright.convert("RGB")
                height, width = engine._image_shape[:2]
                small = rgb.resize((width, height), Image.Resampling.BICUBIC)
                return Reference(kind, np.asarray(small))
    except Exception:  # Pillow lets everything through
        return Reference(kind, None)


def _print_by_kind(compared: Iterable[Compared]) -> None:
    kinds: dict[str, list[Compared]] = defaultdict(list)
    for each in compared:
        kinds[each.kind].append(each)
    for kind, pictures in sorted(kinds.items()):
        both = [each for each in pictures if each.cosine is not None]
        differing = [each for each in both if (each.cosine or 0) < SAME]
        smallest = min((each.cosine or 0 for each in both), default=float("nan"))
        print(
            f"{kind}: {len(pictures)} files, {len(both)} read by both, {len(differing)} differ,"
            f" smallest cosine {smallest:.6f}"
        )
        for each in differing:
            print(f"    {each.cosine:.6f}  {each.path}")
        for each in pictures:
            if each.cosine is None:
                print(f"    {each.note}  {each.path}")


if __name__ == "__main__":
    sys.exit(main())
