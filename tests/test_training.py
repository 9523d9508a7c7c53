"""How the embedded network is trained: what of it can be told without training."""

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
TRAINING = ROOT / "training"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of training/ are no package: they are run where they lie."""
    monkeypatch.syspath_prepend(str(TRAINING))


@pytest.fixture
def photograph(pictures: Path) -> Image.Image:
    from crops import open_photograph

    return open_photograph(next(iter(sorted(pictures.rglob("*.jpg")))))


def test_a_crop_can_be_made_again_alone(photograph: Image.Image) -> None:
    import crops

    def third() -> Image.Image:
        return crops.cut(photograph, crops.TRAINING, crops.random_for(1, "a/b.jpg", 3))

    other = crops.cut(photograph, crops.TRAINING, crops.random_for(1, "a/b.jpg", 4))
    assert np.array_equal(crops.seen_at(third(), 96), crops.seen_at(third(), 96))
    assert not np.array_equal(crops.seen_at(third(), 96), crops.seen_at(other, 96))


def test_what_is_measured_on_is_cut_and_mirrored_but_never_recoloured(
    photograph: Image.Image,
) -> None:
    import crops

    colours = {colour for _, colour in photograph.getcolors(photograph.width * photograph.height)}
    for number in range(20):
        crop = crops.cut(photograph, crops.EVALUATION, crops.random_for(1, "x", number))
        assert crop.width * crop.height >= 0.18 * photograph.width * photograph.height
        assert {colour for _, colour in crop.getcolors(crop.width * crop.height)} <= colours


def test_outlines_are_black_on_white(photograph: Image.Image) -> None:
    import crops

    only_lines = crops.Recipe(0.5, lines=1.0)
    drawing = crops.cut(photograph, only_lines, crops.random_for(1, "x", 1))
    assert {colour for _, colour in drawing.getcolors()} == {(0, 0, 0), (255, 255, 255)}
    assert np.asarray(drawing).mean() > 128


def test_a_tenth_of_the_photographs_is_held_out_whatever_others_there_are() -> None:
    from teach import part_of

    names = [f"source/{number}.jpg" for number in range(20_000)]
    parts = [part_of(name) for name in names]
    assert parts.count("held-out") == pytest.approx(2_000, rel=0.1)
    assert parts.count("validation") == pytest.approx(400, rel=0.2)
    assert [part_of(name) for name in reversed(names)] == parts[::-1]


def test_every_source_says_where_it_is_from_and_what_its_licence_is() -> None:
    sources = tomllib.loads((TRAINING / "sources.toml").read_text())["source"]
    assert sum(source["photographs"] for source in sources) >= 20_000
    for source in sources:
        assert len(source["commit"]) == 40
        assert source["licence"]
        assert source["subject"]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Crops of noise with features of noise: enough to step on, nothing to learn."""
    random = np.random.default_rng(1)
    for part, count in (("train", 512), ("validation", 16)):
        folder = tmp_path / "crops" / part
        folder.mkdir(parents=True)
        pixels = random.integers(0, 256, (count, 96, 96, 3), np.uint8)
        np.save(folder / "00000.pixels.npy", pixels)
        np.save(folder / "00000.features.npy", random.random((count, 1280)).astype(np.float16))
    return tmp_path / "crops"


@pytest.fixture
def distil(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("torch", reason="PyTorch is only in the environment of `make train`")
    import distil

    monkeypatch.setattr(distil, "BATCH", 16)
    monkeypatch.setattr(distil, "CHECKPOINT_EVERY", 2)
    yield distil
    sys.modules.pop("distil")


def test_an_interrupted_training_ends_as_an_undisturbed_one(
    distil: Any, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def options(name: str) -> SimpleNamespace:
        (tmp_path / name).mkdir(exist_ok=True)
        out = tmp_path / name
        return SimpleNamespace(crops=shards, out=out, steps=4, rate=1e-3, small_until=0.5, seed=1)

    distil.Training(options("whole")).run()
    first = distil.Training(options("parts"))
    with monkeypatch.context() as patch:
        save = first._save

        def save_and_die() -> None:
            save()
            raise KeyboardInterrupt

        patch.setattr(first, "_save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            first.run()
    distil.Training(options("parts")).run()
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert whole["step"] == parts["step"] == 4
    for name, weight in whole["average"].items():
        torch.testing.assert_close(parts["average"][name], weight, rtol=1e-3, atol=1e-4)
    lines = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]


def test_the_shipped_graph_computes_what_the_student_computes(distil: Any) -> None:
    import onnxruntime
    import torch

    from featuremill.models import embedded
    from student import Student, as_images, folded

    torch.manual_seed(3)
    student = Student()
    pixels = torch.randint(0, 256, (16, 96, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        for _ in range(20):
            student(as_images(pixels, 96))  # so that the norms know what comes
        expected = student.eval()(as_images(pixels, 96)).numpy()
    session = onnxruntime.InferenceSession(embedded.build_onnx(folded(student)))
    features = session.run(None, {"pixels": pixels.numpy()})[0]
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)
