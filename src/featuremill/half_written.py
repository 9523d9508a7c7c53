"""What a process that was killed had begun to write beside the outputs."""

from pathlib import PurePosixPath

from featuremill.ledger import RUNS
from featuremill.matrix import MATRIX
from featuremill.reduce import MODEL_ARRAYS
from featuremill.storage import Store

# the folders of the tables are cleaned up by the tables' own rules
_FOLDERS = ("", RUNS, *(str(PurePosixPath(name).parent) for name in (MATRIX, MODEL_ARRAYS)))


def remove_half_written(destination: Store) -> int:
    """Remove such files, and tell how many.

    Only for a process that holds the destination: another's would be under way.
    """
    names = [name for folder in _FOLDERS for name in destination.half_written(folder)]
    for name in names:
        destination.remove(name)
    return len(names)
