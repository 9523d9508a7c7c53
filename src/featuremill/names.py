"""Names of images as text, reversibly.

File names and object keys are bytes; table columns, CSV files and reports are text. A name is
kept as it is read by people, and only what is not plain text (control characters, bytes that
are not UTF-8) and ``%`` itself are percent-encoded, so that every name has exactly one text and
every text gives back exactly the name.
"""

import os
import re

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
_CONTROL_OR_PERCENT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029%]")


def encode(name: bytes) -> str:
    r"""Text of a name.

    >>> encode("épi 1.jpg".encode()), encode(b"a\nb%\xff.jpg")
    ('épi 1.jpg', 'a%0Ab%25%FF.jpg')
    """
    # surrogateescape marks each byte that is not UTF-8 with one lone surrogate
    text = name.decode("utf-8", "surrogateescape")
    text = _CONTROL_OR_PERCENT.sub(_percent, text)
    return plain(text)


def decode(text: str) -> bytes:
    r"""The name that a text stands for.

    >>> decode("a%0Ab%25%FF.jpg")
    b'a\nb%\xff.jpg'
    """
    if "%" not in text:
        return text.encode("utf-8")
    return re.sub(
        rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode("utf-8")
    )


def of_place(place: str) -> str:
    r"""Text of a folder or a URL as the file system and the command line give it.

    >>> of_place("/photos\udcff")
    '/photos%FF'
    """
    return encode(os.fsencode(place))


def place(text: str) -> str:
    """The folder or URL that a text stands for; inverse of :func:`of_place`."""
    return os.fsdecode(decode(text))


def plain(text: str) -> str:
    r"""Words that can be printed: what is not UTF-8 of the names in them is percent-encoded.

    >>> plain("/photos\udcff is 100% empty")
    '/photos%FF is 100% empty'
    """
    return text if text.isascii() else _NOT_UTF_8.sub(_percent, text)


def label(path: str) -> str:
    """Name of the parent folder, which is the label of an image.

    >>> label("s3://fruits/Apple Braeburn/0_100.jpg"), label("/0.jpg")
    ('Apple Braeburn', '')
    """
    return path.rpartition("/")[0].rpartition("/")[2]


def _percent(match: re.Match[str]) -> str:
    raw = match[0].encode("utf-8", "surrogateescape")
    return "".join(f"%{byte:02X}" for byte in raw)
