"""Reads the first directory of a TIFF, and collects the errors that libtiff reports."""

import ctypes
import struct
import threading
from functools import cache
from typing import Any, NamedTuple

from PIL import _imaging

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
SAMPLES, SAMPLE_FORMAT = 277, 339
STRIPS = (273, 279, 324, 325)
"""Offsets and lengths of strips and of tiles."""
_KINDS = {1: "B", 3: "H", 4: "I", 16: "Q"}


class Tag(NamedTuple):
    """How many values a tag has, and the first one, where it is a whole number."""

    length: int
    first: int


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF or a BigTIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tags(data: bytes, most: int) -> dict[int, Tag]:
    """Read the first directory of a TIFF or BigTIFF.

    Parameters
    ----------
    data : bytes
        The file.
    most : int
        How many entries are read at most.

    Returns
    -------
    dict
        Tags by number; as many as could be read where the file is damaged.
    """
    order, big, at, entries = _directory(data)
    entry, offset, inline = ("HHQ", "Q", 8) if big else ("HHI", "I", 4)
    step = struct.calcsize("<" + entry) + inline
    tags: dict[int, Tag] = {}
    try:
        for place in range(at, at + min(entries, most) * step, step):
            tag, kind, count = struct.unpack_from(order + entry, data, place)
            value = _KINDS.get(kind, "B")
            where = place + step - inline
            if count * struct.calcsize("<" + value) > inline:
                (where,) = struct.unpack_from(order + offset, data, where)
            tags[tag] = Tag(count, struct.unpack_from(order + value, data, where)[0])
    except (struct.error, OverflowError):
        pass  # what is damaged, Pillow says
    return tags


def count_of_entries(data: bytes) -> int:
    """How many entries the first directory says it has; 0 if there is none."""
    return _directory(data)[3]


def _directory(data: bytes) -> tuple[str, bool, int, int]:
    """Byte order, whether it is a BigTIFF, and where how many entries begin."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    offset, number = ("Q", "Q") if big else ("I", "H")
    try:
        (at,) = struct.unpack_from(order + offset, data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + number, data, at)
    except (struct.error, OverflowError):
        return order, big, 0, 0
    return order, big, at + struct.calcsize("<" + number), entries


_LONGEST = 300
_said = threading.local()


def forget_errors() -> None:
    """Forget the errors of this thread, and have libtiff report to this module."""
    _handler()
    _said.first = ""


def first_error() -> str:
    """The first error of this thread since then, which is the cause of those that follow."""
    return str(getattr(_said, "first", ""))


@cache
def _handler() -> Any:
    """Take over the errors of the libtiff that Pillow uses; kept for as long as the process.

    Pillow silences warnings itself. A Pillow that hides the functions of its libtiff speaks on.
    """
    formatted = ctypes.CDLL(None).vsnprintf
    formatted.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]

    def note(_: bytes | None, text: bytes, values: int | None) -> None:
        buffer = ctypes.create_string_buffer(_LONGEST)
        formatted(buffer, _LONGEST, text, values)
        _said.first = getattr(_said, "first", "") or buffer.value.decode("utf-8", "replace")

    handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(note)
    try:
        library: Any = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler.restype = ctypes.c_void_p
        library.TIFFSetErrorHandler(handler)
    except (AttributeError, OSError):
        return None
    return handler
