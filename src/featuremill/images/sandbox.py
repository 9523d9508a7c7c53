"""Decodes in a child process, where a crash or a hang costs one image and not the run.

A first attempt decodes in the worker itself. Should the worker die on an image, Spark repeats
the task, and the repetition decodes in a child that can be lost image by image.

Both rest on one watchdog: an interval timer of the kernel, whose signal SIGALRM ends the process
by default. It needs neither the GIL nor another thread, so it fires even where C code hangs, and
arming it costs a microsecond an image. (``faulthandler.dump_traceback_later`` starts and joins a
thread each time: 25 microseconds on an idle machine, up to 2 milliseconds on a busy one; and a
process has only one of it, which Spark may want.)
"""

import contextlib
import faulthandler
import importlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Protocol, Self, cast

import numpy as np

from featuremill._utils.hardware import OwnBound, die_first
from featuremill.errors import ConfigError, ImageRejected, WorkerError
from featuremill.images.decode import Decoded, Limits, stated_pixels
from featuremill.images.scaled_jpeg import compile_now

PixelSize = tuple[int, int]

_DECODER = "featuremill.images.decode:decode"
_TIMEOUT = 30.0  # seconds
MOST_BYTES, MOST_BYTES_PER_PIXEL = 64 << 20, 16
"""What a child may allocate for one image: files and tables; and pixels of four bytes, a copy in
another mode, a copy as RGB, and one turned upright. Idle it holds some 32 MiB."""
_LENGTH = struct.Struct("<Q")
_STDOUT, _STDERR = 1, 2


class Decoder(Protocol):
    """Turns the bytes of one image into pixels; used in a ``with`` block."""

    def decode(self, data: bytes) -> Decoded:
        """Decode one image.

        Parameters
        ----------
        data : bytes
            The encoded image.

        Returns
        -------
        Decoded
            RGB pixels, and the size of the image.

        Raises
        ------
        ImageRejected
            If this image cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release what decoding needed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Limited(Decoder):
    """The parameters that both kinds of decoder have in common.

    Parameters
    ----------
    limits : Limits
        The largest image to decode.
    timeout : float
        Seconds that one image may take, above 0.
    decoder : str
        ``module:function``, called as :func:`featuremill.images.decode.decode` is; a child looks
        it up on this process's ``sys.path``.
    target : tuple of (int, int), optional
        Height and width the pixels will be resized to, where fewer may be decoded.

    Raises
    ------
    ConfigError
        If ``timeout`` is not above 0.
    """

    def __init__(
        self,
        limits: Limits,
        timeout: float = _TIMEOUT,
        decoder: str = _DECODER,
        target: PixelSize | None = None,
    ) -> None:
        self._limits = limits
        self._timeout = _checked(timeout)
        self._decoder = decoder
        self._target = target
        self._begin()

    def _begin(self) -> None:
        """Get ready for the first image."""


class InProcess(_Limited):
    """Decodes in this process, which ends if one image takes too long.

    The watchdog ends the process wherever SIGALRM has its default action, as it has in Python
    until somebody sets a handler. A timer set before is put off while an image is decoded.
    """

    def _begin(self) -> None:
        self._decode = _imported(self._decoder)
        if self._target is not None:
            # what it takes is taken from no image's time, and in a child from no image's memory
            compile_now()
        # Says on stderr where the image hung, then lets the signal do what it does by default.
        faulthandler.register(signal.SIGALRM, file=_STDERR, chain=True)

    def decode(self, data: bytes) -> Decoded:
        """Decode one image, or end the process in the attempt; see :class:`Decoder`."""
        put_off = signal.setitimer(signal.ITIMER_REAL, self._timeout)
        try:
            return self._decode(data, self._limits, self._target)
        finally:
            signal.setitimer(signal.ITIMER_REAL, *put_off)

    def close(self) -> None:
        """Leave the signal as it was."""
        faulthandler.unregister(signal.SIGALRM)


class InChild(_Limited):
    """Decodes in a child process; an image that kills or hangs it is rejected.

    The child is a fresh interpreter, never a fork, which would inherit locks held by other
    threads. It starts with the first image, and again after an image that ended it, in about
    0.2 s (a second, where JPEGs may be decoded smaller). Should this process die, the child
    follows, after ``timeout`` seconds at the latest.
    On Linux the child may allocate 64 MiB, 16 bytes for each pixel, and twice the file's bytes; a
    decoder that wants more is refused memory, and its image is rejected.
    """

    _child: "subprocess.Popen[bytes] | None" = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None while there is none."""
        return self._child.pid if self._child else None

    def decode(self, data: bytes) -> Decoded:
        """Decode one image in the child; see :class:`Decoder`.

        Raises
        ------
        ImageRejected
            If the decoder rejects the image, dies on it, or gives no answer in time.
        WorkerError
            If no child can be started.
        """
        if self._child is None:
            self._start()
        try:
            return _ask(cast("subprocess.Popen[bytes]", self._child), data)
        except ImageRejected:
            raise
        except (BrokenPipeError, EOFError):
            raise self._epitaph(data) from None
        except BaseException:
            # The rest of this answer must not be taken for the next one.
            self.close()
            raise

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._bury()

    def _start(self) -> None:
        options = {
            "timeout": self._timeout,
            "decoder": self._decoder,
            "target": self._target,
        }
        arguments = json.dumps({"limits": asdict(self._limits), **options})
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "featuremill.images.sandbox", arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            _receive(cast("BinaryIO", self._child.stdout))
        except EOFError:
            problem = f"The decoder's process did not start: {_fate(self._bury())}."
            raise WorkerError(
                problem, "See the worker's log for the messages of that process."
            ) from None

    def _epitaph(self, data: bytes) -> ImageRejected:
        returncode = self._bury()
        if returncode == -signal.SIGALRM:
            reason = f"the decoder gave no answer within {self._timeout:g} s"
            if data.startswith(b"qoif"):
                reason += ": QOI takes 2 to 3 s a megapixel, PNG a hundredth of that"
            return ImageRejected("limit", reason)
        # SIGKILL is the kernel's, where memory ran out: another run may have more
        stage = "limit" if returncode == -signal.SIGKILL else "decode"
        return ImageRejected(stage, f"the decoder died ({_fate(returncode)}) on this image")

    def _bury(self) -> int:
        """Close the pipes of the dying child and wait for it, so that no zombie stays."""
        child = cast("subprocess.Popen[bytes]", self._child)
        self._child = None
        child.communicate()
        return child.returncode


def _checked(timeout: float) -> float:
    if not timeout > 0:
        problem = f"The timeout of an image is {timeout:g} s, it must be above 0."
        raise ConfigError(problem, "Give a number of seconds, such as 60.")
    return timeout


def _imported(decoder: str) -> Callable[[bytes, Limits, PixelSize | None], Decoded]:
    module, _, function = decoder.partition(":")
    return cast(
        "Callable[[bytes, Limits, PixelSize | None], Decoded]",
        getattr(importlib.import_module(module), function),
    )


def _fate(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"


def _ask(child: "subprocess.Popen[bytes]", data: bytes) -> Decoded:
    answers = cast("BinaryIO", child.stdout)
    _send(cast("BinaryIO", child.stdin), data)
    answer = json.loads(_receive(answers))
    if "reason" in answer:
        raise ImageRejected(answer["stage"], answer["reason"])
    pixels = np.frombuffer(_receive(answers), np.uint8).reshape(answer["shape"])
    return Decoded(pixels, *answer["size"])


def _send(stream: BinaryIO, content: bytes | memoryview) -> None:
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def _serve(arguments: str) -> None:
    """Decode for the parent until it closes the pipe; this is the child's whole life."""
    # What a library prints must not end up among the pixels.
    answers = os.fdopen(os.dup(_STDOUT), "wb")
    os.dup2(_STDERR, _STDOUT)
    # Where an image exhausts the memory, Linux is to end this process, not the worker.
    die_first(1000)
    options = json.loads(arguments)
    limits = Limits(**options.pop("limits"))
    with InProcess(limits, **options) as decoder, contextlib.suppress(EOFError):
        _send(answers, b"ready")
        bound = OwnBound()
        while True:
            data = _receive(sys.stdin.buffer)
            most = MOST_BYTES + 2 * len(data)
            # some decoders take memory for the pixels with the header
            bound.allow(most + MOST_BYTES_PER_PIXEL * limits.max_pixels)
            bound.allow(most + MOST_BYTES_PER_PIXEL * stated_pixels(data, limits))
            _answer(answers, decoder, data)


def _answer(answers: BinaryIO, decoder: Decoder, data: bytes) -> None:
    try:
        pixels, *size = decoder.decode(data)
    except ImageRejected as rejected:
        _send(answers, json.dumps({"stage": rejected.stage, "reason": rejected.reason}).encode())
        return
    _send(answers, json.dumps({"shape": pixels.shape, "size": size}).encode())
    _send(answers, np.ascontiguousarray(pixels).data.cast("B"))


if __name__ == "__main__":
    _serve(sys.argv[1])
