"""Image bytes become upright RGB pixels, or a rejection with a reason."""

import io
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, ImageFile, ImageOps

from bad_images import encoded, exif, picture, write_corpus
from featuremill.errors import ConfigError, ImageRejected
from featuremill.images.decode import Limits, decode, resize, thumbnail

LIMITS = Limits()


def by_pillow(data: bytes) -> np.ndarray:
    """The reference: what Pillow alone would give, turned upright."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def pixels(data: bytes) -> np.ndarray:
    return decode(data, LIMITS).pixels


def reason(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageRejected) as rejected:
        decode(data, limits)
    # what another limit would let through is told apart from what is damaged
    beyond = (", limit " in rejected.value.reason) or "memory" in rejected.value.reason
    assert rejected.value.stage == ("limit" if beyond else "decode")
    return rejected.value.reason


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


# Same pixels as Pillow


def test_real_photographs_and_contours_are_as_pillow_decodes_them(shared_data):
    files = sorted(shared_data.glob("photos/**/*.jpg"))
    files += sorted(shared_data.glob("shapes/**/*.jpg"))[::10]
    assert len(files) > 100
    for file in files:
        data = file.read_bytes()
        assert_array_equal(pixels(data), by_pillow(data), err_msg=file.name)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 101), (224, 224)])
@pytest.mark.parametrize("quality", [30, 75, 95, 100])
def test_every_kind_of_jpeg_is_as_pillow_decodes_it(size, quality):
    kinds = [{"subsampling": chroma} for chroma in ("4:4:4", "4:2:2", "4:2:0")]
    kinds += [
        {"progressive": True},
        {"optimize": True},
        {"keep_rgb": True},
        {"restart_marker_rows": 1},
    ]
    jpegs = [encoded("JPEG", picture(size=size), quality=quality, **kind) for kind in kinds]
    jpegs += [encoded("JPEG", picture("L", size), quality=quality, progressive=p) for p in (0, 1)]
    for jpeg in jpegs:
        assert_array_equal(pixels(jpeg), by_pillow(jpeg))


def test_other_formats_and_modes_are_as_pillow_converts_them(corpus):
    names = [
        *("1 bit.png", "palette.png", "la.png", "rgba.png", "rgb 16 bit.png", "cmyk.tif"),
        *("cmyk.jpg", "ycck.jpg", "animated.gif", "animated.webp", "pages.tif", "stereo.mpo"),
        *("plain.bmp", "plain.ico", "plain.ppm", "plain.tga", "plain.avif", "plain.jp2"),
        *("trailing garbage.jpg", "jpeg in truth.png", "png in truth.jpg", "float.tif"),
    ]
    for name in names:
        data = (corpus / name).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = by_pillow(data)
        assert_array_equal(pixels(data), expected, err_msg=name)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1", "CMYK"])
def test_a_large_picture_is_converted_part_by_part_to_the_same(mode, monkeypatch):
    data = encoded("TIFF" if mode == "CMYK" else "PNG", picture(mode))
    monkeypatch.setattr("featuremill.images.decode._PIXELS_AT_ONCE", 500)
    assert_array_equal(pixels(data), by_pillow(data))


def test_sixteen_bits_become_the_upper_eight():
    levels = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], np.uint16)
    for data in (encoded("PNG", Image.fromarray(levels)), encoded("TIFF", Image.fromarray(levels))):
        assert pixels(data)[0].tolist() == [[level] * 3 for level in (0, 0, 1, 127, 255)]


# Upright


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_is_turned_upright(kind, orientation):
    data = encoded(kind, exif=exif(orientation))
    assert_array_equal(pixels(data), by_pillow(data))
    height, width, _ = pixels(data).shape
    assert (height > width) == (orientation >= 5)


def test_orientation_is_found_behind_other_segments_and_in_xmp():
    jpeg = encoded("JPEG", exif=exif(6))
    thumbnail_of_another_program = b"\xff\xe2\xff\xfe" + 2 * b"\xff\xda" + bytes(0xFFFE - 6)
    behind = jpeg[:2] + 3 * thumbnail_of_another_program + jpeg[2:]
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for turned in (jpeg, behind, encoded("JPEG", xmp=xmp)):
        assert pixels(turned).shape == (64, 48, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_does_no_harm(kind):
    broken = encoded(kind, exif=b"Exif\0\0no directory")
    assert_array_equal(pixels(broken), pixels(encoded(kind)))


# Rejected, with a reason


def test_every_file_of_the_corpus_is_judged_as_foreseen(tmp_path):
    expected = {
        name: outcome
        for name, outcome in write_corpus(tmp_path).items()
        if outcome in ("ok", "decode")
    }
    judged = {}
    for name in expected:
        try:
            rgb = pixels((tmp_path / name).read_bytes())
            assert rgb.dtype == np.uint8
            assert rgb.shape[2:] == (3,)
            assert rgb.flags.c_contiguous
            judged[name] = "ok"
        except ImageRejected as rejected:
            judged[name] = rejected.stage
    assert judged == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("empty.jpg", "the file is empty"),
        ("page.jpg", r'not an image: starts with "<!DOCTYPE html>\n"'),
        ("zip.png", r'not an image: starts with "PK\x05\x06' + 12 * r"\x00" + '"'),
        ("postscript.jpg", 'not an image: starts with "%!PS-Adobe-3.0 E"'),
        ("signature only.jpg", "damaged JPEG header"),
        ("0x0.png", "damaged PNG header"),
        ("truncated.png", "damaged PNG: image file is truncated"),
        ("bomb.png", "11000 x 11000 = 121,000,000 pixels, limit 100,000,000"),
        ("60000x60000.jpg", "60000 x 60000 = 3,600,000,000 pixels, limit 100,000,000"),
        ("60000x60000.png", "more than 200,000,000 pixels, limit 100,000,000"),
        ("nested.ico", "more than 200,000,000 pixels, limit 100,000,000"),
    ],
)
def test_the_reason_is_for_people(corpus, name, expected):
    assert reason((corpus / name).read_bytes()) == expected


def test_limits_are_the_callers():
    jpeg, png = encoded("JPEG"), encoded("PNG")  # 64 x 48 = 3,072 pixels
    for data in (jpeg, png):
        assert decode(data, Limits(max_pixels=3072)).pixels.shape == (48, 64, 3)
        assert reason(data, Limits(max_pixels=3071)) == "64 x 48 = 3,072 pixels, limit 3,071"
    assert reason(jpeg, Limits(max_bytes=10)) == f"{len(jpeg):,} bytes, limit 10"


def test_a_limit_must_be_above_zero():
    with pytest.raises(ConfigError, match="max_pixels is 0, it must be above 0"):
        Limits(max_pixels=0)
    with pytest.raises(ConfigError, match="max_bytes is -1"):
        Limits(max_bytes=-1)


def test_running_out_of_memory_rejects_the_image(monkeypatch):
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", exhausted)
    assert reason(encoded("PNG")) == "not enough memory to decode it"


def test_truncated_images_are_rejected_though_other_code_allows_them(monkeypatch, corpus):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    for name in ("truncated.jpg", "truncated.png"):
        assert "truncated" in reason((corpus / name).read_bytes())


def test_pillows_warnings_neither_raise_nor_print_whatever_the_thread(corpus, recwarn):
    warned = (corpus / "palette.png").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="Palette images with Transparency"):
            by_pillow(warned)

        shapes: list[tuple[int, ...]] = []
        work = [
            threading.Thread(target=lambda: shapes.append(pixels(warned).shape)) for _ in range(4)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert shapes == [(48, 64, 3)] * 4
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
    assert not recwarn.list


# Smaller


def test_resize_is_pillows_bicubic():
    rgb = pixels(encoded("PNG"))
    expected = picture().resize((30, 20), Image.Resampling.BICUBIC)
    assert_array_equal(resize(rgb, (20, 30)), np.asarray(expected))
    assert resize(rgb, (224, 224)).shape == (224, 224, 3)


def test_resize_copies_nothing_at_the_right_size():
    rgb = pixels(encoded("PNG"))
    assert resize(rgb, (48, 64)) is rgb


def test_a_thumbnail_is_small_upright_and_says_nothing_else():
    photo = encoded("JPEG", picture(size=(800, 600)), exif=exif(6), comment="at home")
    with Image.open(io.BytesIO(thumbnail(photo, edge=80))) as small:
        assert small.format == "JPEG"
        assert small.size == (60, 80)
        assert not small.getexif()
        assert "comment" not in small.info
        expected = picture(size=(800, 600)).rotate(-90, expand=True).resize((60, 80))
        assert np.abs(np.asarray(small, float) - np.asarray(expected)).mean() < 4


# Large JPEGs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((896 * 2, 896 * 2), (896, 896)),
        ((896 * 2, 896 * 2 - 1), (896 * 2 - 1, 896 * 2)),
        ((3001, 2001), (1001, 1501)),
        ((896 * 4, 896 * 4), (896, 896)),
    ],
)
def test_a_jpeg_is_decoded_to_no_less_than_four_times_its_target(size, shape):
    width, height = size
    jpeg = encoded("JPEG", picture(size=size))
    decoded = decode(jpeg, LIMITS, (224, 224))
    assert decoded.pixels.shape == (*shape, 3)
    assert (decoded.height, decoded.width) == (height, width)
    assert decode(jpeg, LIMITS).pixels.shape == (height, width, 3)


def test_a_jpeg_that_lies_on_its_side_has_its_upright_size():
    jpeg = encoded("JPEG", picture(size=(2000, 1800)), exif=exif(6))
    decoded = decode(jpeg, LIMITS, (224, 224))
    assert decoded.pixels.shape == (1000, 900, 3)
    assert (decoded.height, decoded.width) == (2000, 1800)


def test_other_formats_are_decoded_at_their_size():
    decoded = decode(encoded("PNG", picture(size=(1800, 1800))), LIMITS, (224, 224))
    assert decoded.pixels.shape == (1800, 1800, 3)


def test_a_jpeg_decoded_smaller_is_still_the_same_picture():
    jpeg = encoded("JPEG", picture(size=(1800, 1800)))
    smaller = resize(decode(jpeg, LIMITS, (224, 224)).pixels, (224, 224))
    difference = smaller.astype(int) - resize(pixels(jpeg), (224, 224))
    assert np.abs(difference).mean() < 2


def test_a_thumbnail_is_made_of_whatever_can_be_decoded(corpus):
    for name in ("cmyk.jpg", "gray 16 bit.png", "palette.png", "1x5000.jpg"):
        with Image.open(io.BytesIO(thumbnail((corpus / name).read_bytes()))) as small:
            assert max(small.size) <= 96
    with pytest.raises(ImageRejected):
        thumbnail((corpus / "truncated.jpg").read_bytes())
