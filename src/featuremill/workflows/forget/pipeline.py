"""Forgets images step by step, so that an interrupted forget can be finished.

First the paths are noted at the destination; from then on runs refuse it. Each step can be taken
again, and the last one removes the note.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from featuremill._utils.progress import Progress
from featuremill.dataset import csv_files
from featuremill.dataset.exclusions import FORGOTTEN, UNFINISHED, read_forgotten
from featuremill.dataset.half_written import remove_half_written
from featuremill.dataset.ledger import RUNS, new_run_id
from featuremill.dataset.lock import hold
from featuremill.dataset.model_files import NETWORK
from featuremill.dataset.schemas import FEATURES_FOLDER, REDUCED_FOLDER
from featuremill.dataset.tables import (
    Table,
    drop_paths,
    existing_tables,
    features_table,
    reduced_table,
    without_rows,
)
from featuremill.errors import ConfigError, DestinationError, FeaturemillError, StorageError
from featuremill.report.gather import REPORT, rewrite_report
from featuremill.storage import Store, open_store
from featuremill.workflows.forget.history import expunge
from featuremill.workflows.forget.records import adding, forgotten_before, scrub, warn
from featuremill.workflows.forget.targets import (
    Targets,
    Unfinished,
    find_targets,
    read_unfinished,
)

OUTPUTS = (csv_files.MATRIX, csv_files.REJECTS, REPORT)
"""What is written anew, without the images."""

_PURGED = (f"{FEATURES_FOLDER}/", f"{REDUCED_FOLDER}/", f"{RUNS}/", *OUTPUTS)
_PERMISSIONS = "s3:GetBucketVersioning, s3:ListBucketVersions and s3:DeleteObjectVersion"


@dataclass(frozen=True)
class Erased:
    """The result of a forget: what it removed, or would remove.

    Attributes
    ----------
    destination : str
    paths : tuple of str
        The images, as the tables had them.
    not_found : tuple of str
        Those that no table had and that were not forgotten before, as they were given: nothing
        is kept of them.
    rows : mapping of str to int
        Rows of ``embedded`` and ``rejected`` images in the features table, and of ``reduced``.
    rewritten : tuple of str
        Files written anew without the images.
    older_files, log_files : int
        Files of older versions of the tables, and of their logs.
    versions : int or None
        Earlier versions of objects; None where the storage keeps none.
    pending : bool
        Also an interrupted forget was finished, or would be.
    meant : mapping of str to str
        What was not found → path of an image that ends like it.
    anything : bool
        There was something to be erased. If not, nothing was changed.
    dry_run : bool
        Nothing was removed.
    """

    destination: str
    paths: tuple[str, ...]
    not_found: tuple[str, ...]
    rows: Mapping[str, int]
    rewritten: tuple[str, ...] = ()
    older_files: int = 0
    log_files: int = 0
    versions: int | None = None
    pending: bool = False
    meant: Mapping[str, str] = field(default_factory=dict)
    anything: bool = True
    dry_run: bool = field(default=False, kw_only=True)


def forget(
    destination: str | os.PathLike[str],
    paths: Sequence[str] = (),
    *,
    dry_run: bool = False,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Erased:
    """Erase images from everything that runs left at a destination, for good.

    Their rows go from every table and its older versions, from the CSV files, the report and the
    records of runs; where a bucket keeps versions of objects, from those too. A salted hash of
    each path stays, so that no later run embeds the image again. Where none of the images is
    there, nothing is changed, and of one that is not, nothing is kept. The images themselves, and
    copies of results elsewhere, are not touched. The fitted PCA holds sums over all images; the
    next run fits it anew.

    Parameters
    ----------
    destination : str or path
        Destination of an earlier run.
    paths : sequence of str
        Each as the tables have it, or a file, or an ``s3://`` URL. None are needed to finish a
        forget that was interrupted.
    dry_run : bool
        Only tell what would be removed.

    Raises
    ------
    ConfigError
        If no path is given and no forget was interrupted.
    DestinationError
        If there is no result, a run holds it, or its earlier versions could not be listed.
    RunError
        If it could not be finished; the same call finishes it.
    """
    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    _refuse(store, paths)
    targets = _targets(store, paths)
    if dry_run or not targets.anything:
        there = tuple(name for name in OUTPUTS if store.size(name) is not None)
        rewritten = there if targets.anything else ()
        return replace(_erased(store, targets), rewritten=rewritten, dry_run=dry_run)
    progress, run = progress or Progress(), new_run_id()
    versioned = _keeps_versions(store)
    with hold(store, run, progress.say) as dead_run:
        if dead_run is not None:
            features_table(store).fence(run)
        remake = partial(rewrite_report, store, endpoint_url=endpoint_url, region=region)
        return _forget(store, run, _targets(store, paths), versioned, progress, remake)


def _forget(
    store: Store,
    run: str,
    targets: Targets,
    versioned: bool,
    progress: Progress,
    remake: Callable[[], object],
) -> Erased:
    unfinished = read_unfinished(store)
    # how many rows an interrupted forget has dropped is known from its note alone
    before = forgotten_before(store) if unfinished is None else unfinished.since
    since = adding(before, targets.further)
    store.write(UNFINISHED, Unfinished(targets.paths, targets.not_found, since).to_bytes())
    # before the rows go: a run that comes after an interrupted forget must not bring them back
    store.write(FORGOTTEN, read_forgotten(store).adding(targets.paths).to_bytes())
    remove_half_written(store)
    rewritten = scrub(store, targets.paths)
    older = logs = 0
    for table in existing_tables(store):
        _drop_rows(table, run, targets.paths)
        progress.say(f"{table.folder}: the rows are gone; removing older versions")
        files, entries = expunge(table)
        older, logs = older + files, logs + entries
    warn(store, since)
    rewritten += _rewrite_outputs(store, progress, remake)
    versions = sum(map(store.purge, _PURGED)) if versioned else None
    _remove_note(store, versioned)
    return replace(
        _erased(store, targets),
        rewritten=tuple(rewritten),
        older_files=older,
        log_files=logs,
        versions=versions,
    )


def _erased(store: Store, targets: Targets) -> Erased:
    return Erased(
        store.url,
        targets.paths,
        targets.not_found,
        targets.rows,
        pending=targets.pending,
        meant=targets.meant,
        anything=targets.anything,
    )


def _remove_note(store: Store, versioned: bool) -> None:
    if versioned:
        # while the note is there the forget is unfinished: its own earlier versions go before it
        store.write(UNFINISHED, Unfinished().to_bytes())
        store.purge(UNFINISHED)
    store.remove(UNFINISHED)
    if versioned:
        store.purge(UNFINISHED)


def _refuse(store: Store, paths: Sequence[str]) -> None:
    unfinished = store.size(UNFINISHED) is not None
    if not unfinished and not features_table(store).exists():
        raise DestinationError(
            f"{store.url} holds no features", "Name the destination of `featuremill run`."
        )
    if not unfinished and not paths:
        raise ConfigError(
            "no image was named, and no forget was interrupted here",
            "Name images, or a file that lists them.",
        )


def _targets(store: Store, paths: Sequence[str]) -> Targets:
    return find_targets(store, paths, read_unfinished(store), read_forgotten(store))


def _keeps_versions(store: Store) -> bool:
    try:
        return store.keeps_versions()
    except StorageError as error:
        raise DestinationError(
            f"whether {store.url} keeps earlier versions cannot be seen: {error.problem}",
            f"Forget with credentials that may do {_PERMISSIONS}.",
        ) from error


def _drop_rows(table: Table, run: str, paths: Sequence[str]) -> None:
    rows = partial(without_rows, table, f"{run}-kept", drop_paths(paths))
    table.commit(run, 0, [], removed=rows)


def _rewrite_outputs(store: Store, progress: Progress, remake: Callable[[], object]) -> list[str]:
    """Write every output that is there anew; one that cannot be is removed."""
    makers: Mapping[str, Callable[[], object]] = {
        csv_files.MATRIX: lambda: csv_files.write_matrix(store, _components(store)),
        csv_files.REJECTS: lambda: csv_files.write_rejects(store, _model_id(store)),
        REPORT: remake,
    }
    rewritten = []
    for name, write in makers.items():
        if store.size(name) is None:
            continue
        try:
            write()
        except (FeaturemillError, OSError, ValueError, TypeError, KeyError) as error:
            store.remove(name)
            progress.warn(f"{name} could not be written anew and was removed: {error}")
        rewritten.append(name)
    return rewritten


def _components(store: Store) -> int:
    """Scores of a row; of a table without rows, as many as the CSV had."""
    table = reduced_table(store)
    for file in table.files():
        for batch in table.read(file, ["features_pca"]):
            return len(batch["features_pca"][0])
    with store.open(csv_files.MATRIX) as lines:
        return lines.readline().count(b"pc_")


def _model_id(store: Store) -> str:
    return str(json.loads(store.read(NETWORK))["model_id"])
