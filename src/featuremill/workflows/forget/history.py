"""Removes the older versions of a table: the files that only they name, and their log.

After that the newest version is the only one there is, and reads as before.
"""

import re
from collections.abc import Iterator

from featuremill.dataset.lock import confirm
from featuremill.dataset.tables import Table
from featuremill.errors import CommitError

_LOG = "_delta_log"
_LAST = "_last_checkpoint"


def expunge(table: Table) -> tuple[int, int]:
    """Remove a table's older versions.

    Only while no run may write to the table: also what a run has written and not yet committed
    goes.

    Returns
    -------
    tuple of int
        Files of rows and files of the log that were removed.

    Raises
    ------
    CommitError
        If the newest version does not stand on its own; then the log is left as it is.
    """
    files, hidden = table.vacuum(everything=True), list(_hidden(table))
    confirm(table.store)
    for name in hidden:
        table.store.remove(name)
        files += 1
    version = table.checkpoint()
    logs = list(_older(table, version))
    _require_checkpoint(table, version)
    # the oldest first: at no moment is there a gap between the versions that can be read
    for name in sorted(logs):
        table.store.remove(name)
    return files, len(logs)


def _hidden(table: Table) -> Iterator[str]:
    """Names of files that a killed worker had begun to write, which a vacuum overlooks."""
    for name in list(table.store.names(table.folder)):
        inside = name.removeprefix(f"{table.folder}/")
        if not inside.startswith(f"{_LOG}/") and re.search(r"(^|/)[._]", inside):
            yield name


def _older(table: Table, version: int) -> Iterator[str]:
    """Files of the log that the checkpoint of a version makes superfluous."""
    for name in table.store.names(f"{table.folder}/{_LOG}"):
        inside = name.rpartition(f"{_LOG}/")[2]
        number = re.match(r"(\d{20})\.", inside)
        if (int(number[1]) < version) if number else inside != _LAST:
            yield name


def _require_checkpoint(table: Table, version: int) -> None:
    folder = f"{table.folder}/{_LOG}"
    names = set(table.store.names(folder))
    if not {f"{folder}/{version:020}.checkpoint.parquet", f"{folder}/{_LAST}"} <= names:
        raise CommitError(
            f"version {version} of {table.store.url}/{table.folder} has no checkpoint",
            "Run the same command again.",
        )
