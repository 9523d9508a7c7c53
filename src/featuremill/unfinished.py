"""What a process that was killed had begun to write beside the outputs."""

from featuremill.storage import Store

FOLDERS = ("", "csv", "model", "runs")
"""Where outputs lie; the folders of the tables are cleaned up by their own rules."""


def remove_unfinished(destination: Store) -> int:
    """Remove such files, and tell how many.

    Only for a process that holds the destination: another's would be under way.
    """
    names = [name for folder in FOLDERS for name in destination.unfinished(folder)]
    for name in names:
        destination.remove(name)
    return len(names)
