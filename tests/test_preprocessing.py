"""What a network wants done to an image is done as Pillow does it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featuremill.errors import ModelError
from featuremill.images.preprocessing import Preprocessing
from featuremill.models import embedded, mobilenetv2

SIDES = st.integers(1, 300)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=60)
@given(SIDES, SIDES, st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]))
def test_the_middle_of_an_image_whose_shorter_edge_was_resized(height, width, resample):
    rgb = noise(height, width)
    image = Image.fromarray(rgb)
    shorter = min(height, width)
    whole = int(40 * width / shorter), int(40 * height / shorter)
    image = image.resize(whole, Image.Resampling[resample.upper()])
    left, top = (image.width - 32) // 2, (image.height - 32) // 2
    expected = np.asarray(image.crop((left, top, left + 32, top + 32)))
    preprocessing = Preprocessing((32, 32), resize=40, resample=resample)
    np.testing.assert_array_equal(preprocessing.apply(rgb), expected)


@pytest.mark.parametrize(("crop", "left"), [("floor", 1), ("round", 2)])
def test_an_odd_margin_goes_where_the_publisher_puts_it(crop, left):
    rgb = noise(20, 23)
    cut = Preprocessing((20, 20), resize=20, crop=crop).apply(rgb)
    np.testing.assert_array_equal(cut, rgb[:, left : left + 20])


def test_both_sides_are_resized_before_the_middle_is_cut():
    rgb = noise(100, 60)
    image = Image.fromarray(rgb).resize((48, 40), Image.Resampling.BILINEAR)
    expected = np.asarray(image.crop((8, 4, 40, 36)))
    preprocessing = Preprocessing((32, 32), resize=(40, 48), resample="bilinear")
    np.testing.assert_array_equal(preprocessing.apply(rgb), expected)


def test_an_image_lies_whole_within_a_colour():
    rgb = noise(50, 100)
    padded = Preprocessing((32, 32), pad=(255, 0, 9)).apply(rgb)
    expected = np.asarray(Image.fromarray(rgb).resize((32, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(padded[8:24], expected)
    assert (padded[:8] == (255, 0, 9)).all()
    assert (padded[24:] == (255, 0, 9)).all()


def test_a_very_long_image_costs_what_is_seen_of_it():
    pixels = Preprocessing((224, 224), resize=256).apply(noise(2, 50_000))
    assert pixels.shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resize": 100}, "resize is 100, it must be at least the size of the input, 224 x 224"),
        ({"resize": (256, 200)}, "resize is"),
        ({"resample": "box"}, "resample is box, it must be one of nearest, bilinear, bicubic"),
        ({"crop": "top"}, "crop is top"),
        ({"pad": (0, 0, 0), "resize": 256}, "pad is .*without resize"),
        ({"pad": (0, 0, 256)}, "pad is"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"mean": (0.5, 0.5)}, "mean is"),
        ({"std": (0.0, 1.0, 1.0)}, "std is"),
        ({"channels": "GRB"}, "channels is GRB"),
        ({"layout": "CHW"}, "layout is CHW"),
        ({"size": (0, 224)}, "size is"),
    ],
    ids=str,
)
def test_what_is_out_of_bounds_or_contradicts_is_refused_by_its_name(wrong, message):
    with pytest.raises(ModelError, match=message):
        Preprocessing(**{"size": (224, 224), **wrong})


def test_a_name_tells_all_that_features_depend_on():
    given_ = Preprocessing((224, 224), resize=256)
    changes = [
        {"size": (192, 224)},
        {"resize": 257},
        {"resize": (256, 256)},
        {"resize": None},
        {"resample": "bilinear"},
        {"crop": "round"},
        {"pad": (0, 0, 0), "resize": None},
        {"scale": 1.0},
        {"mean": (0.5, 0.5, 0.500001)},
        {"std": (0.5, 0.5, 0.500001)},
        {"channels": "BGR"},
        {"layout": "NHWC"},
    ]
    names = {str(given_), *(str(dataclasses.replace(given_, **change)) for change in changes)}
    assert len(names) == len(changes) + 1


def test_the_networks_of_the_package_are_named_as_ever():
    """Their names are part of their identity: other ones would have all features computed anew."""
    rest = "(JPEGs from 1/n, >= 4x, unless fp32), x/127.5-1"
    assert str(mobilenetv2.PREPROCESSING) == f"pillow-bicubic 224x224 {rest}"
    assert str(embedded.PREPROCESSING) == f"pillow-bicubic 96x96 {rest}"
