"""Measure the embedded network against its teacher, on pictures it never saw.

    python training/evaluate.py --photographs PHOTOS --data DATA --weights FILE.h5 --out FILE.json

PHOTOS is what collect.py filled; of it only photographs that were held out are used. DATA holds
``photos/<class>/*.jpg`` and ``shapes/{Training,Validation}/<class>/*.jpg``. Neighbours are nearest
by the cosine between features as they are; the untrained network is the embedded one with random
weights. Figures of all three stand side by side, and of the pixels alone.
"""

import argparse
import csv
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from crops import EVALUATION, cut, open_photograph, random_for, seen_at
from featuremill.models import embedded, engines, registry
from featuremill.models.engines import smallest_cosine
from featuremill.models.network import Network
from teach import part_of

Features = npt.NDArray[np.float32]
NEIGHBOURS = 5
SIDES = (224, embedded.PREPROCESSING.size[0])

PLANS = {
    "same photograph, 1-NN of 150 x 20": (150, 20),
    "same photograph, 1-NN of 1,500 x 2": (1500, 2),
}
"""Photographs and crops of each, 3,000 either way. Among twenty crops of a photograph one is always
much like another; with two, they may share a corner only."""


@dataclass(frozen=True)
class Pictures:
    """Pictures as both input sizes need them, and what they show."""

    at_224: npt.NDArray[np.uint8]
    at_96: npt.NDArray[np.uint8]
    labels: Sequence[str]

    @classmethod
    def of(cls, images: Sequence[Image.Image], labels: Sequence[str]) -> "Pictures":
        """Resize images to both."""
        teachers, ours = (np.stack([seen_at(image, side) for image in images]) for side in SIDES)
        return cls(teachers, ours, labels)


def held_out(folder: Path, photographs: int, crops: int) -> Pictures:
    """Cut crops of photographs that took no part in the training, labelled by photograph."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if part_of(row["path"]) == "held-out"]
    chosen = sorted(paths, key=lambda path: zlib.crc32(path.encode()[::-1]))[:photographs]
    images, labels = [], []
    for path in chosen:
        photograph = open_photograph(folder / path)
        images += [cut(photograph, EVALUATION, random_for(2, path, n)) for n in range(crops)]
        labels += [path] * crops
    return Pictures.of(images, labels)


def pictures(folder: Path) -> Pictures:
    """Read the pictures below a folder, labelled by the folder they are in."""
    files = sorted(file for file in folder.rglob("*.jpg"))
    images = [open_photograph(file) for file in files]
    return Pictures.of(images, [file.parent.name for file in files])


def untrained(seed: int) -> Network:
    """The embedded network with random weights (He et al., ICCV 2015)."""
    random = np.random.Generator(np.random.PCG64(seed))
    weights = {
        name: random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        if len(shape) > 1
        else np.zeros(shape)
        for name, shape in embedded.TENSORS.items()
    }
    return replace(
        registry.load("embedded"), onnx=embedded.build_onnx(weights), weights_sha256=f"seed {seed}"
    )


def same_photograph(features: Features, photographs: Sequence[str]) -> float:
    """Share of crops whose nearest other crop is of the same photograph."""
    search = NearestNeighbors(n_neighbors=2, metric="cosine").fit(features)
    nearest = search.kneighbors(return_distance=False, n_neighbors=1)[:, 0]
    return float(np.mean([photographs[i] == photographs[n] for i, n in enumerate(nearest)]))


def leave_one_out(features: Features, labels: Sequence[str]) -> float:
    """Share of pictures that their five nearest others name rightly."""
    classifier = KNeighborsClassifier(NEIGHBOURS, metric="cosine")
    found = cross_val_predict(classifier, features, np.array(labels), cv=LeaveOneOut())
    return float(np.mean(found == np.array(labels)))


def from_training(
    known: Features, names: Sequence[str], asked: Features, truth: Sequence[str]
) -> float:
    """Share of pictures that their five nearest known ones name rightly."""
    classifier = KNeighborsClassifier(NEIGHBOURS, metric="cosine").fit(known, np.array(names))
    return float(np.mean(classifier.predict(asked) == np.array(truth)))


def measured(options: argparse.Namespace) -> Mapping[str, Mapping[str, float]]:
    """Compute all figures."""
    sets = {name: held_out(options.photographs, *plan) for name, plan in PLANS.items()}
    photos = pictures(options.data / "photos")
    known, asked = (pictures(options.data / "shapes" / part) for part in ("Training", "Validation"))
    fast = "mixed" if engines.native_bf16() else "fp32"
    teacher = engines.open_engine(registry.load("mobilenetv2", options.weights), fast)
    ours = engines.open_engine(registry.load("embedded"), fast)
    chance = engines.open_engine(untrained(1), fast)
    ways: Mapping[str, Callable[[Pictures], Features]] = {
        "teacher": lambda shown: teacher.embed(shown.at_224),
        "embedded": lambda shown: ours.embed(shown.at_96),
        "untrained": lambda shown: chance.embed(shown.at_96),
        "pixels": lambda shown: _pixels(shown.at_96),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, embed in ways.items():
        figures[name] = {
            what: same_photograph(embed(crops), crops.labels) for what, crops in sets.items()
        }
        figures[name]["photos, leave-one-out 5-NN"] = leave_one_out(embed(photos), photos.labels)
        figures[name]["shapes, 5-NN"] = from_training(
            embed(known), known.labels, embed(asked), asked.labels
        )
    exact = engines.open_engine(registry.load("embedded"), "fp32")
    every = [*sets.values(), photos, known, asked]
    figures["precision"] = {
        f"smallest cosine of {fast} to fp32": min(
            smallest_cosine(ours.embed(shown.at_96), exact.embed(shown.at_96)) for shown in every
        ),
        "pictures": float(sum(len(shown.labels) for shown in every)),
    }
    varied = sets["same photograph, 1-NN of 1,500 x 2"]
    figures["imitation"] = {
        "mean cosine to the teacher, 1,500 x 2": _mean_cosine(
            exact.embed(varied.at_96), teacher.embed(varied.at_224)
        )
    }
    return figures


def _pixels(pixels: npt.NDArray[np.uint8]) -> Features:
    """Every fourth pixel, less the average picture: what needs no network."""
    few = pixels[:, ::4, ::4].reshape(len(pixels), -1).astype(np.float32)
    return few - few.mean(axis=0)


def _mean_cosine(a: Features, b: Features) -> float:
    products = np.einsum("ij,ij->i", a, b)
    return float(np.mean(products / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photographs", type=Path, required=True, help="folder that collect.py filled"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with photos and shapes")
    parser.add_argument("--weights", type=Path, required=True, help="the teacher's, Keras .h5")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    options = parser.parse_args()
    figures = measured(options)
    options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for name, values in figures.items():
        for what, value in values.items():
            print(f"{name:10}  {what:40}  {value:.5g}")


if __name__ == "__main__":
    main()
