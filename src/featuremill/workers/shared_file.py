"""Values that every worker process of this machine reads from one file without a name.

The file is open in the driver and in each worker, which inherits it. It has no name in any folder,
so nothing is left of it when they end, however that happens.
"""

import os
import pickle
import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from featuremill.errors import RunError

T = TypeVar("T")

_KEPT = 2
"""Values that a worker keeps at a time: a network, and a PCA."""


class SharedFile:
    """The driver's side of the file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the workers live)
        self._writing = threading.Lock()

    @property
    def number(self) -> int:
        """Number of the file, here and in every process that inherits it."""
        return self._file.fileno()

    def add(self, value: T) -> "Handle[T]":
        """Write a picklable value.

        Raises
        ------
        RunError
            If the temporary folder has no room for it.
        """
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        try:
            with self._writing:
                offset = self._file.seek(0, os.SEEK_END)
                self._file.write(data)
                self._file.flush()
        except OSError as error:
            raise RunError(
                f"{len(data) / 1e6:,.1f} MB for the workers cannot be written to"
                f" {tempfile.gettempdir()}: {error.strerror}",
                "Make room there, or name another folder in TMPDIR.",
            ) from error
        return Handle(self.number, offset, len(data))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@dataclass(frozen=True)
class Handle(Generic[T]):
    """Where a value stands in the file; small and picklable."""

    file: int
    offset: int
    size: int

    @property
    def value(self) -> T:
        """The value, read once in each worker."""
        value: T = _read(self.file, self.offset, self.size)
        return value

    def destroy(self) -> None:
        """Do nothing: the file ends with the workers."""


@lru_cache(_KEPT)
def _read(file: int, offset: int, size: int) -> Any:
    return pickle.loads(os.pread(file, size, offset))
