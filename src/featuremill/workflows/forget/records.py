"""Removes the names of forgotten images from the records of runs.

A record counts images and names none on purpose; but an option of a run or the words of a storage
may.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from featuremill._utils import paths
from featuremill.dataset.ledger import RUNS, load_latest
from featuremill.dataset.model_files import is_of, read_description, table_versions
from featuremill.errors import DestinationError
from featuremill.storage import Store

INSTEAD = "(forgotten)"

_STATUS = ("embedded", "rejected")
"""Rows of the features table that a run counts."""

WARNING = (
    "Images have been forgotten since this run: its counts and its PCA still include them."
    " Run again."
)


def scrub(destination: Store, paths: Iterable[str]) -> list[str]:
    """Take images' names out of all records; returns those that were rewritten."""
    paths = list(paths)
    rewritten = []
    for name in list(destination.names(RUNS)):
        try:
            record = json.loads(destination.read(name))
            source = str(record["config"]["source"])
        except (ValueError, TypeError, KeyError) as error:
            raise DestinationError(
                f"{destination.url}/{name} is no record of a run: {error!r}",
                "Remove that file, then run the same command again.",
            ) from error
        pattern = re.compile("|".join(_forms(paths, source)) or r"(?!)")
        clean = _replaced(record, pattern)
        if clean != record:
            text = json.dumps(clean, indent=2, ensure_ascii=False)
            destination.write(name, text.encode())
            rewritten.append(name)
    return rewritten


def warn(destination: Store, forgotten: Mapping[str, Any]) -> None:
    """Note in the newest record how it differs from the tables from now on."""
    record = load_latest(destination)
    if record is None:
        return
    if WARNING not in record.warnings:
        record.warnings.append(WARNING)
    record.forgotten = {**forgotten, "versions": table_versions(destination)}
    record.save(destination)


def forgotten_before(destination: Store) -> dict[str, Any]:
    """The entry of the newest record about rows forgotten so far, without the versions."""
    record = load_latest(destination)
    before = (record and record.forgotten) or {}
    try:
        stands = is_of(destination, read_description(destination))
    except (FileNotFoundError, DestinationError):
        stands = False
    if before.get("pca") and before.get("versions") == table_versions(destination):
        stands = True
    return adding({**before, "pca": stands}, {})


def adding(before: Mapping[str, Any], rows: Mapping[str, int]) -> dict[str, Any]:
    """The same with more rows, counted by their status."""
    counts = {status: before.get(status, 0) + rows.get(status, 0) for status in _STATUS}
    return {"pca": bool(before.get("pca")), **counts}


def _forms(paths: Iterable[str], source: str) -> Iterator[str]:
    """Patterns of all the ways in which a record could write a path."""
    start = f"{source.rstrip('/')}/"
    for path in paths:
        whole = _words(path)
        below = [path.removeprefix(start), whole.removeprefix(_words(start))]
        keys = [name.split("/", 3)[3] for name in (path, whole) if re.match("s3://[^/]+/", name)]
        # a name that could be any word is not looked for without its folder
        parts = [part for part in (*below, *keys) if re.search("[./]", part)]
        for form in sorted({path, whole, *parts}, key=len, reverse=True):
            yield rf"(?<![\w/.-]){re.escape(form)}(?![\w/-])"


def _words(path: str) -> str:
    """A path as the words of an error may have it."""
    return paths.decode(path).decode("utf-8", "backslashreplace")


def _replaced(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(INSTEAD, value)
    if isinstance(value, list):
        return [_replaced(one, pattern) for one in value]
    if isinstance(value, dict):
        return {_replaced(key, pattern): _replaced(one, pattern) for key, one in value.items()}
    return value
