"""Sound pictures that are not decoded: the reason names the kind and what to do."""

import base64
import importlib.util

import numpy as np
import pytest

from bad_images import encoded, picture
from featuremill._utils.extras import install_command
from featuremill.errors import ImageRejected
from featuremill.images import decode as decoding
from featuremill.images.decode import Limits, decode
from soak.costly import tiff

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAbQAAgAAAAADoAABAAAAAAAAACQAAAA4aWluZgAAAAAA"
    "AgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADm"
    "aXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAq"
    "QgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQAN"
    "AAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp"
    "eGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEA"
    "AQAAAeBtZGF0AAABsCgBrw7g6GyCQEJx534JstHFzRYlvlJe6wvrIcm5ygehmlTPXwGpQ9HHRG7K0Xr6DqNrl+btTOIh"
    "bwnS+pfyMHSYh02iHJIRdoyATgdr5B3afexX/wrgccBPYJeiFW/pwCr/k2fTfYhFvWaUQZ1dCG1kB5KppbWf0zQ2fjpY"
    "sN0WXNoyp/YHBvUtMrjJC9TsS/+dsdDhp2E3F7fPNDscBVfXt0thoOWJfmgDujVQPq35cMrmKfUHoPH9g5hb2mf1QrsC"
    "OeG8wPPQ6MLbv02+PEMYKFWITsUcnYjiSP68QkeTWw4uMWUDmK/6MGtcpjWMtoyf5FyT+ym+yk5gMPSRK83g/tinipsQ"
    "mmQQcvkwOmAniH52NXbObX1UnjL9Ad9Uo+D1Ua7f6HQQmnBuUzbhXgl4hm0v53pAkONSeL0/cRIpkDnw+tUG8/e6O0zs"
    "CmglnHGn94NDc2CviSwvq/JPw/Zl9Sa6/nTmjgqL8wyiv7AqAT2AeKkmkFxy1WBgyW6fxjk+RFUhGEuFo5vQNI+CMLEG"
    "Ru3c9jKFR+i4gz76G1yVX22fbfeAQvooHiK3R9Z3gAAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA=="
)
"""The picture of these tests as a telephone writes it, held upright, so that it is to be turned."""


def box(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(400)


def tiff_of(bits: int, samples: int, format_: int, compression: int = 1) -> bytes:
    fields = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, bits), (259, 3, 1, compression)]
    fields += [(262, 3, 1, 1 if samples == 1 else 2), (277, 3, 1, samples), (339, 3, 1, format_)]
    fields += [(278, 4, 1, 8), (279, 4, 1, 8 * bits * samples)]
    return tiff([*fields, (273, 4, 1, 14 + 12 * 10)], bytes(8 * bits * samples))


def reason(data: bytes) -> str:
    with pytest.raises(ImageRejected) as rejected:
        decode(data, Limits())
    assert rejected.value.stage == "decode"
    return rejected.value.reason


@pytest.mark.parametrize(
    ("data", "kind", "remedy"),
    [
        (box(b"crx "), "a camera's raw file (CR3)", "develop it"),
        (box(b"qt  "), "a film", "take single pictures"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL", "convert it to JPEG"),
        (b"\xff\x0a" + bytes(99), "JPEG XL", "convert it to JPEG"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "a camera's raw file", "develop it"),
        (b"FUJIFILMCCD-RAW " + bytes(99), "a camera's raw file", "develop it"),
        (b"SIMPLE  =                    T" + bytes(99), "FITS", "8 or 16 bits"),
        (bytes(128) + b"DICM" + bytes(99), "DICOM", "8 or 16 bits"),
        (b"v/1\x01" + bytes(99), "OpenEXR", "8 or 16 bits"),
        (b"#?RADIANCE\n" + bytes(99), "Radiance HDR", "8 or 16 bits"),
        (b"PF\n2 1\n-1.0\n" + bytes(24), "PFM in colour", "8 or 16 bits"),
        (b"\xff\xd8\xff\xf7" + bytes(99), "JPEG-LS", "convert it to JPEG"),
        (b"II\xbc\x01" + bytes(99), "JPEG XR", "convert it to JPEG"),
        (b"%PDF-1.7\n", "PDF", "convert it to JPEG"),
        (tiff_of(32, 3, 3), "a TIFF of 3 x float32 samples", "8 or 16 bits"),
        (tiff_of(64, 1, 3), "a TIFF of 1 x float64 samples", "8 or 16 bits"),
        (tiff_of(16, 1, 3), "a TIFF of 1 x float16 samples", "8 or 16 bits"),
        (tiff_of(8, 1, 1, 34887), "a TIFF compressed by LERC", "LZW or Deflate"),
    ],
)
def test_the_reason_names_the_kind_and_what_to_do(data, kind, remedy):
    said = reason(data)
    assert said.startswith(f"{kind} is not supported: ")
    assert remedy in said


def test_a_jpeg_of_twelve_bits_is_no_damaged_one():
    jpeg = encoded("JPEG")
    frame = jpeg.index(b"\xff\xc0")
    twelve = jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :]
    assert reason(twelve) == "a JPEG of 12 bits is not supported: convert it to JPEG or PNG"


def test_a_program_in_c_is_no_damaged_bitmap():
    program = b"#define X 1\nint main(void) { return X; }\n"
    assert reason(program).startswith('not an image: starts with "#define X')
    assert reason(b"#define a_width 8\n#define a_height").startswith("damaged XBM")


def test_a_damaged_tiff_is_told_in_libtiffs_words_and_nothing_is_printed(capfd):
    whole = bytearray(encoded("TIFF", compression="tiff_lzw"))
    strip = whole.index(b"\x80", 8)
    whole[strip + 40 : strip + 200] = b"\xff" * 160
    said = reason(bytes(whole))
    assert said.startswith("damaged TIFF: ")
    assert "decoder error" not in said
    assert capfd.readouterr() == ("", "")
    # the words of one image are not those of the next
    assert "LZW" not in reason(encoded("TIFF")[:100])


def test_a_damaged_file_of_a_kind_that_is_decoded_stays_damaged():
    avif = encoded("AVIF")
    assert reason(avif[:40]).startswith("damaged AVIF")


def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    formats = [name for name in decoding._formats() if name != "HEIF"]
    monkeypatch.setattr(decoding, "_formats", lambda: formats)


@pytest.mark.skipif(importlib.util.find_spec("pi_heif") is None, reason="the extra heif is missing")
def test_heic_is_decoded_upright_where_the_extra_is_installed():
    rgb = decode(HEIC, Limits()).pixels
    wanted = np.rot90(np.asarray(picture()), -1)
    assert rgb.shape == wanted.shape
    assert np.abs(rgb.astype(int) - wanted).mean() < 6
    with pytest.raises(ImageRejected, match="limit 100"):
        decode(HEIC, Limits(max_pixels=100))
    assert reason(HEIC[:600]).startswith("damaged HEIC")


def test_without_the_extra_the_reason_says_how_to_have_it(monkeypatch):
    without_heif(monkeypatch)
    command = install_command("heif")
    remedy = f"install the extra 'heif' wherever it runs ({command}), or convert it to JPEG"
    assert reason(HEIC) == f"HEIC is not supported: {remedy}"
    assert reason(box(b"mif1")) == f"HEIF is not supported: {remedy}"
