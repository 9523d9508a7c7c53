"""Detects a source that was listed under another name before, as through a symbolic link.

Tables know an image by its path as it was listed; under another name of its folder it would be
another image, with a second row.
"""

import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from featuremill._utils import paths
from featuremill.dataset.schemas import OK
from featuremill.dataset.tables import features_table
from featuremill.storage import Store
from featuremill.storage.local import LocalStore

_RUNS = 16
"""Runs that are looked at, the newest first, by one row of each."""


class OtherName(NamedTuple):
    """A folder by which a destination knows images of a source."""

    folder: str
    real: str

    def warning(self, source: str) -> str:
        """The warning that the same images get a second row."""
        return (
            f"{source} and {self.folder} are the same folder, {self.real}, and the rows of earlier"
            f" runs are under {self.folder}: images listed under {source} become rows of their own,"
            f" so they are there twice. Name {self.folder} as SRC, as before, and erase what is"
            " there twice with `featuremill forget`, or choose another destination"
        )


def other_name(source: Store, destination: Store) -> OtherName | None:
    """Another name of the source, or of a part of it, that a destination's rows have.

    A handful of rows is looked at, so that it costs next to nothing; not of a bucket, which
    knows no links.
    """
    table = features_table(destination)
    if not isinstance(source, LocalStore) or not table.exists():
        return None
    # names of files begin with their run, which sorts by time
    newest = sorted(table.files(status=OK), key=lambda file: file.name, reverse=True)
    of_runs = {"-".join(file.name.split("-", 2)[:2]): file for file in newest}
    for file in islice(of_runs.values(), _RUNS):
        for batch in islice(table.read(file, ["path"]), 1):
            found = _other_name(source.url, os.fsdecode(paths.decode(batch["path"][0].as_py())))
            if found:
                return found
    return None


def _other_name(source: str, path: str) -> OtherName | None:
    """Under which other name of a source a path lies in it."""
    if not path.startswith("/") or Path(source) in Path(path).parents:
        return None
    root, real = Path(os.path.realpath(source)), Path(os.path.realpath(path))
    if root not in real.parents:
        return None
    below = f"/{real.relative_to(root)}"
    if path.endswith(below):
        return OtherName(path.removesuffix(below) or "/", str(root))
    return OtherName(str(Path(path).parent), str(real.parent))
