"""Decoders and a network that one image is fatal to; workers import this module.

An image is poisonous to a decoder if it ends with ``POISON``, and to the network if it is white.
"""

import os
import signal
from dataclasses import dataclass
from typing import Any

import numpy as np

from featuremill.errors import ImageRejected
from featuremill.images.decode import Decoded, decode
from featuremill.workflows.run.dispatch import EmbeddingWork

POISON = b"poison"
WHITE = 255


def segfault(data: bytes, *how: Any) -> Decoded:
    """Decode, or die as C code does that writes where it must not."""
    if data.endswith(POISON):
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode(data, *how)


def hang(data: bytes, *how: Any) -> Decoded:
    """Decode, or never come back."""
    while data.endswith(POISON):
        signal.pause()
    return decode(data, *how)


def greedy(data: bytes, *how: Any) -> Decoded:
    """Decode, with 200 MiB that no pixel needs."""
    try:
        bytearray(200 << 20)
    except MemoryError:
        raise ImageRejected("limit", "out of memory") from None
    return decode(data, *how)


class DeadlyEngine:
    """Embeds, or is killed on the spot, as by a lack of memory."""

    def __init__(self, engine: Any) -> None:
        self.precision = engine.precision
        self._engine = engine

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        if (pixels == WHITE).all(axis=(1, 2, 3)).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self._engine.embed(pixels)


@dataclass(frozen=True)
class DeadlyWork(EmbeddingWork):
    """Work with that engine."""

    def open_engine(self) -> Any:
        return DeadlyEngine(super().open_engine())
