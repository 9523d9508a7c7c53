"""Converts names of images to text and back, without loss.

File names and object keys are bytes; table columns, CSV files and reports are text. A name is
kept as it is read by people, and only what is not plain text (control characters, bytes that
are not UTF-8) and ``%`` itself are percent-encoded, so that every name has exactly one text and
every text gives back exactly the name.
"""

import os
import re
import unicodedata

SHARDS = (".tar", ".zip")
"""How the names of archives end whose members are images of their own."""

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
_CONTROL_OR_PERCENT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029%]")
# what a terminal obeys instead of showing it: escapes, carriage returns, overrides of direction
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


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
    return encode(_bytes(place))


def prefix_of(place: str) -> str:
    """The beginning that the paths of everything in a folder, or below a URL, have in common.

    >>> prefix_of("/photos/"), prefix_of("s3://fruits")
    ('/photos/', 's3://fruits/')
    """
    return of_place(place.rstrip("/")) + "/"


def place(text: str) -> str:
    """The folder or URL that a text stands for; inverse of :func:`of_place`."""
    return os.fsdecode(decode(text))


def plain(text: str) -> str:
    r"""Words that can be printed: what is not UTF-8 of the names in them is percent-encoded.

    >>> plain("/photos\udcff is 100% empty")
    '/photos%FF is 100% empty'
    """
    return text if text.isascii() else _NOT_UTF_8.sub(_percent, text)


def composed(text: str) -> str:
    """A text in the one of its Unicode spellings that most systems write (NFC).

    macOS' older file systems write an accent as a character of its own, and one class that came
    from there and from elsewhere would be two that look the same.

    >>> composed("e\u0301te\u0301") == "\u00e9t\u00e9"
    True
    """
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    # as the name itself, since the D of an escape %0D would take an accent too
    name = decode(text).decode("utf-8", "surrogateescape")
    return encode(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape"))


def of_class(name: str) -> str:
    """Label of the images in a folder of this name, as the command line gives it; also of a glob.

    >>> of_class("50% ripe")
    '50%25 ripe'
    """
    return composed(of_place(name))


def shown(name: str) -> str:
    r"""A name from the command line as a message shows it, where ``%`` is no escape.

    >>> shown("50% ripe"), shown("caf\udce9")
    ('50% ripe', 'caf%E9')
    """
    return of_place(name).replace("%25", "%")


def visible(text: str) -> str:
    r"""Words for a terminal: :func:`plain`, and what it would obey is percent-encoded too.

    Tabs and ends of lines stay.

    >>> visible("\x1b[2Jall is well")
    '%1B[2Jall is well'
    """
    return _OBEYED.sub(_percent, plain(text))


def without_secrets(where: str) -> str:
    """An address for messages: without a password, and without a query, which may sign it.

    >>> without_secrets("https://ada:secret@example.org/a.zip?token=1")
    'https://example.org/a.zip?…'
    """
    head, _, query = where.partition("?")
    scheme, separator, rest = head.partition("://")
    host, slash, path = rest.partition("/")
    shown = f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else head
    return f"{shown}?…" if query else shown


def label(path: str) -> str:
    """Name of the parent folder, which is the label of an image, in one spelling.

    >>> label("s3://fruits/Apple Braeburn/0_100.jpg"), label("/0.jpg")
    ('Apple Braeburn', '')

    What lies in no folder of a shard has the label of the shard.

    >>> label("/fruits/kiwi/0.tar!/1.jpg"), label("/fruits/0.tar!/kiwi/1.jpg")
    ('kiwi', 'kiwi')
    """
    folder = path.rpartition("/")[0]
    if folder.endswith("!") and folder[-5:-1].lower() in SHARDS:
        folder = folder.rpartition("/")[0]
    return composed(folder.rpartition("/")[2])


def _bytes(place: str) -> bytes:
    try:
        return os.fsencode(place)
    except UnicodeEncodeError:
        # written down where the locale had more characters than here
        return place.encode("utf-8", "surrogateescape")


def _percent(match: re.Match[str]) -> str:
    raw = match[0].encode("utf-8", "surrogateescape")
    return "".join(f"%{byte:02X}" for byte in raw)
