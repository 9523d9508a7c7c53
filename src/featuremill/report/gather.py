"""Gathers what a run left at its destination, and writes its report."""

from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final

from featuremill._utils import paths
from featuremill.dataset.ledger import (
    RunRecord,
    last_that_embedded,
    load_latest,
    open_recorded,
)
from featuremill.dataset.lock import confirm
from featuremill.dataset.model_files import read_description
from featuremill.dataset.reader import Dataset, count_rejections, rejected_rows
from featuremill.errors import DestinationError
from featuremill.images.thumbnails import Thumbnails
from featuremill.pca.components import PCA
from featuremill.pca.saved import load_model
from featuremill.report.data import (
    Measured,
    ModelFacts,
    PrecisionParity,
    Rejected,
    ReportData,
    ShownImage,
)
from featuremill.report.feature_summary import find
from featuremill.report.page import render
from featuremill.report.rows import read_rows
from featuremill.storage import Store

_SHOWN = 2
"""Last parts of an address that stand for all of it."""


class DisplayPaths:
    """The words of one report for paths and addresses.

    Attributes
    ----------
    source, destination : str
        In full.
    title : str
        The last two folders of the source.
    """

    def __init__(self, source: Store, destination: Store, record: RunRecord) -> None:
        self.source, self.destination = map(paths.of_place, (source.url, destination.url))
        self.title = _end(self.source.removeprefix("s3://").strip("/"))
        # messages have a percent sign as it is
        self._said = paths.plain(source.url), paths.plain(destination.url)
        self._relative = bool(record.config.get("relative_paths"))
        self._start = paths.prefix_of(source.url)

    def path(self, path: str) -> str:
        """A path, or what it is below the source; of an image of another source, its end."""
        if not self._relative:
            return path
        return path.removeprefix(self._start) if path.startswith(self._start) else _end(path)

    def text(self, text: str) -> str:
        """Words that may name the source or the destination."""
        text = paths.plain(text)
        if not self._relative:
            return text
        for url in (self.source, self.destination, *self._said):
            text = text.replace(f"{url}/", "").replace(url, _end(url))
        return text


def _end(address: str) -> str:
    return "/".join(address.split("/")[-_SHOWN:])


REPORT = "report.html"

MOST_POINTS = 100_000
"""Images in a report; of more, a seeded sample."""

LARGEST: Final = 24_500_000
"""Bytes of a report: the thumbnails take what the rest leaves of them."""

THUMBNAIL_SECONDS: Final = 6.0
"""After which no further image is read for a thumbnail."""

_PER_IMAGE, _MARGIN = 8, 4_000
"""Bytes that come with the sheets: which tile is whose, and where each sheet begins."""

_MOST_REJECTS = 200
_SAID = {"cpu": "processor", "memory_gib": "memory, GiB"}


def write_report(destination: Store, source: Store, record: RunRecord, pca: PCA | None) -> None:
    """Write ``report.html`` for a run."""
    page = _page(destination, source, record, pca).encode()
    confirm(destination)
    destination.write(REPORT, page)


def rewrite_report(
    destination: Store,
    *,
    relative_paths: bool = False,
    endpoint_url: str | None = None,
    region: str | None = None,
) -> str:
    """Write the report of the newest run anew; returns where it is.

    Parameters
    ----------
    relative_paths : bool
        Show paths as below the source, also where the run was not asked to.
    endpoint_url, region : str, optional
        Endpoint and region of S3, where the images lie there.

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
    if relative_paths:
        record = replace(record, config={**record.config, "relative_paths": True})
    source = open_recorded(
        paths.place(record.config["source"]), record.config, endpoint_url, region
    )
    write_report(destination, source, record, _fitted(destination, record))
    return f"{destination.url}/{REPORT}"


def _page(destination: Store, source: Store, record: RunRecord, pca: PCA | None) -> str:
    rows = read_rows(Dataset.now(destination, record.network), MOST_POINTS)
    thumbnails = Thumbnails(source, rows.images, THUMBNAIL_SECONDS)
    shown = DisplayPaths(source, destination, record)
    rows = replace(
        rows, images=[image._replace(path=shown.path(image.path)) for image in rows.images]
    )
    found, explorer = find(rows, pca)
    pictured = found.rows()
    images = thumbnails.singles(pictured)
    data = replace(
        _facts(destination, shown, record, pca),
        found=found,
        pictures={
            row: ShownImage(rows.images[row].path, rows.labels[row], images.get(row))
            for row in pictured
        },
        explorer=explorer,
        unreachable=shown.text(thumbnails.problem),
    )
    if explorer is None:
        return render(data)
    # base64 takes 4 bytes for 3
    left = LARGEST - len(render(data).encode()) - _PER_IMAGE * len(rows) - _MARGIN
    order = dict.fromkeys([*pictured, *rows.in_turns()])
    return render(replace(data, sheets=thumbnails.sheets(list(order), left * 3 // 4)))


def _facts(
    destination: Store, shown: DisplayPaths, record: RunRecord, pca: PCA | None
) -> ReportData:
    measured = last_that_embedded(destination, record)
    model_id = str(record.network["model_id"])
    rejected = islice(
        rejected_rows(destination, model_id, ("path", "stage", "reason")), _MOST_REJECTS
    )
    return ReportData(
        title=shown.title,
        source=shown.text(shown.source),
        dest=shown.text(shown.destination),
        run=record.run,
        started=f"{datetime.fromisoformat(record.started):%-d %B %Y, %H:%M %Z}",
        ledger=vars(record.ledger),
        measured=None if measured is record else Measured(measured.run, measured.ledger.embedded),
        timings=measured.seconds,
        images_per_second=measured.images_per_second,
        worker_hours=measured.worker_seconds / 3600,
        hardware=_machine(measured),
        versions=record.versions,
        warnings=[shown.text(warning) for warning in record.warnings],
        model=_model_facts(record, measured),
        features=int(record.network["n_features"]),
        skipped_by_reason=record.skipped,
        rejects_by_reason=count_rejections(destination, model_id),
        rejected=[
            Rejected(shown.path(str(path)), str(stage), shown.text(str(reason)))
            for path, stage, reason in rejected
        ],
        parity=_parity(measured),
        spectrum=None if pca is None else pca.spectrum_,
        k=0 if pca is None else pca.n_components_,
    )


def _machine(record: RunRecord) -> dict[str, str]:
    said = {_SAID.get(name, name): str(value) for name, value in record.hardware.items()}
    workers = record.workers.get("description")
    return {**said, "workers": str(workers)} if workers else said


def _fitted(destination: Store, record: RunRecord) -> PCA | None:
    """The PCA, if it is of the features that the newest run left: it may have been of others."""
    pca = load_model(destination)
    if pca is None:
        return None
    network = read_description(destination)["network"]
    return pca if network["model_id"] == record.network["model_id"] else None


def _model_facts(record: RunRecord, measured: RunRecord) -> ModelFacts:
    network = record.network
    used = ", ".join(precision for precision, _ in measured.precision.most_common())
    return ModelFacts(
        name=str(network["name"]),
        model_id=str(network["model_id"]),
        precision=used or "unchanged",
        trained=bool(network["trained"]),
        licence=str(network["licence"]),
        weights_sha256=str(network["weights_sha256"]),
    )


def _parity(record: RunRecord) -> PrecisionParity | None:
    if record.parity is None:
        return None
    return PrecisionParity(record.parity["smallest_cosine"], record.parity["compared"])
