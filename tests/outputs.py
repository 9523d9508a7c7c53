"""What a run leaves, read as somebody would who knows nothing of featuremill."""

from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from pyarrow import fs

from featuremill import RunConfig

if TYPE_CHECKING:
    import pandas as pd

MODEL = "embedded"
OTHER_MODEL = "mobilenetv2-untrained"


def offline(source: Path, destination: Path, **options) -> RunConfig:
    """A run in fp32 of the model that ships in the package: no download, and no probe."""
    options = {"model": MODEL, "precision": "fp32", **options}
    return RunConfig(str(source), str(destination), **options)


def features(destination: Path) -> "pd.DataFrame":
    """Rows of the features table, by path."""
    return _table(destination / "features")


def reduced(destination: Path) -> "pd.DataFrame":
    """Rows of the reduced table, by path."""
    return _table(destination / "reduced")


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file and folder, to see that nothing was touched."""
    found = {path: path.lstat() for path in [folder, *folder.rglob("*")] if path.exists()}
    return {str(path): (status.st_size, status.st_mtime_ns) for path, status in found.items()}


def uncommitted(destination: Path) -> set[str]:
    """Files in the folders of both tables that belong to no version of them."""
    found: set[str] = set()
    for folder in (destination / "features", destination / "reduced"):
        there = {path for path in folder.rglob("*") if path.is_file()}
        is_table = DeltaTable.is_deltatable(str(folder))
        committed = {Path(uri) for uri in DeltaTable(folder).file_uris()} if is_table else set()
        found |= {str(path.relative_to(destination)) for path in there - committed}
    return {name for name in found if "/_delta_log/" not in name}


def _table(folder: Path) -> "pd.DataFrame":
    # Arrow reads files itself: threads of it that work on files of Python abort some processes
    files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    return DeltaTable(folder).to_pandas(filesystem=files).sort_values("path", ignore_index=True)
