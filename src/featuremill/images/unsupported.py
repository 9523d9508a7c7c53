"""Recognizes image formats that are not decoded here, and says what to do about them."""

import re

from featuremill._utils.extras import install_command
from featuremill.images.tiff_tags import (
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    SAMPLES,
    Tag,
    is_tiff,
    read_tags,
)

_TO_JPEG = "convert it to JPEG or PNG"
_TO_LEVELS = "bring it to 8 or 16 bits a sample, as PNG"

_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2"), "HEIF"),
    b"crx ": "a camera's raw file (CR3)",
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"M4V ", b"qt  "), "a film"),
}
"""What a file of ISO's base media format is, by its major brand."""
_RAW = "a camera's raw file"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL", _TO_JPEG),
    (rb"II\*\0.{4}CR|IIRO|IIRS|MMOR|IIU\0|FUJIFILMCCD|II\x1a\0\0\0HEAP|FOVb|\0MRM", _RAW, ""),
    (rb"\xff\xd8\xff\xf7", "JPEG-LS", _TO_JPEG),
    (rb"II\xbc", "JPEG XR", _TO_JPEG),
    (rb"SIMPLE  =", "FITS", _TO_LEVELS),
    (rb".{128}DICM", "DICOM", _TO_LEVELS),
    (rb"v/1\x01", "OpenEXR", _TO_LEVELS),
    (rb"#\?R(?:ADIANC|GB)E", "Radiance HDR", _TO_LEVELS),
    (rb"PF\s", "PFM in colour", _TO_LEVELS),
    (rb"\x89HDF\r\n", "HDF5", _TO_LEVELS),
    (rb"\x93NUMPY", "a NumPy array", _TO_LEVELS),
    (rb"\x8a[MJ]NG|\x8bJNG", "MNG or JNG", _TO_JPEG),
    (rb"gimp xcf", "GIMP's XCF", _TO_JPEG),
    (rb"BPG\xfb|FLIF|AT&TFORM|FORM.{4}ILBM|\xabKTX|8BPS\x00\x02", "this format", _TO_JPEG),
    (rb"%PDF", "PDF", _TO_JPEG),
)
_COMPRESSIONS = {34712: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG", 50000: "Zstandard"}
_FORMATS = {1: "uint", 2: "int", 3: "float", 5: "complex int", 6: "complex"}
_DECODED_BITS = (1, 2, 4, 8, 16)
_FRAME = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf])..(.)", re.DOTALL)


def unsupported(data: bytes) -> str:
    """Say what a picture is that no decoder here took, and what to do; empty if it is unknown.

    Parameters
    ----------
    data : bytes
        The encoded image.
    """
    if data[4:8] == b"ftyp":
        kind = _BRANDS.get(data[8:12], "")
        return f"{kind} is not supported: {_remedy(kind)}" if kind else ""
    for signature, kind, remedy in _SIGNATURES:
        if re.match(signature, data[:140], re.DOTALL):
            return f"{kind} is not supported: {remedy or _remedy(kind)}"
    if is_tiff(data):
        return _tiff(read_tags(data, most=200))
    return _jpeg(data) if data.startswith(b"\xff\xd8\xff") else ""


def _remedy(kind: str) -> str:
    if kind.startswith(_RAW):
        return "develop it to JPEG, PNG or 16-bit TIFF"
    if kind in ("HEIC", "HEIF"):
        command = install_command("heif")
        return f"install the extra 'heif' wherever it runs ({command}), or convert it to JPEG"
    return "take single pictures from it" if kind == "a film" else _TO_JPEG


def _tiff(tags: dict[int, Tag]) -> str:
    bits = tags.get(BITS, Tag(1, 1)).first
    samples = tags.get(SAMPLES, Tag(1, 1)).first
    kind = tags.get(SAMPLE_FORMAT, Tag(1, 1)).first
    compression = tags.get(COMPRESSION, Tag(1, 1)).first
    if compression in _COMPRESSIONS:
        named = _COMPRESSIONS[compression]
        return f"a TIFF compressed by {named} is not supported: save it with LZW or Deflate"
    plain = kind in (1, 4) and bits in _DECODED_BITS
    if plain or kind not in _FORMATS or not 0 < bits <= 128:
        return ""
    said = f"{samples} x {_FORMATS[kind]}{bits} samples"
    if tags.get(PHOTOMETRIC, Tag(1, 1)).first == 0:
        said += " with white as zero"
    return f"a TIFF of {said} is not supported: {_TO_LEVELS}"


def _jpeg(data: bytes) -> str:
    """Recognize JPEGs of twelve bits and lossless ones, which libjpeg-turbo does not decode."""
    frame = _FRAME.search(data, 2, 1 << 16)
    if frame is None or frame[2] == b"\x08":
        return ""
    return f"a JPEG of {frame[2][0]} bits is not supported: {_TO_JPEG}"
