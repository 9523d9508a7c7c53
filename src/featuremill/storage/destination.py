"""Checks that results may go to a destination, before anything is written there."""

import os
import re
from pathlib import Path

from featuremill._utils.paths import place, plain, prefix_of
from featuremill.errors import DestinationError
from featuremill.storage import Store
from featuremill.storage.local import LocalStore

# the Delta library takes the first two for another character, parses no path with a control
# character (C0 and DEL; it takes the others), and names for it are UTF-8
_MISREAD_BY_DELTA = re.compile(r"\\|%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f]|[\ud800-\udfff]")


def sizes_at(destination: Store) -> dict[str, int]:
    """Name and bytes of every file at a destination.

    Raises
    ------
    SourceError
        If it cannot be listed.
    """
    start = len(prefix_of(destination.url))
    return {place(entry.path[start:]): entry.size for entry in destination.list()}


def require_readable(destination: Store) -> None:
    """Refuse a place whose name the Delta library misreads.

    Raises
    ------
    DestinationError
        With the name.
    """
    if _MISREAD_BY_DELTA.search(destination.url):
        raise DestinationError(
            f"destination {plain(destination.url)!r} has a backslash, a percent escape, a control"
            " character or what is not UTF-8 in its name, which the Delta library misreads",
            "Choose a destination without them.",
        )


def require_folder(destination: Store) -> None:
    """Refuse what is there and is no folder, or could never be one.

    Raises
    ------
    DestinationError
        If it is a file, lies below one, or is a link to nothing.
    """
    if not isinstance(destination, LocalStore):
        return
    folder = Path(destination.url)
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if there.is_dir():
        return
    kind = "a file" if there.exists() else "a link to nothing"
    where = "is" if there == folder else f"lies below {there}, which is"
    raise DestinationError(f"{destination.url} {where} {kind}", "Name a folder.")


def require_apart(source: Store, destination: Store) -> None:
    """Refuse a place inside the source.

    Raises
    ------
    DestinationError
        With both.
    """
    if source.contains(destination):
        raise DestinationError(
            f"destination {destination.url} lies inside source {source.url}",
            "Choose a destination outside: results must not be listed as images.",
        )
