"""Features tables of any length, generated out of core: what the PCA is measured on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.options import Options
from featuremill.dataset.schemas import FEATURES_FOLDER, OK
from featuremill.dataset.tables import DataFile, features_table
from featuremill.storage import Store, open_store
from featuremill.storage.listing import Reference
from featuremill.workflows.run.task import Row, write_features

N_FEATURES = 1280
MODEL_ID = "generated"

_ROWS_PER_FILE = 4096  # as a task of 15 seconds writes
_RUN = "generated"
_LABELS = 131


def features(options: Options, rows: int) -> Path:
    """A destination with a features table of so many rows, made once and reused.

    The rows are normally distributed; variance i of their covariance is in proportion to 1 / i,
    about as slowly as the spectrum of a network's features decays. The same rows every time.

    Returns
    -------
    Path
        The folder that holds the table.
    """
    folder = options.data / f"features-{rows}"
    if not folder.exists():
        print(f"  making {folder.name}", flush=True)
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        _write(open_store(str(unfinished)), rows)
        unfinished.rename(folder)
    return folder


def _write(store: Store, rows: int) -> None:
    mean, mixing = _distribution()
    files = []
    for number, start in enumerate(range(0, rows, _ROWS_PER_FILE)):
        count = min(_ROWS_PER_FILE, rows - start)
        noise = np.random.default_rng([1, number]).standard_normal((count, N_FEATURES), np.float32)
        data, written, _ = write_features(_rows(start, mean + noise @ mixing), MODEL_ID, _RUN)
        name = f"status={OK}/{_RUN}-{number:05d}.parquet"
        store.write(f"{FEATURES_FOLDER}/{name}", data)
        files.append(DataFile(name, written, len(data), {"status": OK}))
    table = features_table(store)
    table.create()
    table.commit(_RUN, 0, files)


def _distribution() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean, of shape (d,), and the matrix, of shape (d, d), that turns noise into features."""
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.standard_normal((N_FEATURES, N_FEATURES)))
    deviations = 1 / np.sqrt(np.arange(1, N_FEATURES + 1))
    mixing = deviations[:, np.newaxis] * basis
    return random.uniform(0, 2, N_FEATURES).astype(np.float32), mixing.astype(np.float32)


def _rows(start: int, matrix: npt.NDArray[np.float32]) -> Iterator[Row]:
    for number, row in enumerate(matrix, start):
        label = f"class_{number % _LABELS:03d}"
        path = f"/generated/{label}/{number:07d}.jpg"
        yield Row(Reference(path, label, "1", 4096), 100, 100, row)
