"""Finds the image that a user names, by its path or by the end of it."""

import difflib
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featuremill._utils import paths as names
from featuremill.dataset.reader import Indices
from featuremill.errors import ConfigError, SourceError
from featuremill.search.embedded import Embedded
from featuremill.storage import open_store

_SHOWN: Final = 5
_COMPARED: Final = 20_000
"""Paths that a misspelt one is compared with: it takes a third of a second."""


def find(embedded: Embedded, image: str) -> int | None:
    """Row of an image that is in the table; None for one that is a file or an object elsewhere.

    Parameters
    ----------
    image : str
        A path as in the table, a file, an ``s3://`` URL, a path relative to the source, or the end
        of one path of the table, in whole names.

    Raises
    ------
    ConfigError
        If several paths end like this.
    SourceError
        If there is no such image.
    """
    paths = embedded.images["path"]
    # as the table has it, or as the file system does
    for path in (names.plain(image), address(image)):
        if (row := _row(paths, path)) is not None:
            return row
    if "://" in image or Path(image).exists():
        return None
    end = image.removeprefix("./")
    if (row := _below_source(embedded, end)) is not None:
        return row
    fitting = _ending(paths, end)
    if len(fitting) == 1:
        return int(fitting[0])
    if len(fitting):
        shown = ", ".join(paths[row].as_py() for row in fitting[:_SHOWN])
        more = f" and {len(fitting) - _SHOWN:,} more" if len(fitting) > _SHOWN else ""
        raise ConfigError(
            f"{image!r} fits {len(fitting):,} images: {shown}{more}", "Give more of the path."
        )
    raise SourceError(
        f"{names.plain(image)!r} is neither an image of {embedded.destination.url} nor a file",
        _suggestion(paths, end),
    )


def address(image: str) -> str:
    """Path that a table would have of a file or an ``s3://`` URL."""
    return names.of_place(open_store(image).url)


def _row(paths: pa.ChunkedArray, path: str) -> int | None:
    row = pc.index(paths, path).as_py()
    return None if row < 0 else int(row)


def _below_source(embedded: Embedded, end: str) -> int | None:
    if embedded.record is None:
        return None
    paths = embedded.images["path"]
    source = address(names.place(embedded.record.config["source"]))
    row = _row(paths, f"{source}/{names.plain(end)}")
    return row if row is not None else _row(paths, f"{source}/{names.of_place(end)}")


def _ending(paths: pa.ChunkedArray, end: str) -> Indices:
    """Rows whose path ends in these names."""
    end = end.lstrip("/")
    ends = {f"/{names.plain(end)}", f"/{names.of_place(end)}"}
    found = [pc.indices_nonzero(pc.ends_with(paths, pattern=each)) for each in ends]
    return np.unique(np.concatenate([rows.to_numpy() for rows in found])).astype(np.int64)


def _suggestion(paths: pa.ChunkedArray, end: str) -> str:
    """Suggest an image of the same name elsewhere, or one that is spelt alike."""
    name = end.rpartition("/")[2]
    same = _ending(paths, name)[:_SHOWN]
    close = [paths[int(row)].as_py() for row in same]
    if not close:
        depth = end.count("/") + 1
        tails = {"/".join(path.split("/")[-depth:]): path for path in paths[:_COMPARED].to_pylist()}
        close = [tails[tail] for tail in difflib.get_close_matches(end, tails, n=3)]
    if not close:
        return "Name an image as a path in the table, as the end of one, or as a file."
    return f"Did you mean {' or '.join(close)}?"
