"""Finds the images that are to be forgotten, and their rows."""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featuremill._utils import paths as names
from featuremill.dataset.exclusions import UNFINISHED, Forgotten
from featuremill.dataset.schemas import REDUCED_FOLDER, read_parquet
from featuremill.dataset.tables import existing_tables
from featuremill.errors import DestinationError
from featuremill.search.locate import address
from featuremill.storage import Store


@dataclass(frozen=True)
class Unfinished:
    """The note at a destination while a forget is under way, or after one was interrupted."""

    paths: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()
    since: Mapping[str, Any] = field(default_factory=dict)
    """What the newest record is to say of all that was forgotten since that run."""

    def to_bytes(self) -> bytes:
        """JSON form."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Targets:
    """The images that are to be forgotten.

    Attributes
    ----------
    paths : tuple of str
        As the tables have them.
    not_found : tuple of str
        As they were given: those of which no file of the tables has a row, and that were not
        forgotten before.
    rows : mapping of str to int
        Rows of ``embedded`` and ``rejected`` images in the features table, and of ``reduced``.
    pending : bool
        An interrupted forget is to be finished.
    outdated : bool
        Older versions of the tables have rows of images that the newest have none of.
    meant : mapping of str to str
        What was given and is no path of the tables → path of an image that ends like it.
    further : mapping of str to int
        Those of the rows whose images an interrupted forget did not have.
    """

    paths: tuple[str, ...]
    not_found: tuple[str, ...]
    rows: Mapping[str, int]
    pending: bool = False
    outdated: bool = False
    meant: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, int] = field(default_factory=dict)

    @property
    def anything(self) -> bool:
        """Whether there is anything to be erased."""
        return self.pending or self.outdated or any(self.rows.values())


def read_unfinished(destination: Store) -> Unfinished | None:
    """Read what an interrupted forget was to do, or None if there is none."""
    try:
        found = json.loads(destination.read(UNFINISHED))
        return Unfinished(
            tuple(found["paths"]), tuple(found["not_found"]), dict(found.get("since", {}))
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise DestinationError(
            f"{destination.url}/{UNFINISHED} cannot be understood: {error!r}",
            "Remove that file and forget the same images again.",
        ) from error


def find_targets(
    destination: Store, given: Sequence[str], unfinished: Unfinished | None, forgotten: Forgotten
) -> Targets:
    """Look images up in both tables.

    Parameters
    ----------
    given : sequence of str
        Each a path as the tables have it, or else the name of a file or an ``s3://`` URL, or the
        end of one path of the tables, in whole names. One that no file of the tables has and that
        was not forgotten before is most likely misspelt: it is no target.
    unfinished : Unfinished or None
        What an interrupted forget was to do: its images are targets too.
    """
    begun = unfinished or Unfinished()
    meanings = {one: _meanings(one) for one in given}
    asked = {path for paths in meanings.values() for path in paths} | set(begun.paths)
    found = _rows(destination, asked)
    there = {path for _, path in found}
    unknown = {path for path in asked - there if path not in forgotten}
    # an image that a run has pruned is in older versions alone
    older = _older_rows(destination, unknown) if unknown else set()
    paths, not_found = list(begun.paths), list(begun.not_found)
    for one, meant in meanings.items():
        known = [path for path in meant if path not in unknown or path in older]
        paths += known[:1]
        if not known:
            not_found.append(one)
    ending = _ending(destination, not_found)
    whole = {one: path for one, [path, *others] in ending.items() if not others and _is_end(one)}
    if whole:
        full = [whole.get(one, one) for one in given]
        targets = find_targets(destination, full, unfinished, forgotten)
        return replace(targets, meant={**targets.meant, **whole})
    chosen = set(paths)
    rows: Counter[str] = Counter()
    further: Counter[str] = Counter()
    fresh = chosen.difference(begun.paths)
    for (place, path), count in found.items():
        rows[place] += count if path in chosen else 0
        further[place] += count if path in fresh else 0
    return Targets(
        tuple(dict.fromkeys(paths)),
        tuple(dict.fromkeys(not_found)),
        rows,
        unfinished is not None,
        not older.isdisjoint(chosen),
        {one: fitting[0] for one, fitting in ending.items()},
        further,
    )


def _meanings(given: str) -> list[str]:
    try:
        given.encode()
        as_it_is = [given]
    except UnicodeEncodeError:
        # bytes that are no text, from the command line; no table has a path like that
        as_it_is = []
    return list(dict.fromkeys([*as_it_is, address(given)]))


def _rows(destination: Store, paths: Collection[str]) -> Counter[tuple[str, str]]:
    """Count the rows of each image in each place."""
    found: Counter[tuple[str, str]] = Counter()
    for place, batch in _paths(destination):
        wanted = pc.is_in(batch, value_set=pa.array(list(paths), pa.string()))
        found.update((place, path) for path in batch.filter(wanted).to_pylist())
    return found


def _older_rows(destination: Store, paths: Collection[str]) -> set[str]:
    """Images with a row in a file that the newest versions do not name."""
    wanted, found = pa.array(list(paths), pa.string()), set()
    for table in existing_tables(destination):
        newest = {f"{table.folder}/{file.name}" for file in table.files()}
        for name in destination.names(table.folder):
            if not name.endswith(".parquet") or "/_delta_log/" in name or name in newest:
                continue
            # what a run has written in part, or has just removed, tells nothing
            with suppress(pa.ArrowException, FileNotFoundError, KeyError):
                for batch in read_parquet(destination, name, ["path"]):
                    some = batch["path"]
                    found.update(some.filter(pc.is_in(some, value_set=wanted)).to_pylist())
    return found


def _is_end(given: str) -> bool:
    """Whether something may be the end of a path: it names no file or object of its own."""
    return "://" not in given and not Path(given).exists()


def _ending(destination: Store, given: Sequence[str]) -> dict[str, list[str]]:
    """Find, for what is no image, the images whose paths end like it; two at most."""
    ends: dict[str, str] = {}
    for one in given:
        end = one.removeprefix("./").strip("/")
        for spelt in (end, names.encode(os.fsencode(end))) if end else ():
            ends.setdefault(f"/{spelt}", one)
    found: dict[str, list[str]] = {}
    if not ends:
        return found
    depths = {end.count("/") for end in ends}
    for _, batch in _paths(destination):
        for path in batch.to_pylist():
            parts = path.split("/")
            for depth in depths:
                end = "/" + "/".join(parts[-depth:])
                if end not in ends:
                    continue
                fitting = found.setdefault(ends[end], [])
                # a second one tells that the end fits several
                if len(fitting) < 2 and path not in fitting:
                    fitting.append(path)
    return found


def _paths(destination: Store) -> Iterator[tuple[str, pa.Array]]:
    for table in existing_tables(destination):
        for file in table.files():
            place = {"ok": "embedded"}.get(str(file.partition.get("status")), "rejected")
            place = REDUCED_FOLDER if table.folder == REDUCED_FOLDER else place
            for batch in table.read(file, ["path"]):
                yield place, batch["path"]
