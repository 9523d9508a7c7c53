"""What makes it cheap to use a Python worker of Spark again."""

import gc
import sys
import zipimport

_eased: set[str] = set()


def ease_reuse(work: str) -> None:
    """Spare a worker what PySpark repeats with every task.

    Around each one it collects garbage among all that the libraries hold, and reads the
    directories of the Python archives on the path anew: 0.15 s, for a task of one second or sixty.

    Parameters
    ----------
    work : str
        What the worker did; the first time, what it loaded for that is taken to be there for good.
    """
    if work not in _eased:
        _eased.add(work)
        gc.collect()
        gc.freeze()
    # an import that needs them makes them again
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[path]
