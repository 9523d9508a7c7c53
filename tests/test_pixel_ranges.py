"""Depth and range: a picture stored with more bits is seen as it is with eight, or refused.

The same gray picture is stored in every depth and kind of number; features follow from levels, so
that levels equal to those of the plain file are what is wanted.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bad_images import encoded, picture
from featuremill.errors import ImageRejected
from featuremill.images.decode import Limits, decode
from soak.costly import tiff

GRAY = np.array(picture("L"))
GRAY[0, :2] = 0, 255
FORMATS = {"u": 1, "i": 2, "f": 3}
LARGEST, LARGEST_OF_ANY_KIND, SMALLEST_OF_ANY_KIND = 281, 341, 340


def tiff_of(
    samples: np.ndarray, *, white_is_zero: bool = False, **more: tuple[int, float]
) -> bytes:
    """A TIFF of one channel; ``more`` are tags of the kind of the samples, by any name."""
    kind = samples.dtype.kind
    return tiff_of_bytes(
        samples.astype(samples.dtype.newbyteorder("<")).tobytes(),
        8 * samples.itemsize,
        FORMATS[kind],
        0 if white_is_zero else 1,
        samples.shape,
        list(more.values()),
        "<f4" if kind == "f" else "<i4" if kind == "i" else "<u4",
    )


def tiff_of_bytes(data, bits, format_, photometric, shape, more=(), of=None) -> bytes:
    height, width = shape
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1)]
    fields += [(262, 3, 1, photometric), (277, 3, 1, 1), (278, 4, 1, height)]
    fields += [(279, 4, 1, len(data)), (339, 3, 1, format_)]
    for tag, value in more:
        kind = {"f": 11, "i": 9, "u": 4}[np.dtype(of).kind]
        fields.append((tag, kind, 1, int.from_bytes(np.array(value, of).tobytes(), "little")))
    return tiff([*fields, (273, 4, 1, 14 + 12 * (len(fields) + 1))], data)


def levels(data: bytes) -> np.ndarray:
    rgb = decode(data, Limits()).pixels
    assert (rgb == rgb[:, :, :1]).all()
    return rgb[:, :, 0]


def reason(samples: np.ndarray) -> str:
    with pytest.raises(ImageRejected) as rejected:
        levels(tiff_of(samples))
    assert rejected.value.stage == "decode"
    return rejected.value.reason


@pytest.mark.parametrize("kind", [1, 2, 7], ids=["bytes", "text", "anything"])
def test_a_largest_value_of_another_type_rejects_no_picture(kind):
    height, width = GRAY.shape
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    fields += [(262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, GRAY.size)]
    fields += [(LARGEST, kind, 3, 0xFFFFFF)]
    data = tiff([*fields, (273, 4, 1, 14 + 12 * (len(fields) + 1))], GRAY.tobytes())
    assert_array_equal(levels(data), GRAY)


def twelve_bits(samples: np.ndarray) -> bytes:
    bits = "".join(f"{sample:012b}" for sample in samples.ravel())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize(
    "samples",
    [
        GRAY.astype(np.uint16) * 257,
        GRAY.astype(np.int16),
        GRAY.astype(np.int32),
        GRAY.astype(np.uint32),
        GRAY.astype(np.int32) * 257,
        GRAY.astype(np.int16) * 16 + 5,  # of twelve bits
        GRAY.astype(np.uint32) << 24,  # above 2^31, too
        (GRAY / 255).astype(np.float32),
        GRAY.astype(np.float32),
        GRAY.astype(np.float32) * 257,
    ],
    ids=lambda samples: f"{samples.dtype} to {samples.max():.4g}",
)
def test_a_picture_is_the_same_in_every_depth(samples):
    assert_array_equal(levels(tiff_of(samples)), GRAY)


@pytest.mark.parametrize(
    "samples", [GRAY.astype(np.uint16) * 257, (GRAY / 255).astype(np.float32)], ids=["16", "float"]
)
def test_white_as_zero_is_no_negative(samples):
    assert_array_equal(levels(tiff_of(samples, white_is_zero=True)), 255 - GRAY)


def test_twelve_bits_in_a_row_are_seen():
    data = twelve_bits(GRAY.astype(np.uint16) * 16 + 9)
    assert_array_equal(levels(tiff_of_bytes(data, 12, 1, 1, GRAY.shape)), GRAY)


def test_the_largest_sample_that_a_file_states_is_its_range():
    twelve_of_sixteen = GRAY.astype(np.uint16) * 16
    assert levels(tiff_of(twelve_of_sixteen)).max() == 15
    for tag in (LARGEST, LARGEST_OF_ANY_KIND):
        stated = tiff_of(twelve_of_sixteen, largest=(tag, 4095))
        assert_array_equal(levels(stated), GRAY)
    kelvin = (GRAY / 255 * 40 + 270).astype(np.float32)
    bounds = {"low": (SMALLEST_OF_ANY_KIND, 270), "high": (LARGEST_OF_ANY_KIND, 310)}
    assert np.abs(levels(tiff_of(kelvin, **bounds)).astype(int) - GRAY).max() <= 1


def test_floats_of_a_portable_float_map_too():
    floats = (GRAY[::-1] / 255).astype("<f4")
    pfm = b"Pf\n%d %d\n-1.0\n" % GRAY.shape[::-1] + floats.tobytes()
    assert_array_equal(levels(pfm), GRAY)


def test_what_resampling_overshoots_is_clipped():
    floats = np.array([[-0.05, 0.0, 0.5, 1.0, 1.08, np.nan, np.inf]], np.float32)
    assert levels(tiff_of(floats)).tolist() == [[0, 0, 128, 255, 255, 0, 255]]


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ((GRAY / 255 * 9).astype(np.float32), "floats from 0 to 9, neither 0 to 1 nor 0 to 255"),
        ((GRAY / 255 - 0.5).astype(np.float32), "floats from -0.5 to 0.5"),
        ((GRAY * 1e6).astype(np.float32), "floats from 0 to 2.55e+08"),
        (GRAY.astype(np.int16) - 100, "integers from -100 to 155"),
        (GRAY.astype(np.int32) * 1000, "integers from 0 to 255,000, neither 0 to 65,535 nor 0 to"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_fits_no_range_is_rejected_naming_its_own(samples, said):
    assert said in reason(samples)
    assert "bring it to 8 or 16 bits" in reason(samples)


def test_negative_samples_of_eight_bits_are_rejected():
    assert "signed samples from -100 to 27" in reason((GRAY // 2).astype(np.int8) - 100)


def test_blackness_is_black_in_every_depth():
    for kind in (np.uint16, np.int16, np.int32, np.uint32, np.float32):
        assert not levels(tiff_of(np.zeros((3, 4), kind))).any()


def test_sixteen_bits_of_a_png_are_their_upper_eight():
    from PIL import Image

    samples = GRAY.astype(np.uint16) * 257
    assert_array_equal(levels(encoded("PNG", Image.fromarray(samples))), GRAY)


@pytest.mark.parametrize("largest", [1, 100, 255, 1023, 65_535])
@pytest.mark.parametrize("magic", [2, 3, 5, 6])
def test_a_portable_map_has_the_range_of_its_header(magic, largest):
    colour = magic in (3, 6)
    samples = np.asarray(picture()) if colour else GRAY
    samples = samples.astype(int) * largest // 255
    head = b"P%d 64 48 %d\n" % (magic, largest)
    if magic < 4:
        data = head + b"# said between\n" + b" ".join(b"%d" % sample for sample in samples.ravel())
    else:
        data = head + samples.astype(">u2" if largest > 255 else "u1").tobytes()
    rgb = decode(data, Limits()).pixels.astype(int)
    wanted = samples / largest * 255
    assert np.abs(rgb - (wanted if colour else wanted[:, :, np.newaxis])).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_dds_without_compression_is_as_pillow_decodes_it(mode):
    data = encoded("DDS", picture(mode))
    assert_array_equal(decode(data, Limits()).pixels, np.asarray(picture("RGB")))


def test_a_map_cut_short_or_beyond_its_range_is_rejected():
    for text in (
        b"P3 2 1 255\n1 2 3 4 5",
        b"P3 1 1 9\n1 2 10",
        b"P3 1 1 9\n1 2 -1",
        b"P2 1 1 9\nx",
    ):
        with pytest.raises(ImageRejected):
            decode(text, Limits())
