"""From what a run left at its destination to its report."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from featuremill import images
from featuremill.errors import DestinationError, ImageRejected
from featuremill.ledger import RunRecord, kind_of, load_latest
from featuremill.matrix import rejected_rows
from featuremill.pca import PCA
from featuremill.reduce import load_model
from featuremill.report.data import ModelFacts, Parity, Point, Rejected, ReportData
from featuremill.report.page import render
from featuremill.schemas import OK
from featuremill.storage import Store, open_store
from featuremill.tables import features_table, reduced_table

REPORT = "report.html"

MOST_POINTS = 20_000
_MOST_REJECTS = 200
_MOST_THUMBNAILS = 600
_THUMBNAILS_PER_CLASS = 4


def write_report(destination: Store, source: Store, record: RunRecord, pca: PCA | None) -> None:
    """Write ``report.html`` for a run."""
    destination.write(REPORT, render(_gather(destination, source, record, pca)).encode())


def rewrite_report(destination: Store) -> str:
    """Write the report of the newest run anew; returns where it is.

    Raises
    ------
    DestinationError
        If there was no run.
    """
    record = load_latest(destination)
    if record is None:
        raise DestinationError(
            f"{destination.url} holds no run", "Name the destination of `featuremill run`."
        )
    source = open_store(
        record.config["source"],
        endpoint_url=record.config["endpoint_url"],
        region=record.config["region"],
    )
    write_report(destination, source, record, load_model(destination))
    return f"{destination.url}/{REPORT}"


def _gather(destination: Store, source: Store, record: RunRecord, pca: PCA | None) -> ReportData:
    model_id = str(record.network["model_id"])
    counts, examples = _classes(destination, model_id)
    reasons, rejected = _rejects(destination, model_id)
    return ReportData(
        title="featuremill",
        source=source.url,
        dest=destination.url,
        run=record.run,
        started=record.started,
        ledger=vars(record.ledger),
        timings=record.seconds,
        images_per_second=record.images_per_second,
        hardware={name: str(value) for name, value in record.hardware.items()},
        versions=record.versions,
        model=_model_facts(record),
        features=int(record.network["n_features"]),
        classes=counts,
        skipped_by_reason=record.skipped,
        rejects_by_reason=reasons,
        rejected=rejected,
        thumbnails=_thumbnails(source, examples),
        parity=_parity(record),
        spectrum=None if pca is None else pca.spectrum_,
        k=0 if pca is None else pca.n_components_,
        points=[] if pca is None else list(_points(destination)),
        points_total=0 if pca is None else sum(f.rows for f in reduced_table(destination).files()),
    )


def _classes(destination: Store, model_id: str) -> tuple[Counter[str], dict[str, list[str]]]:
    """Images of each class, and a few paths of each."""
    table = features_table(destination)
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for file in table.files(status=OK):
        for batch in table.read(file, ["path", "label", "model_id"]):
            for path, label, model in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                if model == model_id:
                    counts[label] += 1
                    if counts[label] <= _THUMBNAILS_PER_CLASS:
                        examples[label].append(path)
    return counts, examples


def _rejects(destination: Store, model_id: str) -> tuple[Counter[tuple[str, str]], list[Rejected]]:
    """How often each stage and reason stands in the table, and the first rows."""
    reasons: Counter[tuple[str, str]] = Counter()
    first: list[Rejected] = []
    for path, stage, reason in rejected_rows(destination, model_id, ("path", "stage", "reason")):
        reasons[str(stage), kind_of(str(reason))] += 1
        if len(first) < _MOST_REJECTS:
            first.append(Rejected(str(path), str(stage), str(reason)))
    return reasons, first


def _points(destination: Store) -> Iterator[Point]:
    """A seeded sample of the reduced rows, of about ``MOST_POINTS``."""
    table = reduced_table(destination)
    files = table.files()
    share = MOST_POINTS / max(1, sum(file.rows for file in files))
    random = np.random.default_rng(0)
    for file in files:
        for batch in table.read(file):
            scores = batch["features_pca"].flatten().to_numpy().reshape(batch.num_rows, -1)
            for row in np.flatnonzero(random.random(batch.num_rows) < share):
                path, label = batch["path"][row].as_py(), batch["label"][row].as_py()
                second = scores[row, 1] if scores.shape[1] > 1 else 0.0
                yield Point(path, label, float(scores[row, 0]), float(second))


def _thumbnails(
    source: Store, examples: Mapping[str, list[str]]
) -> dict[str, list[tuple[str, bytes]]]:
    """Small pictures of a few images of each class; fewer where there are many classes."""
    each = max(1, min(_THUMBNAILS_PER_CLASS, _MOST_THUMBNAILS // max(1, len(examples))))
    wanted = [
        (label, path)
        for label, paths in list(examples.items())[:_MOST_THUMBNAILS]
        for path in paths[:each]
    ]

    def thumbnail(of: tuple[str, str]) -> bytes | None:
        try:
            return images.thumbnail(source.fetch(of[1]).data)
        except (OSError, ImageRejected):
            # a report without one picture is better than none: the source may have moved
            return None

    found: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    with ThreadPoolExecutor(source.read_ahead) as pool:
        for (label, path), jpeg in zip(wanted, pool.map(thumbnail, wanted), strict=True):
            if jpeg is not None:
                found[label].append((path, jpeg))
    return found


def _model_facts(record: RunRecord) -> ModelFacts:
    network = record.network
    used = ", ".join(precision for precision, _ in record.precision.most_common())
    return ModelFacts(
        name=str(network["name"]),
        model_id=str(network["model_id"]),
        precision=used or "unchanged",
        trained=bool(network["trained"]),
        licence=str(network["licence"]),
        weights_sha256=str(network["weights_sha256"]),
    )


def _parity(record: RunRecord) -> Parity | None:
    if record.parity is None:
        return None
    return Parity(record.parity["smallest_cosine"], record.parity["compared"])
