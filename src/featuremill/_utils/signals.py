"""Defers Ctrl-C to a moment when stopping is safe.

An interrupt in the middle of a call to Java leaves half an answer on the wire, and every later
call reads it. So the signal is only noted, and the run looks for it where it waits.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_noted = threading.Event()


@contextmanager
def deferred() -> Iterator[None]:
    """Note Ctrl-C within the block; the block ends with KeyboardInterrupt if it was pressed.

    Pressed again, it interrupts at once. In other threads than the main one, which get no
    signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if _noted.is_set():
            _noted.clear()
            raise KeyboardInterrupt


def rearm() -> None:
    """Take the signal back from a library that has set a handler of its own."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _note)


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed."""
    if _noted.is_set() and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    if _noted.is_set():
        signal.default_int_handler(number, frame)
    _noted.set()
    with suppress(OSError):
        # print is not safe in the midst of a print
        os.write(2, b"\nstopping; press Ctrl-C again to stop at once\n")
