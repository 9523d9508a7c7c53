"""Checks the record of the newest run: its status, its ledger, and its network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featuremill.dataset.exclusions import UNFINISHED
from featuremill.dataset.ledger import RUNS, RunRecord, load_latest
from featuremill.dataset.lock import LOCK
from featuremill.dataset.model_files import NETWORK
from featuremill.dataset.schemas import FEATURES_FOLDER
from featuremill.errors import DestinationError, LedgerError, SourceError
from featuremill.report.gather import REPORT
from featuremill.storage import Store
from featuremill.storage.destination import require_readable, sizes_at
from featuremill.workflows.check.findings import Findings

_DAMAGED = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a JSON file raises that is not what it was."""


@dataclass(frozen=True)
class Held:
    """The files, the record and the network of a destination.

    Attributes
    ----------
    sizes : dict
        Name → bytes of every file.
    record : RunRecord or None
        Record of the newest run, where it was finished.
    network : mapping or None
        Description of the network whose features these are.
    """

    store: Store
    sizes: Mapping[str, int]
    record: RunRecord | None
    network: Mapping[str, Any] | None

    def forgotten(self, status: str) -> int:
        """How many rows of a status were forgotten since that run."""
        since = (self.record and self.record.forgotten) or {}
        return int(since.get(status, 0))


def look_at(store: Store, findings: Findings) -> Held:
    """List a destination and judge its newest run.

    Raises
    ------
    DestinationError
        If nothing there looks like a result, or the tables cannot be read at such a place.
    """
    require_readable(store)
    sizes = _inventory(store)
    if not any(name.startswith((f"{RUNS}/", f"{FEATURES_FOLDER}/_delta_log/")) for name in sizes):
        raise DestinationError(
            f"{store.url} holds no result: neither a record of a run nor features",
            "Name the destination of `featuremill run`.",
        )
    held = sum(name in sizes for name in (LOCK, UNFINISHED))
    what = "marks of an unfinished run or forget; if none is running, run it again"
    findings.none_of("lock", held, what)
    record = _record(store, findings)
    network = _network(store, findings, record)
    findings.judge("report", REPORT in sizes, sizes.get(REPORT, 0), f"bytes of {REPORT}", "above 0")
    return Held(store, sizes, record, network)


def _inventory(store: Store) -> dict[str, int]:
    try:
        return sizes_at(store)
    except SourceError as error:
        raise DestinationError(
            error.problem.removeprefix("source "), "Name the destination of `featuremill run`."
        ) from error


def _record(store: Store, findings: Findings) -> RunRecord | None:
    try:
        record = load_latest(store)
    except DestinationError as error:
        note = f"is the newest record: {error.problem}"
        findings.judge("run", False, "damaged", note, "finished")
        findings.blocked("ledger", "run")
        return None
    if record is None:
        findings.judge("run", False, "missing", f"is any record below {RUNS}", "finished")
        findings.blocked("ledger", "run")
        return None
    if not findings.equal("run", record.status, "finished", f"was the newest run, {record.run}"):
        findings.blocked("ledger", "run")
        return None
    try:
        record.ledger.check()
        balances = True
    except LedgerError:
        balances = False
    parts = str(record.ledger).partition(" ")[2]
    findings.judge("ledger", balances, record.ledger.listed, parts, "the sum")
    return record


def _network(
    store: Store, findings: Findings, record: RunRecord | None
) -> Mapping[str, Any] | None:
    """Description of the network, where it is the one that the newest run used."""
    try:
        network = json.loads(store.read(NETWORK))
        model_id, _ = str(network["model_id"]), int(network["n_features"])
    except FileNotFoundError:
        findings.judge("network", False, NETWORK, "is missing", "there")
        return None
    except _DAMAGED as error:
        findings.judge("network", False, NETWORK, f"is damaged: {error!r}", "a description")
        return None
    if network.get("replacing"):
        note = "is replacing another model, which has not ended: run again"
        findings.judge("network", False, model_id, note, "the only model")
        return None
    of_run = dict(record.network) if record else {name: network[name] for name in network}
    wrong = [name for name in of_run if network.get(name) != of_run[name]]
    note = f"is the model of these features, {network.get('name')}"
    note += f"; not as the run had it: {', '.join(wrong)}" if wrong else ""
    expected = f"{of_run.get('model_id')}, as in the run's record"
    if not findings.judge("network", not wrong, model_id, note, expected):
        return None
    return dict(network)
