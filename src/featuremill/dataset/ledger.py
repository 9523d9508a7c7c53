"""Counts what became of every image of a run; the counts must balance.

``listed = already done + already rejected + embedded + rejected + skipped``
"""

import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from featuremill._utils import paths
from featuremill._utils.formatting import plural
from featuremill._utils.hardware import hardware, versions
from featuremill.errors import DestinationError, LedgerError
from featuremill.storage import Store, open_store
from featuremill.storage.listing import Rejection

RUNS = "runs"


@dataclass
class Ledger:
    """Counts of one run; every listed image is in exactly one of the others."""

    listed: int = 0
    already_done: int = 0
    already_rejected: int = 0
    embedded: int = 0
    rejected: int = 0
    skipped: int = 0

    def check(self) -> None:
        """Raise LedgerError if an image was lost or counted twice."""
        accounted = (
            self.already_done + self.already_rejected + self.embedded + self.rejected + self.skipped
        )
        if self.listed != accounted:
            raise LedgerError(
                f"the ledger does not balance: {self}",
                "This is a defect of featuremill: please report it with the run's JSON file.",
            )

    def judged(self) -> tuple[int, int]:
        """Rejected images and all images accounted for so far, of this and earlier runs."""
        rejected = self.rejected + self.already_rejected
        return rejected, self.embedded + self.already_done + rejected

    def summary(self) -> str:
        """What became of the images, for people; what did not occur is left out.

        >>> Ledger(listed=12, embedded=9, rejected=1, skipped=2).summary()
        '10 images: 9 embedded, 1 rejected; 2 other files skipped'
        """
        parts = [f"{self.embedded:,} embedded", f"{self.rejected:,} rejected"]
        if self.already_done:
            parts.append(f"{self.already_done:,} embedded earlier")
        if self.already_rejected:
            parts.append(f"{self.already_rejected:,} rejected earlier")
        skipped = f"; {plural(self.skipped, 'other file')} skipped" if self.skipped else ""
        return f"{plural(self.listed - self.skipped, 'image')}: {', '.join(parts)}{skipped}"

    def __str__(self) -> str:
        return (
            f"{self.listed:,} listed = {self.already_done:,} already done"
            f" + {self.already_rejected:,} already rejected + {self.embedded:,} embedded"
            f" + {self.rejected:,} rejected + {self.skipped:,} skipped"
        )


@dataclass
class RunRecord:
    """Everything a run leaves in ``runs/<id>.json``."""

    run: str
    config: Mapping[str, Any]
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    status: str = "running"
    ledger: Ledger = field(default_factory=Ledger)
    skipped: Mapping[str, int] = field(default_factory=dict)
    rejects: Counter[str] = field(default_factory=Counter)
    network: Mapping[str, Any] = field(default_factory=dict)
    precision: Counter[str] = field(default_factory=Counter)
    parity: Mapping[str, Any] | None = None
    chunks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    images_per_second: float | None = None
    workers: Mapping[str, Any] = field(default_factory=dict)
    """Who did the work: ``description``, ``slots``, and Spark's ``master`` or None; empty where
    there was none to do."""
    worker_cpu_seconds: float = 0.0
    worker_seconds: float = 0.0
    """Time that tasks took, all added up: what goes beyond their CPU time was spent waiting."""
    worker_deaths: int = 0
    """Attempts at tasks that failed, as by an image that crashed the worker."""
    pca: Mapping[str, Any] | None = None
    not_listed: int = 0
    """Rows of earlier runs whose image this run did not meet in its listing, and that stay."""
    pruned: int = 0
    """Rows that were dropped since their image is gone."""
    forgotten: Mapping[str, Any] | None = None
    """Rows ``embedded`` and ``rejected`` that were forgotten since, the ``versions`` of the tables
    that this left, and whether the ``pca`` was of the tables before."""
    drift: Mapping[str, Any] | None = None
    """How far the images are from those that the PCA was fitted to, where it was not fitted."""
    warnings: list[str] = field(default_factory=list)
    hardware: Mapping[str, Any] = field(default_factory=hardware)
    versions: Mapping[str, str] = field(default_factory=versions)

    @property
    def was_here(self) -> bool:
        """Whether the workers were on the machine of the driver."""
        # older records have only what was asked for
        master = self.workers.get("master") if self.workers else self.config.get("master")
        return master is None or str(master).startswith("local")

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a block to the time of a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + elapsed, 3)

    def count_rejections(self, rejections: list[Rejection]) -> None:
        """Count rejections by stage and reason."""
        self.rejects.update(f"{item.stage}: {kind_of(item.reason)}" for item in rejections)

    def save(self, destination: Store) -> None:
        """Write the record to the destination."""
        text = json.dumps(vars(self) | {"ledger": vars(self.ledger)}, indent=2, ensure_ascii=False)
        # a warning or a glob may hold a name that is not UTF-8
        destination.write(f"{RUNS}/{self.run}.json", paths.plain(text).encode())


def open_recorded(
    url: str, config: Mapping[str, Any], endpoint_url: str | None, region: str | None
) -> Store:
    """Store of a run's images, to be read again.

    Results may come from others, and requests are signed: they go only where whoever reads the
    results says, never where a record does.

    Parameters
    ----------
    config : mapping
        Options of the run.
    """
    from featuremill.storage.s3 import S3Store

    store = open_store(url, endpoint_url=endpoint_url, region=region)
    recorded = config.get("endpoint_url")
    if endpoint_url is None and recorded and isinstance(store, S3Store):
        return replace(store, unconfirmed=str(recorded))
    return store


def kind_of(reason: str) -> str:
    """A reason without the numbers and quoted bytes of the one image, so that kinds can be counted.

    >>> kind_of('120 x 100 = 12,000 pixels, limit 10,000')
    'N x N = N pixels, limit N'
    """
    # the bytes of an image may hold quotes themselves: from the first to the last
    return re.sub(r"\d[\d,.]*", "N", re.sub(r'".*"', '"…"', reason, flags=re.DOTALL))


def load_latest(destination: Store) -> RunRecord | None:
    """Record of the newest run, or None if there is none.

    Raises
    ------
    DestinationError
        If the newest file is no record.
    """
    found = [name for name in destination.names(RUNS) if name.endswith(".json")]
    if not found:
        return None
    newest = max(found)
    try:
        return _record(json.loads(destination.read(newest)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DestinationError(
            f"{destination.url}/{newest} is no record of a run: {error!r}",
            f"Remove that file from {RUNS}, then try again; if it was the only one, run again"
            " with the same SRC and DEST.",
        ) from error


def last_that_embedded(destination: Store, newest: RunRecord) -> RunRecord:
    """Record whose speed, times, precision and hardware are those of the features.

    A run that finds everything done measures nothing, and one that broke off tells no speed: then
    it is an earlier run of the same model.

    Parameters
    ----------
    destination : Store
    newest : RunRecord
        Record of the newest run; also the answer where no run tells more.
    """
    if _measured(newest):
        return newest
    found = (name for name in destination.names(RUNS) if name.endswith(".json"))
    for name in sorted(found, reverse=True):
        # a file that is no record, as another version may leave one, measured nothing either
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            record = _record(json.loads(destination.read(name)))
            same = record.network.get("model_id") == newest.network.get("model_id")
            if same and record.run <= newest.run and _measured(record):
                return record
    return newest


def _measured(record: RunRecord) -> bool:
    return record.ledger.embedded > 0 and record.images_per_second is not None


def _record(fields: dict[str, Any]) -> RunRecord:
    for name in ("rejects", "precision"):
        fields[name] = Counter(fields[name])
    config = dict(fields["config"])
    return RunRecord(**{**fields, "config": config, "ledger": Ledger(**fields["ledger"])})


def new_run_id() -> str:
    """Id that sorts by time of start, to the millisecond."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"
