"""What an archive says about itself, for the job that runs from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "featuremill-archive.json"
"""At the top of the archive."""
WEIGHTS = "featuremill-weights"
"""Folder of the archive for weights: a cache that the job finds filled."""


@dataclass(frozen=True)
class Manifest:
    """What went into an archive.

    Parameters
    ----------
    version : str
        Of featuremill.
    digest : str
        As in the archive's name.
    machine : str
        What the packages were built for, as Linux calls it.
    model : str
        Whose weights are in it.
    weights : str or None
        The file of weights that was given in place of the published one, from the archive's top.
    """

    version: str
    digest: str
    machine: str
    model: str
    weights: str | None

    def text(self) -> str:
        """Content of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read(folder: Path) -> Manifest | None:
    """The manifest of an unpacked archive; None where the folder is none."""
    file = folder / FILE
    return Manifest(**json.loads(file.read_bytes())) if file.exists() else None
