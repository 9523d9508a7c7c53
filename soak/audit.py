"""What the tables hold, held against what they must hold."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from soak.world import BAD, World

_CLOSE = 1e-4
"""Largest difference between features of one picture from two runs."""


@dataclass(frozen=True)
class Row:
    """What a row of the features table is of; ``content`` is None where it is of no picture."""

    content: int | None
    version: str


Rows = Mapping[str, tuple[Row, ...]]
"""Path → its rows: one, if all is well."""


class Reference:
    """Features of each picture, as an undisturbed run made them."""

    def __init__(self, features: npt.NDArray[np.float32]) -> None:
        self._features = features  # (pictures, n_features)

    @classmethod
    def of(cls, destination: Path) -> "Reference":
        """Features of a table whose files are named by the pictures' numbers."""
        table = _table(destination / "features")
        numbers = [int(Path(path).stem) for path in table["path"].to_pylist()]
        return cls(_matrix(table)[np.argsort(numbers)])

    def contents(self, features: npt.NDArray[np.float32]) -> list[int | None]:
        """The picture that each row of features (n, n_features) is of."""
        mine = self._features
        squares = (mine**2).sum(axis=1) - 2 * features @ mine.T  # (n, pictures)
        nearest = squares.argmin(axis=1)
        differences = np.abs(features - mine[nearest]).max(axis=1)
        return [
            int(number) if difference < _CLOSE else None
            for number, difference in zip(nearest, differences, strict=True)
        ]


def rows_of(destination: Path, reference: Reference) -> Rows:
    """Rows of the features table; none where there is no table yet."""
    if not DeltaTable.is_deltatable(str(destination / "features")):
        return {}
    table = _table(destination / "features")
    good = table.filter(pc.is_null(table["stage"]))
    bad = table.filter(pc.is_valid(table["stage"]))
    rows: dict[str, tuple[Row, ...]] = {}
    for part, contents in ((good, reference.contents(_matrix(good))), (bad, [BAD] * len(bad))):
        names = (part["path"].to_pylist(), part["version"].to_pylist())
        for path, version, content in zip(*names, contents, strict=True):
            rows[path] = (*rows.get(path, ()), Row(content, version))
    return rows


def after_failure(before: Rows, now: Rows, world: World, *, pruning: bool) -> Iterator[str]:
    """What a run that did not finish may not have done: lose, double or spoil a row."""
    for path in before.keys() | now.keys():
        rows = now.get(path, ())
        current = _expected(world, path)
        if len(rows) > 1:
            yield f"{path} has {len(rows)} rows"
        elif not rows and (path in world.files or not pruning) and path not in world.forgotten:
            yield f"{path} was lost"
        elif rows and rows != before.get(path) and rows[0] != current:
            yield f"{path} became {rows[0]}, it was {before.get(path)} and the file is {current}"


def after_forget(before: Rows, now: Rows, world: World) -> Iterator[str]:
    """What is wrong after images were forgotten."""
    for path in sorted(before.keys() | now.keys()):
        expected = None if path in world.forgotten else before.get(path)
        if now.get(path) != expected:
            yield f"{path} is {now.get(path)} after a forget, must be {expected}"


def after_success(
    before: Rows, now: Rows, world: World, destination: Path, *, pruning: bool
) -> Iterator[str]:
    """What a finished run must have left: every file once, and all outputs of one kind."""
    expected = {path: (row,) for path in world.files if (row := _expected(world, path))}
    if not pruning:
        expected |= {path: rows for path, rows in before.items() if path not in world.files}
    for path in sorted(expected.keys() | now.keys()):
        if now.get(path) != expected.get(path):
            yield f"{path} is {now.get(path)}, must be {expected.get(path)}"
    yield from _ledger(before, world, destination)
    good = Counter(path for path, rows in now.items() for row in rows if row.content != BAD)
    if len(good) > 1:
        yield from _outputs(good, destination)
    yield from _leftovers(destination)


def _expected(world: World, path: str) -> Row | None:
    if path not in world.files or path in world.forgotten:
        return None
    return Row(world.files[path], world.version(path))


def _ledger(before: Rows, world: World, destination: Path) -> Iterator[str]:
    record = json.loads(max((destination / "runs").glob("*.json")).read_text())
    counts: dict[str, int] = record["ledger"]
    if record["status"] != "finished":
        yield f"the newest record is of a run that {record['status']}"
    if counts["listed"] != sum(counts.values()) - counts["listed"]:
        yield f"the ledger does not balance: {counts}"
    wanted: Counter[str] = Counter({"listed": len(world.files)})
    for path, content in world.files.items():
        row = _expected(world, path)
        known = before.get(path) == (row,)
        if row is None:
            wanted["skipped"] += 1
        elif content == BAD:
            wanted["already_rejected" if known else "rejected"] += 1
        else:
            wanted["already_done" if known else "embedded"] += 1
    for name in counts.keys() | wanted.keys():
        if counts.get(name, 0) != wanted[name]:
            yield f"the ledger counts {counts.get(name, 0)} {name}, not {wanted[name]}"


def _outputs(good: "Counter[str]", destination: Path) -> Iterator[str]:
    reduced: Counter[str] = Counter(_table(destination / "reduced")["path"].to_pylist())
    if reduced != good:
        yield f"the reduced table has {reduced.total()} rows, not {good.total()}, or other paths"
    lines = (destination / "csv" / "reduced.csv").read_text().splitlines()[1:]
    listed = Counter(line.split(",", 1)[0].strip('"') for line in lines)
    if listed != good:
        yield f"the CSV has {listed.total()} lines, not {good.total()}, or other paths"
    if not (destination / "report.html").exists():
        yield "there is no report"


def _leftovers(destination: Path) -> Iterator[str]:
    """Files of no use to anybody; what a row was replaced in stays, for older versions."""
    for folder, named in (("features", _ever_named), ("reduced", _named)):
        path = destination / folder
        there = {file for file in path.rglob("*.parquet") if "_delta_log" not in file.parts}
        if there:
            yield from (f"{file} belongs to no table" for file in sorted(there - named(path)))
    yield from (f"{file} was left" for file in destination.rglob(".*") if file.is_file())
    yield from (f"{file} was left" for file in destination.glob("run.lock*"))


def _named(folder: Path) -> set[Path]:
    return {Path(uri) for uri in DeltaTable(str(folder)).file_uris()}


def _ever_named(folder: Path) -> set[Path]:
    actions = (
        json.loads(line)
        for commit in (folder / "_delta_log").glob("*.json")
        for line in commit.read_text().splitlines()
    )
    # where the log was cut short, a file that it removes was added in what is gone
    named = (action.get("add") or action.get("remove") for action in actions)
    return {folder / unquote(each["path"]) for each in named if each} | _named(folder)


def _table(folder: Path) -> Any:
    """All rows of a table, of the files that its newest version names."""
    files = [pq.ParquetFile(uri) for uri in DeltaTable(str(folder)).file_uris()]
    return pa.concat_tables([file.read(use_threads=False) for file in files])


def _matrix(table: Any) -> npt.NDArray[np.float32]:
    """Features (n, n_features) of a table's rows."""
    if not len(table):
        return np.zeros((0, 1), np.float32)
    values = table["features"].combine_chunks().flatten().to_numpy()
    return np.asarray(values, np.float32).reshape(len(table), -1)
