"""Looks up which images the features table holds already, so that none is computed twice."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from featuremill.dataset.reader import rows_of
from featuremill.dataset.tables import Table
from featuremill.storage.member_places import content_of

_RETRIED_STAGES = ("list", "fetch", "limit", "worker")
"""Rejects that say nothing about the image itself: the next run tries them again."""

_MET, _SELECTED = np.uint8(1), np.uint8(2)


class Known:
    """The images that the features table holds of one model, in 26 bytes each.

    Paths are kept as 128-bit digests in a sorted array, so that a million of them take 26 MB
    and a look-up costs microseconds.

    Parameters
    ----------
    rows : iterable of (path, version, state)
    selects : callable
        Whether a listing is meant to meet an image of this path.
    """

    DONE, REJECTED, RETRY = 0, 1, 2

    def __init__(
        self,
        rows: Iterable[tuple[str, str, int]],
        selects: Callable[[str], bool] = lambda _: False,
    ) -> None:
        dtype = np.dtype([("path", "S16"), ("version", "S8"), ("state", "u1"), ("selected", "?")])
        digests = (
            (_digest(path, 16), _digest(content_of(version), 8), state, selects(path))
            for path, version, state in rows
        )
        known = np.fromiter(digests, dtype)
        known.sort(order="path")
        # apart, since only an array without gaps is searched without being copied
        self._paths: npt.NDArray[np.bytes_] = np.ascontiguousarray(known["path"])
        self._versions: npt.NDArray[np.bytes_] = np.ascontiguousarray(known["version"])
        self._states: npt.NDArray[np.uint8] = np.ascontiguousarray(known["state"])
        self._marks: npt.NDArray[np.uint8] = known["selected"].astype(np.uint8) * _SELECTED

    def __len__(self) -> int:
        return len(self._paths)

    def look_up(self, path: str, version: str) -> tuple[int, bool] | None:
        """State of an image and whether that version is the one known; None if unknown."""
        return self._at(self._index(path), version)

    def meet(self, path: str, version: str) -> tuple[int, bool] | None:
        """As :meth:`look_up`, and note that an image was listed, so that it is not gone."""
        index = self._index(path)
        if index is not None:
            self._marks[index] |= _MET
        return self._at(index, version)

    def count_unmet(self) -> int:
        """How many of the selected images were not listed."""
        return int((self._marks == _SELECTED).sum())

    def is_unmet(self, path: str) -> bool:
        """Whether an image is known but was not listed."""
        index = self._index(path)
        return index is not None and not self._marks[index] & _MET

    def _at(self, index: int | None, version: str) -> tuple[int, bool] | None:
        if index is None:
            return None
        same = self._versions[index] == np.bytes_(_digest(content_of(version), 8))
        return int(self._states[index]), bool(same)

    def _index(self, path: str) -> int | None:
        digest = np.bytes_(_digest(path, 16))
        index = int(self._paths.searchsorted(digest))
        found = index < len(self._paths) and self._paths[index] == digest
        return index if found else None


def known_images(
    table: Table, model_id: str, selects: Callable[[str], bool] = lambda _: False
) -> Known:
    """Read what a features table holds of a model; for `selects` see :class:`Known`."""

    def rows() -> Iterator[tuple[str, str, int]]:
        for batch in rows_of(table, table.files(), model_id, ["path", "version", "stage"]):
            columns = (column.to_pylist() for column in batch.columns)
            for path, version, stage in zip(*columns, strict=True):
                yield path, version, _state(stage)

    return Known(rows(), selects)


def gone_images(
    table: Table, model_id: str, known: Known, would_be_listed: Callable[[str], bool]
) -> list[str]:
    """Paths of rows whose image a listing, now complete, would have met and did not.

    Parameters
    ----------
    would_be_listed : callable
        Whether the listing would have met an image of this path, were it there.
    """
    return [
        path
        for batch in rows_of(table, table.files(), model_id, ["path"])
        for path in batch["path"].to_pylist()
        if known.is_unmet(path) and would_be_listed(path)
    ]


def _state(stage: str | None) -> int:
    if stage is None:
        return Known.DONE
    return Known.RETRY if stage in _RETRIED_STAGES else Known.REJECTED


def _digest(text: str, size: int) -> bytes:
    digest = hashlib.blake2b(text.encode(), digest_size=size).digest()
    # NumPy takes NUL bytes at the end of a byte string for padding
    return digest[:-1] + bytes([digest[-1] | 1])
