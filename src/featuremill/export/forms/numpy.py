"""Exports arrays that NumPy loads, or maps into memory without loading them.

A folder of ``.npy`` files and no ``.npz``: arrays in an archive cannot be mapped.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from featuremill._utils.progress import Progress
from featuremill.errors import RunError
from featuremill.export.output import Output
from featuremill.export.results import Results

FEATURES, SCORES, PATHS, LABELS = "features.npy", "features_pca.npy", "paths.npy", "labels.npy"

IS_FILE = False
NAMES = (FEATURES, SCORES, PATHS, LABELS)


def write(results: Results, output: Output, progress: Progress) -> Mapping[str, str]:
    """Write one ``.npy`` file for each array; row i of all of them is the same image.

    ``features.npy``: (n, n_features) float32; ``features_pca.npy``: (n, k) float32, missing
    without a PCA; ``paths.npy`` and ``labels.npy``: (n,) text of a fixed width.
    """
    survey = results.survey()
    n = survey.rows
    arrays: dict[str, _Array] = {
        FEATURES: _Array("<f4", (n, results.n_features)),
        PATHS: _Array(f"<U{max(1, survey.longest_path)}", (n,)),
        LABELS: _Array(f"<U{max(1, survey.longest_label)}", (n,)),
    }
    if results.pca is not None:
        arrays[SCORES] = _Array("<f4", (n, results.pca.n_components_))
    done = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context(output.writer(name)) for name in arrays}
        for name, array in arrays.items():
            array.begin(files[name])
        for rows in results.rows():
            parts: dict[str, Any] = {
                FEATURES: rows.features,
                SCORES: rows.scores,
                PATHS: rows.path.to_pylist(),
                LABELS: rows.label.to_pylist(),
            }
            for name, array in arrays.items():
                array.append(files[name], parts[name])
            done += len(rows.path)
            progress.advance(done, n)
        if done != n:
            raise RunError(f"{n} rows were counted, {done} were read", "Start the export again.")
    shapes = ", ".join(f"{name} {array.shape}" for name, array in sorted(arrays.items()))
    return {"arrays": shapes}


class _Array:
    """A ``.npy`` file that is written row by row."""

    def __init__(self, dtype: str, shape: tuple[int, ...]) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = shape

    def begin(self, file: BinaryIO) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, header)

    def append(self, file: BinaryIO, rows: npt.ArrayLike) -> None:
        file.write(np.ascontiguousarray(rows, self.dtype).data)
