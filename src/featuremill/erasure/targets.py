"""Which images are meant, and which rows are theirs."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featuremill.errors import DestinationError
from featuremill.forgotten import UNFINISHED, Forgotten
from featuremill.schemas import REDUCED_FOLDER
from featuremill.search.locate import address
from featuremill.storage import Store
from featuremill.tables import Table, features_table, reduced_table


@dataclass(frozen=True)
class Unfinished:
    """What stands at a destination while a forget is under way, or after one was interrupted."""

    paths: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """JSON form."""
        return json.dumps({"paths": self.paths, "not_found": self.not_found}).encode()


@dataclass(frozen=True)
class Targets:
    """Images to be forgotten.

    Attributes
    ----------
    paths : tuple of str
        As the tables have them.
    not_found : tuple of str
        As they were given: those of which no table has a row, and that were not forgotten before.
    rows : mapping of str to int
        Rows of ``embedded`` and ``rejected`` images in the features table, and of ``reduced``.
    """

    paths: tuple[str, ...]
    not_found: tuple[str, ...]
    rows: Mapping[str, int]


def read_unfinished(destination: Store) -> Unfinished | None:
    """What an interrupted forget was to do, or None if there is none."""
    try:
        found = json.loads(destination.read(UNFINISHED))
        return Unfinished(tuple(found["paths"]), tuple(found["not_found"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise DestinationError(
            f"{destination.url}/{UNFINISHED} cannot be understood: {error!r}",
            "Remove that file and forget the same images again.",
        ) from error


def find_targets(
    destination: Store, given: Sequence[str], unfinished: Unfinished, forgotten: Forgotten
) -> Targets:
    """Look images up in both tables.

    Parameters
    ----------
    given : sequence of str
        Each a path as the tables have it, or else the name of a file or an ``s3://`` URL. One
        that is neither there nor known as forgotten may be meant either way, and both are taken.
    """
    meanings = {one: _meanings(one) for one in given}
    asked = {path for paths in meanings.values() for path in paths} | set(unfinished.paths)
    found = _rows(destination, asked)
    there = {path for _, path in found}
    paths, not_found = list(unfinished.paths), list(unfinished.not_found)
    for one, meant in meanings.items():
        known = [path for path in meant if path in there or path in forgotten]
        paths += known[:1] or meant
        if not known:
            not_found.append(one)
    chosen = set(paths)
    rows: Counter[str] = Counter()
    for (place, path), count in found.items():
        rows[place] += count if path in chosen else 0
    return Targets(tuple(dict.fromkeys(paths)), tuple(dict.fromkeys(not_found)), rows)


def tables_of(destination: Store) -> list[Table]:
    """The tables that are there."""
    both = (features_table(destination), reduced_table(destination))
    return [table for table in both if table.exists()]


def _meanings(given: str) -> list[str]:
    try:
        given.encode()
        as_it_is = [given]
    except UnicodeEncodeError:
        # bytes that are no text, from the command line; no table has a path like that
        as_it_is = []
    return list(dict.fromkeys([*as_it_is, address(given)]))


def _rows(destination: Store, paths: Collection[str]) -> Counter[tuple[str, str]]:
    """How many rows of each image are in which place."""
    found: Counter[tuple[str, str]] = Counter()
    for place, batch in _paths(destination):
        wanted = pc.is_in(batch, value_set=pa.array(list(paths), pa.string()))
        found.update((place, path) for path in batch.filter(wanted).to_pylist())
    return found


def _paths(destination: Store) -> Iterator[tuple[str, pa.Array]]:
    for table in tables_of(destination):
        for file in table.files():
            place = {"ok": "embedded"}.get(str(file.partition.get("status")), "rejected")
            place = REDUCED_FOLDER if table.folder == REDUCED_FOLDER else place
            for batch in table.read(file, ["path"]):
                yield place, batch["path"]
