"""What libtiff says of a damaged file: into the reason of its rejection, not onto the screen."""

import ctypes
import threading
from functools import cache
from typing import Any

from PIL import _imaging

_LONGEST = 300
_said = threading.local()


def forget() -> None:
    """Begin anew in this thread, and have libtiff speak to this module."""
    _handler()
    _said.first = ""


def said() -> str:
    """The first error since then in this thread, which is the cause of those that follow."""
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
