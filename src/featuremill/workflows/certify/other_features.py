"""Reads features that another program computed of the same images."""

import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from featuremill.dataset.reader import matrix, open_dataset
from featuremill.errors import ConfigError, SourceError
from featuremill.storage import open_store

Features = npt.NDArray[np.float32]


def read(place: str) -> tuple[list[str], Features]:
    """Read paths and features.

    Parameters
    ----------
    place : str
        An ``.npz`` with the arrays ``paths`` (n texts) and ``features`` (n, d), or the destination
        of a run.

    Returns
    -------
    paths : list of str
    features : ndarray of shape (n, d), float32

    Raises
    ------
    ConfigError
        If the file lacks an array, or they do not fit.
    """
    if not place.endswith(".npz"):
        dataset = open_dataset(open_store(place))
        table = dataset.read(["path", "features"])
        rows = matrix(table["features"].combine_chunks(), dataset.n_features)
        return table["path"].to_pylist(), rows
    remedy = "Write it by numpy.savez(file, paths=[...], features=array of shape (n, d))."
    try:
        with np.load(place, allow_pickle=False) as arrays:
            missing = {"paths", "features"} - set(arrays.files)
            if missing:
                held = ", ".join(arrays.files) or "no array"
                raise ConfigError(
                    f"--against is {place}, which holds {held}; it must hold paths and features",
                    remedy,
                )
            paths, features = arrays["paths"], arrays["features"]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"--against is {place}, which cannot be read: {error}", remedy) from error
    if features.ndim != 2 or paths.shape != features.shape[:1] or features.dtype.kind not in "fiu":
        raise ConfigError(
            f"--against is {place}: its paths have the shape {paths.shape} and its features"
            f" {features.shape}, they must be (n,) and (n, d), of numbers",
            remedy,
        )
    return [str(path) for path in paths], features.astype(np.float32)


def places(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Which of our paths is which of theirs: those that end in the same way, and uniquely.

    Parameters
    ----------
    ours, theirs : sequence of str
        Absolute paths, and paths of any kind; of two, the shorter one must be the other's end.

    Raises
    ------
    SourceError
        If none is the same.
    """
    ends: dict[str, list[int]] = {}
    for index, path in enumerate(theirs):
        ends.setdefault(PurePosixPath(path).name, []).append(index)
    found: dict[int, int] = {}
    for place, path in enumerate(ours):
        same = [
            index
            for index in ends.get(PurePosixPath(path).name, [])
            if _ends_alike(PurePosixPath(path).parts, PurePosixPath(theirs[index]).parts)
        ]
        if len(same) == 1:
            found[place] = same[0]
    if not found:
        raise SourceError(
            f"none of {len(theirs)} paths of --against, such as {theirs[0] if theirs else 'none'},"
            " is the end of a path of IMAGES",
            "Give paths as they are below IMAGES, or absolute ones.",
        )
    return found


def _ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    least = min(len(one), len(other))
    return one[-least:] == other[-least:]
