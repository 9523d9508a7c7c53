"""Removes half-written files that a killed process left, in the tables and beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from featuremill.dataset.csv_files import MATRIX
from featuremill.dataset.ledger import RUNS, new_run_id
from featuremill.dataset.lock import confirm, hold
from featuremill.dataset.model_files import MODEL_ARRAYS
from featuremill.dataset.tables import features_table, reduced_table
from featuremill.storage import Store

# the folders of the tables are cleaned up by the tables' own rules
_FOLDERS = ("", RUNS, *(str(PurePosixPath(name).parent) for name in (MATRIX, MODEL_ARRAYS)))


@contextmanager
def held_between_runs(destination: Store) -> Iterator[None]:
    """Hold a destination to write an output again, outside a run.

    Beside a run its files would be taken for those of a process that was killed, and of two
    reports the older could come last.

    Raises
    ------
    DestinationBusyError
        If a run holds it.
    """
    own = new_run_id()
    with hold(destination, own) as dead_run:
        if dead_run is not None:
            # it is the last to hear of that run
            features_table(destination).fence(own)
            clean_up_after(dead_run, destination)
        yield


def clean_up_after(run: str, destination: Store) -> int:
    """Remove what a run did not commit, and what is half-written; returns how many files.

    What is not that run's own is left where this process does not hold the destination any more.

    Raises
    ------
    LeaseLostError
        In that case.
    """
    tables = (features_table(destination), reduced_table(destination))
    removed = sum(table.remove_uncommitted(run) for table in tables)
    return removed + remove_half_written(destination)


def remove_half_written(destination: Store) -> int:
    """Remove half-written files; returns how many.

    Only for a process that holds the destination: another's would be under way.

    Raises
    ------
    LeaseLostError
        If it holds it no more; then nothing is removed.
    """
    names = [name for folder in _FOLDERS for name in destination.half_written(folder)]
    # after they were listed: whoever takes over later has begun none of them
    confirm(destination)
    for name in names:
        destination.remove(name)
    return len(names)
