"""The resize is Pillow's, pixel for pixel."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featuremill import bicubic, images

SIDES = st.integers(1, 400)


def pillow(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pixels as far apart as can be, so that every rounding and every overshoot shows."""
    random = np.random.default_rng(seed)
    return random.choice(np.array([0, 1, 127, 254, 255], np.uint8), (height, width, 3))


@settings(deadline=None, max_examples=150)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 99))
def test_any_size_becomes_any_other_as_in_pillow(height, width, new_height, new_width, seed):
    rgb = noise(height, width, seed)
    size = (new_height, new_width)
    np.testing.assert_array_equal(bicubic.resize(rgb, size), pillow(rgb, size))


@pytest.mark.parametrize(
    ("height", "width"), [(100, 100), (1, 1), (1, 3000), (3000, 1), (224, 100), (100, 224)]
)
def test_sizes_at_the_edge(height, width):
    rgb = noise(height, width)
    np.testing.assert_array_equal(bicubic.resize(rgb, (224, 224)), pillow(rgb, (224, 224)))


def test_a_large_photograph():
    rgb = noise(1500, 2000)
    np.testing.assert_array_equal(bicubic.resize(rgb, (224, 224)), pillow(rgb, (224, 224)))


def test_pixels_that_are_turned_or_read_only():
    rgb = noise(60, 90)
    rgb.flags.writeable = False
    for view in (rgb, np.rot90(rgb), rgb[::-1, ::-1]):
        expected = pillow(np.ascontiguousarray(view), (50, 70))
        np.testing.assert_array_equal(bicubic.resize(view, (50, 70)), expected)


def test_an_image_of_the_right_size_is_handed_on_as_it_is():
    rgb = noise(224, 224)
    assert images.resize(rgb, (224, 224)) is rgb


def test_without_numba_the_pixels_are_the_same():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np; from featuremill import images\n"
        "rgb = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)\n"
        "sys.stdout.buffer.write(images.resize(rgb, (56, 48)).tobytes())"
    )
    without = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    rgb = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
    assert without == bicubic.resize(rgb, (56, 48)).tobytes()


def test_a_package_that_cannot_be_written_to_still_resizes(tmp_path):
    code = (
        "import numpy as np; from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from featuremill import bicubic\n"
        "assert bicubic.resize(np.zeros((3, 5, 3), np.uint8), (4, 4)).shape == (4, 4, 3)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
