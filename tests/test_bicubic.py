"""The resize is Pillow's, pixel for pixel."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featuremill.images import decode, resize

SIDES = st.integers(1, 400)


def pillow(rgb: np.ndarray, size: tuple[int, int], resample: str = "bicubic") -> np.ndarray:
    height, width = size
    by = Image.Resampling[resample.upper()]
    return np.asarray(Image.fromarray(rgb).resize((width, height), by))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pixels as far apart as can be, so that every rounding and every overshoot shows."""
    random = np.random.default_rng(seed)
    return random.choice(np.array([0, 1, 127, 254, 255], np.uint8), (height, width, 3))


@settings(deadline=None, max_examples=150)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 99))
def test_any_size_becomes_any_other_as_in_pillow(height, width, new_height, new_width, seed):
    rgb = noise(height, width, seed)
    size = (new_height, new_width)
    np.testing.assert_array_equal(resize.resize(rgb, size), pillow(rgb, size))


@settings(deadline=None, max_examples=200)
@given(
    SIDES,
    SIDES,
    SIDES,
    SIDES,
    st.sampled_from(["nearest", "bilinear", "lanczos"]),
    st.integers(0, 99),
)
def test_every_filter_is_pillows(height, width, new_height, new_width, resample, seed):
    rgb, size = noise(height, width, seed), (new_height, new_width)
    expected = pillow(rgb, size, resample)
    np.testing.assert_array_equal(resize.resize(rgb, size, resample), expected)


@settings(deadline=None, max_examples=100)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([*resize.KERNELS, "nearest"]), st.data())
def test_a_part_of_the_result_is_the_same_as_all_of_it_cut(
    height, width, new_height, new_width, resample, data
):
    rgb, size = noise(height, width), (new_height, new_width)
    top = data.draw(st.integers(0, new_height - 1))
    left = data.draw(st.integers(0, new_width - 1))
    rows = top, data.draw(st.integers(top + 1, new_height))
    columns = left, data.draw(st.integers(left + 1, new_width))
    expected = pillow(rgb, size, resample)[slice(*rows), slice(*columns)]
    np.testing.assert_array_equal(decode.resize(rgb, size, resample, (rows, columns)), expected)


def test_a_strip_whose_whole_would_fill_the_memory():
    strip = noise(1, 60_000)
    part = resize.resize(strip, (256, 15_360_000), "nearest", ((16, 240), (7_680_000, 7_680_224)))
    np.testing.assert_array_equal(part, np.broadcast_to(strip[0, 30_000], (224, 224, 3)))
    part = resize.resize(strip, (256, 15_360_000), "lanczos", ((16, 240), (7_680_016, 7_680_240)))
    assert abs(part[:, 112].astype(int) - strip[0, 30_000]).max() <= 1


@pytest.mark.parametrize(
    ("height", "width"), [(100, 100), (1, 1), (1, 3000), (3000, 1), (224, 100), (100, 224)]
)
def test_sizes_at_the_edge(height, width):
    rgb = noise(height, width)
    np.testing.assert_array_equal(resize.resize(rgb, (224, 224)), pillow(rgb, (224, 224)))


def test_a_large_photograph():
    rgb = noise(1500, 2000)
    np.testing.assert_array_equal(resize.resize(rgb, (224, 224)), pillow(rgb, (224, 224)))


def test_pixels_that_are_turned_or_read_only():
    rgb = noise(60, 90)
    rgb.flags.writeable = False
    for view in (rgb, np.rot90(rgb), rgb[::-1, ::-1]):
        expected = pillow(np.ascontiguousarray(view), (50, 70))
        np.testing.assert_array_equal(resize.resize(view, (50, 70)), expected)


def test_an_image_of_the_right_size_is_handed_on_as_it_is():
    rgb = noise(224, 224)
    assert decode.resize(rgb, (224, 224)) is rgb


def test_without_numba_the_pixels_are_the_same():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np; from featuremill.images import decode\n"
        "rgb = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)\n"
        "sys.stdout.buffer.write(decode.resize(rgb, (56, 48)).tobytes())"
    )
    without = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    rgb = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
    assert without == resize.resize(rgb, (56, 48)).tobytes()


@pytest.mark.slow
def test_a_package_that_cannot_be_written_to_still_resizes(tmp_path):
    code = (
        "import numpy as np; from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from featuremill.images import resize\n"
        "assert resize.resize(np.zeros((3, 5, 3), np.uint8), (4, 4)).shape == (4, 4, 3)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Planted:
    """What whoever can write to a cache puts there: it runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.fixture
def passage() -> Iterator[Path]:
    """A folder that everybody may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def resized_with(cache: Path, umask: int = 0o022) -> None:
    program = (
        "import numpy as np; from featuremill.images import resize\n"
        "resize.resize(np.ones((9, 9, 3), np.uint8), (5, 5))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, umask=umask)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        0o777,
        pytest.param(0o1777, marks=pytest.mark.long),
        pytest.param(0o770, marks=pytest.mark.long),
    ],
)
def test_a_cache_that_others_can_write_to_is_not_read(passage, mode):
    cache = passage / "numba"
    resized_with(cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    indexes = list(cache.rglob("*.nbi"))
    assert len(indexes) == 2
    for index in indexes:
        index.write_bytes(pickle.dumps(Planted(passage / "ran")))
        index.parent.chmod(mode)
    cache.chmod(mode)
    resized_with(cache)
    assert not (passage / "ran").exists()


@pytest.mark.slow
def test_a_cache_in_a_folder_that_others_can_replace_is_not_read(passage):
    shared = passage / "shared"
    shared.mkdir()
    resized_with(shared / "numba")
    for index in shared.rglob("*.nbi"):
        index.write_bytes(pickle.dumps(Planted(passage / "ran")))
    shared.chmod(0o777)
    resized_with(shared / "numba")
    assert not (passage / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, 0o002])
def test_a_cache_of_ones_own_is_used(passage, umask):
    cache = passage / "numba"
    resized_with(cache, umask)
    written = {file: file.stat().st_mtime_ns for file in cache.rglob("*.nb*")}
    resized_with(cache, umask)
    assert written
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.nb*")} == written
