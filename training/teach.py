"""Cut crops of photographs and ask the teacher, ImageNet MobileNetV2, for their features.

    python training/teach.py --photographs PHOTOS --weights WEIGHTS.h5 --out CROPS

Works through the photographs shard by shard on all cores; shards that are there already are kept,
so an interrupted run goes on where it was. The teacher sees every crop at 224 x 224 pixels, the
student will see the same crop at its own input size.
"""

import argparse
import csv
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crops import EVALUATION, TRAINING, Recipe, cut, open_photograph, random_for, seen_at
from featuremill._utils.hardware import usable_cores
from featuremill.models import embedded, engines, registry

SHARD = 64
"""Photographs a shard."""

PARTS = ("train", "validation")
"""Parts that are cut here; what is held out is left alone until the end."""


@dataclass(frozen=True)
class Job:
    """One shard: which crops of which photographs, and where they go."""

    root: Path
    weights: Path
    out: Path
    part: str
    photographs: Sequence[str]
    crops: int
    seed: int


def part_of(path: str) -> str:
    """Tell which part a photograph belongs to: 10 % are held out, 2 % steer the training.

    By its name alone, so that photographs added later move no other one.
    """
    draw = zlib.crc32(path.encode()) % 100
    return "held-out" if draw < 10 else "validation" if draw < 12 else "train"


def recipe_for(part: str) -> Recipe:
    """Plain crops for measuring, varied ones for learning."""
    return TRAINING if part == "train" else EVALUATION


def main() -> None:
    """Run the command line."""
    options = _parser().parse_args()
    with (options.photographs / "manifest.csv").open(newline="", encoding="utf-8") as file:
        photographs = [row["path"] for row in csv.DictReader(file)]
    wanted = {"train": options.crops, "validation": 2}
    jobs = [job for part in PARTS for job in _jobs(options, photographs, part, wanted[part])]
    pending = [job for job in jobs if not _features_file(job.out).exists()]
    print(f"{len(photographs):,} photographs, {len(jobs):,} shards, {len(pending):,} to do")
    with ProcessPoolExecutor(usable_cores()) as pool:
        for done, future in enumerate(
            as_completed([pool.submit(_make, job) for job in pending]), start=1
        ):
            future.result()
            if done % 20 == 0 or done == len(pending):
                print(f"{done:,} of {len(pending):,} shards", flush=True)


def _jobs(
    options: argparse.Namespace, photographs: Sequence[str], part: str, crops: int
) -> list[Job]:
    # shuffled, so that the first shards are as varied as all of them
    chosen = sorted(
        (path for path in photographs if part_of(path) == part),
        key=lambda path: zlib.crc32(path.encode()[::-1]),
    )
    folder = options.out / part
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Job(
            options.photographs,
            options.weights,
            folder / f"{start // SHARD:05d}",
            part,
            chosen[start : start + SHARD],
            crops,
            options.seed,
        )
        for start in range(0, len(chosen), SHARD)
    ]


def _features_file(out: Path) -> Path:
    return out.with_suffix(".features.npy")


def _make(job: Job) -> None:
    """Write one shard: pixels first, features last, since these say that it is whole."""
    network = registry.load("mobilenetv2", job.weights)
    precision = "mixed" if engines.native_bf16() else "fp32"
    teacher = engines.open_engine(network, precision)
    recipe = recipe_for(job.part)
    small, features, names = [], [], []
    for path in job.photographs:
        photograph = open_photograph(job.root / path)
        each = [cut(photograph, recipe, random_for(job.seed, path, n)) for n in range(job.crops)]
        small += [seen_at(crop, embedded.PREPROCESSING.size[0]) for crop in each]
        features.append(teacher.embed(np.stack([seen_at(crop, 224) for crop in each])))
        names += [path] * job.crops
    np.save(job.out.with_suffix(".pixels.npy"), np.stack(small))
    np.save(job.out.with_suffix(".names.npy"), np.array(names))
    partial = job.out.with_suffix(".partial.npy")
    np.save(partial, np.concatenate(features).astype(np.float16))
    partial.replace(_features_file(job.out))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photographs", type=Path, required=True, help="folder that collect.py filled"
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="MobileNetV2's ImageNet weights, Keras .h5"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument(
        "--crops", type=int, default=6, help="crops of each photograph to learn from (default: 6)"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the crops (default: 1)")
    return parser


if __name__ == "__main__":
    main()
