"""Fine detail that decoding at 1/2, 1/4 or 1/8 would turn into moire is told from the file."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bad_images import encoded, picture
from featuremill.images.jpeg_detail import fine_detail

EDGE = 640


def stripes(period: float, turned: bool = False, **options) -> bytes:
    """A JPEG of light and dark stripes, ``period`` pixels from one to the next."""
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(EDGE) / period)
    gray = np.tile(wave.astype(np.uint8), (EDGE, 1))
    rgb = np.repeat((gray.T if turned else gray)[:, :, None], 3, axis=2)
    return encoded("JPEG", Image.fromarray(rgb), **{"quality": 90} | options)


def found(jpeg: bytes) -> dict[int, float]:
    detail = fine_detail(jpeg)
    assert detail is not None
    return detail.lost


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_stripes_as_fine_as_pixels_are_found_at_their_contrast(turned, quality, subsampling):
    detail = found(stripes(2.1, turned, quality=quality, subsampling=subsampling))
    assert all(60 < contrast < 90 for contrast in detail.values())  # 100 / sqrt(2) = 71


def test_broader_stripes_matter_only_where_more_pixels_become_one():
    two, four, eight = (found(stripes(period)) for period in (2.1, 4.1, 8.3))
    assert two[2] > 60
    assert four[2] < 10 < 60 < four[4]
    assert eight[2] < 10
    assert eight[8] > 60


def test_a_smooth_picture_has_no_fine_detail():
    assert max(found(encoded("JPEG", picture(size=(900, 900)), quality=95)).values()) < 5


@pytest.mark.parametrize("options", [{"restart_marker_blocks": 7}, {"optimize": True}])
def test_it_is_found_with_restarts_and_with_codes_of_the_files_own(options):
    assert found(stripes(2.1, **options))[2] > 60


def test_it_is_found_in_gray():
    with Image.open(io.BytesIO(stripes(2.1))) as image:
        assert found(encoded("JPEG", image.convert("L"), quality=90))[2] > 60


def test_what_stands_behind_the_picture_does_not_count():
    plain = encoded("JPEG", picture(size=(1500, 1500)), quality=95)
    preview = stripes(2.1, quality=30)[: len(plain) // 10]
    assert found(plain + preview)[2] < 8


def test_fine_texture_is_regular_where_nothing_else_is_to_be_seen():
    texture, smooth = fine_detail(stripes(4.1)), encoded("JPEG", picture(size=(900, 900)))
    assert texture is not None
    assert texture.regular > 60
    detail = fine_detail(smooth)
    assert detail is not None
    assert detail.regular < 1


def test_of_a_progressive_jpeg_nothing_is_known():
    assert fine_detail(stripes(2.1, progressive=True)) is None


SOUND = stripes(2.1)


@given(st.lists(st.tuples(st.integers(2, len(SOUND) - 1), st.integers(0, 255)), max_size=20))
def test_damaged_files_are_read_without_harm(changes):
    damaged = bytearray(SOUND)
    for at, value in changes:
        damaged[at % 700 if value % 2 else at] = value
    fine_detail(bytes(damaged))


@given(st.integers(2, len(SOUND)))
def test_cut_files_are_read_without_harm(end):
    fine_detail(SOUND[:end])
