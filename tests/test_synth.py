"""Drawn picture sets: the same for a seed, readable, different by class, never over other files."""

import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from featuremill.errors import ConfigError, DestinationError, StorageError
from featuremill.images.synth import SynthConfig, class_names, draw, encode, write
from featuremill.images.synth.vocabulary import FORMS

SUFFIXES = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    config = SynthConfig(classes=5, per_class=5, seed=3)
    alone = write(tmp_path / "alone", config, workers=1)
    together = write(tmp_path / "together", config, workers=2)
    assert digests(tmp_path / "alone") == digests(tmp_path / "together")
    assert (alone.count, alone.bytes) == (together.count, together.bytes)


def test_a_picture_does_not_depend_on_those_drawn_before_or_beside_it() -> None:
    expected = draw(2, 7, SynthConfig(classes=3, per_class=8))
    larger = SynthConfig(classes=100, per_class=1000)
    for class_index in range(40):
        draw(class_index, 1, larger)
    np.testing.assert_array_equal(draw(2, 7, larger), expected)


def test_another_seed_draws_other_pictures_of_the_same_classes(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / str(seed), SynthConfig(classes=3, per_class=2, seed=seed), workers=1)
    first, second = digests(tmp_path / "0"), digests(tmp_path / "1")
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_writes_a_folder_for_each_class_and_says_what_it_wrote(tmp_path: Path) -> None:
    written: list[int] = []
    config = SynthConfig(classes=4, per_class=3)
    result = write(tmp_path, config, workers=1, progress=written.append)
    expected = {f"{name}/{name}_{n}.jpg" for name in class_names(4) for n in range(3)}
    assert digests(tmp_path).keys() == expected
    assert result.count == sum(written) == 12
    assert result.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.jpg"))
    assert result.seconds > 0
    assert not (tmp_path / ".partial").exists()


def test_131_classes_have_names_a_person_can_read_and_a_folder_can_bear() -> None:
    names = class_names(131)
    assert len(set(names)) == 131
    assert "apple-crimson" in names
    assert all(name.isascii() and name.replace("-", "").isalpha() for name in names)


def test_names_never_run_out_and_earlier_ones_stay() -> None:
    names = class_names(10_000)
    assert len(set(map(str.lower, names))) == 10_000
    assert names[:131] == class_names(131)


def test_classes_look_the_same_to_their_own_and_different_from_the_rest() -> None:
    config = SynthConfig(classes=12, per_class=12)
    labels = np.repeat(np.arange(12), 12)
    pixels = np.array([thumbnail(draw(c, n, config)) for c in range(12) for n in range(12)])
    distances = np.linalg.norm(pixels[:, None] - pixels[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = labels[distances.argmin(axis=1)]
    assert np.mean(nearest == labels) > 0.5  # chance is 0.08


def thumbnail(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.asarray(Image.fromarray(rgb).resize((16, 16)), dtype=np.float64).ravel()


def test_pictures_of_one_class_differ_clearly() -> None:
    config = SynthConfig(classes=1, per_class=6)
    pictures = [draw(0, n, config).astype(int) for n in range(6)]
    for n, picture in enumerate(pictures):
        for other in pictures[:n]:
            assert np.abs(picture - other).mean() > 8


def test_every_form_shows_up_whole_before_its_backdrop() -> None:
    config = SynthConfig(classes=len(FORMS), per_class=1, size=48)
    for class_index in range(config.classes):
        picture = draw(class_index, 0, config)
        assert picture.shape == (48, 48, 3)
        assert picture.dtype == np.uint8
        assert picture[12:36, 12:36].std() > 10, class_names(config.classes)[class_index]


def test_varied_pictures_mix_sizes_and_formats_under_honest_names(tmp_path: Path) -> None:
    config = SynthConfig(classes=4, per_class=6, size=24, varied=True)
    write(tmp_path, config, workers=1)
    sizes, formats = set(), set()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        with Image.open(path) as image:
            image.load()
            assert image.format == SUFFIXES[path.suffix]
            assert image.mode == "RGB"
            assert all(24 <= side <= 8 * 24 for side in image.size)
            sizes.add(image.size)
            formats.add(image.format)
    assert formats == set(SUFFIXES.values())
    assert len(sizes) > 12
    assert any(width > 2 * height for width, height in sizes)


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
def test_encoded_pixels_come_back(file_format: str) -> None:
    rgb = draw(0, 0, SynthConfig(classes=1, per_class=1))
    with Image.open(io.BytesIO(encode(rgb, file_format))) as image:
        decoded = np.asarray(image).astype(int)
    assert np.abs(decoded - rgb).mean() < (1e-9 if file_format == "png" else 4)


def test_an_unknown_format_names_the_known_ones() -> None:
    rgb = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ConfigError, match="'gif'") as refused:
        encode(rgb, "gif")
    assert "jpeg, png, webp" in refused.value.remedy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 0}, "classes is 0; it must be from 1 to 10000"),
        ({"classes": 10_001}, "classes is 10001; it must be from 1 to 10000"),
        ({"per_class": 0}, "per_class is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"size": 15}, "size is 15; it must be from 16 to 4096"),
        ({"size": 4097}, "size is 4097; it must be from 16 to 4096"),
    ],
)
def test_numbers_out_of_bounds_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        SynthConfig(**{"classes": 2, "per_class": 2, **changes})
    assert refused.value.remedy


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DestinationError, match="is not empty") as refused:
        write(tmp_path, SynthConfig(classes=1, per_class=1), workers=1)
    assert refused.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("precious")
    with pytest.raises(DestinationError, match="pictures"):
        write(tmp_path / "pictures", SynthConfig(classes=1, per_class=1), workers=1)


def test_no_workers_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers is 0"):
        write(tmp_path / "pictures", SynthConfig(classes=1, per_class=1), workers=0)
    assert not (tmp_path / "pictures").exists()


def test_after_a_failure_the_folder_is_empty_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        write(tmp_path, SynthConfig(classes=2, per_class=2), workers=1)
    assert list(tmp_path.iterdir()) == []
