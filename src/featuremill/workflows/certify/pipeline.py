"""Makes all comparisons of a network with its own file, and writes the certificate."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from featuremill._utils.extras import require
from featuremill._utils.hardware import hardware, versions
from featuremill._utils.progress import Progress
from featuremill.config.option import at_least
from featuremill.errors import (
    DestinationError,
    ImageRejected,
    MissingExtraError,
    ModelError,
    PrecisionError,
    SourceError,
)
from featuremill.images.decode import Limits
from featuremill.images.raw_pixels import Pixels
from featuremill.images.sandbox import InChild
from featuremill.models import onnx_file, registry
from featuremill.models.certificate import JSON, PAGE
from featuremill.models.download import download_progress
from featuremill.models.engines import ENGINES, Engine, open_engine, smallest_cosine
from featuremill.models.network import Network
from featuremill.models.reference import DECODER, Reference
from featuremill.report.certificate import render
from featuremill.search.neighbors import unit_rows
from featuremill.storage import member_places, open_store
from featuremill.storage.listing import Listing, Selection
from featuremill.storage.listing import Reference as Listed
from featuremill.workflows.certify import near, other_features
from featuremill.workflows.certify.culprit import BOUND, find
from featuremill.workflows.check.findings import FAILED, Findings
from featuremill.workflows.run.task import Raw, fetch

Features = npt.NDArray[np.float32]

_TEXT = f"at least {BOUND}"
_THREADED = 16
"""Images that are computed again with two threads."""
_EXAMINED = 32
"""Images in which a culprit is looked for."""
_AGREEING = 0.99


@dataclass(frozen=True)
class CertifyConfig:
    """What is certified, and on which images.

    Parameters
    ----------
    model : str
        An ONNX file, or a folder with one.
    images : str
        Where images lie: a folder or an S3 prefix.
    against : str, optional
        Features of another program: see :func:`featuremill.workflows.certify.other_features.read`.
    out : str, optional
        Folder for the certificate; that of the network if left out.
    count : int
        How many images are compared, at most, at least 2; the first ones.
    output, pool : str, optional
        As for a run.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Raises
    ------
    ConfigError
        If a value is out of its bounds.
    """

    model: str
    images: str
    against: str | None = None
    out: str | None = None
    count: int = 200
    output: str | None = None
    pool: str | None = None
    endpoint_url: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        at_least(2, "Give a number of images, such as 200.").check("--count", self.count)


class _Seen(NamedTuple):
    """Images that both decoders gave; row i of all is image i."""

    listed: list[Listed]
    pixels: Pixels  # (n, height, width, 3), by the run's own way
    smaller: Pixels  # likewise, of JPEGs decoded smaller where that is allowed
    right: Features  # (n, n_features), by the reference
    copies: list[Pixels]  # of each kind (n, height, width, 3)
    left_out: int


def certify(config: CertifyConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """Compare a network with its own file in ONNX Runtime, and write a certificate.

    Returns
    -------
    dict
        What was written as ``certificate.json``: the ``network``, the ``checks``, whether it is
        ``certified``, sentences on every ``culprit``, and ``near``.

    Raises
    ------
    InputError
        If the network, the images or the other features cannot be used, or nothing can be written.
    """
    progress = progress or Progress()
    if not registry.is_path(config.model):
        raise ModelError(
            f"Model {config.model} is no file: only somebody else's network is certified.",
            "Give an ONNX file, or a folder with one.",
        )
    require("onnxruntime", "models certify")
    place = registry.place_of(config.model, download_progress(progress))
    folder = Path(config.out or onnx_file.find(place).folder).expanduser()
    if not folder.is_dir():
        raise DestinationError(f"{folder} is no folder", "Name an existing folder with -o.")
    theirs = None if config.against is None else other_features.read(config.against)
    progress.doing(f"loading {config.model}")
    network = registry.load(config.model, output=config.output, pool=config.pool)
    source = open_store(config.images, endpoint_url=config.endpoint_url, region=config.region)
    with contextlib.closing(Listing(source, Selection())) as listing:
        images = (item for item in listing if isinstance(item, Listed))
        listed = list(images if theirs is not None else islice(images, config.count))
    matched = None
    if theirs is not None:
        matched = other_features.places([item.path for item in listed], theirs[0])
        listed = [listed[place] for place in matched]
    reference = Reference(network)
    seen = _look(network, reference, listed[: config.count], source, progress)
    made = _Certificate(network, reference, seen, source)
    made.compare_ours(progress)
    if theirs is not None and matched is not None:
        rows = {listed[at].path: row for at, row in enumerate(matched.values())}
        features = theirs[1][[rows[item.path] for item in seen.listed]]
        made.compare_theirs(features, config.against or "")
    return _write(folder, {**made.description(), "images": config.images})


def _look(
    network: Network,
    reference: Reference,
    listed: Sequence[Listed],
    source: Any,
    progress: Progress,
) -> _Seen:
    prepare, limits = network.preprocessing.apply, Limits()
    kept, rows, left_out = [], [], 0
    copied: list[list[Pixels]] = []
    with (
        InChild(limits) as ours,
        InChild(limits, target=network.preprocessing.target) as scaled,
        InChild(limits, decoder=DECODER) as by_pillow,
    ):
        for number, item in enumerate(fetch(listed, source, limits)):
            progress.advance(number, len(listed))
            try:
                if not isinstance(item, Raw):
                    raise ImageRejected("fetch", item.reason)
                rgb = by_pillow.decode(item.data).pixels
                row = (
                    prepare(ours.decode(item.data).pixels),
                    prepare(scaled.decode(item.data).pixels),
                    reference.features(rgb),
                )
            except ImageRejected:
                left_out += 1
                continue
            kept.append(item.reference)
            rows.append(row)
            copied.append([prepare(copy) for copy in near.copies(rgb)])
    if len(kept) < 2:
        raise SourceError(
            f"{source.url} holds {len(kept)} images that can be compared, it must hold at least 2",
            "Name a folder of images.",
        )
    pixels, smaller, right = map(np.stack, zip(*rows, strict=True))
    kinds = [np.stack(kind) for kind in zip(*copied, strict=True)]
    return _Seen(kept, pixels, smaller, right, kinds, left_out)


class _Certificate:
    """Collects what was compared."""

    def __init__(self, network: Network, reference: Reference, seen: _Seen, source: Any) -> None:
        self._network, self._reference, self._seen, self._source = network, reference, seen, source
        self._findings = Findings()
        self._near: near.Near | None = None
        self._culprits: dict[str, str] = {}

    def compare_ours(self, progress: Progress) -> None:
        """Everything that this program computes, against the reference and against itself."""
        seen, engine = self._seen, open_engine(self._network, "fp32")
        progress.doing("computing the features in several ways")
        features = engine.embed(seen.pixels)
        note = f"smallest cosine to ONNX Runtime and Pillow, {len(features)} images"
        if not self._close("reference", features, seen.right, note):
            self._trace("The features of featuremill", features)
        alone = np.concatenate([engine.embed(each[np.newaxis]) for each in seen.pixels])
        self._close("batch", alone, features, "smallest cosine of images alone to those in batches")
        rolled = np.roll(engine.embed(np.roll(seen.pixels, 3, axis=0)), -3, axis=0)
        self._close("position", rolled, features, "smallest cosine at another place of the batch")
        self._compare_threads()
        self._compare_engines(engine, features)
        lost = smallest_cosine(engine.embed(seen.smaller), features)
        changed = int((seen.smaller != seen.pixels).any(axis=(1, 2, 3)).sum())
        self._findings.judge(
            "smaller-jpegs",
            passed=True,
            value=lost,
            note=f"smallest cosine if JPEGs were decoded smaller, as {changed} would be",
            bound="any: every pixel is decoded",
        )
        share = _same_neighbour(features, seen.right)
        note = "share of images with the nearest neighbour that the reference gives"
        self._findings.judge("neighbours", share >= _AGREEING, share, note, f"at least {_AGREEING}")
        if len(features) >= near.LEAST:
            self._near = near.measure(features, [engine.embed(kind) for kind in seen.copies])

    def compare_theirs(self, theirs: Features, place: str) -> None:
        """Features of another program, against the reference."""
        note = f"smallest cosine of {place} to ONNX Runtime and Pillow, {len(theirs)} images"
        if theirs.shape[1] != self._seen.right.shape[1]:
            wanted = str(self._seen.right.shape[1])
            note = f"numbers for an image in {place}"
            self._findings.judge(
                "against", passed=False, value=theirs.shape[1], note=note, bound=wanted
            )
        elif self._close("against", theirs, self._seen.right, note):
            return
        self._trace("The other features", theirs)

    def description(self) -> dict[str, Any]:
        """All of it, as plain values."""
        checks = list(self._findings)
        return {
            "certified": all(check.status != FAILED for check in checks),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "network": self._network.description("fp32"),
            "compared": len(self._seen.listed),
            "left_out": self._seen.left_out,
            "checks": [asdict(check) for check in checks],
            "culprits": [f"{who} {said}." for who, said in self._culprits.items()],
            "near": None if self._near is None else self._near._asdict(),
            "versions": versions(),
            "hardware": hardware(),
        }

    def _close(self, name: str, features: Features, expected: Features, note: str) -> bool:
        cosine = smallest_cosine(features, expected)
        return self._findings.judge(name, cosine >= BOUND, cosine, note, _TEXT)

    def _trace(self, who: str, features: Features) -> None:
        """Look for what was done otherwise, in the images that differ most and some others."""
        right = self._seen.right
        order = np.arange(len(right))
        if features.shape == right.shape:
            cosines = [smallest_cosine(features[[row]], right[[row]]) for row in range(len(right))]
            worst = np.argsort(cosines, kind="stable")
            spread = worst[np.linspace(0, len(worst) - 1, _EXAMINED // 2).astype(np.int64)]
            order = np.array(list(dict.fromkeys([*worst[: _EXAMINED // 2], *spread])))
        order = order[:_EXAMINED]
        chosen = [self._seen.listed[row] for row in order]
        data = [member_places.fetch(self._source, each.path, each.version).data for each in chosen]
        self._culprits[who] = str(find(self._reference, data, features[order], right[order]))

    def _compare_threads(self) -> None:
        threaded, preprocessing = Reference(self._network, 2), self._network.preprocessing
        some = self._seen.pixels[:_THREADED]
        one, two = (
            np.stack([each.features_of(image, preprocessing) for image in some])
            for each in (self._reference, threaded)
        )
        self._close("threads", two, one, "smallest cosine of two threads to one, ONNX Runtime")

    def _compare_engines(self, engine: Engine, features: Features) -> None:
        other = next(name for name in ENGINES if name != engine.name)
        try:
            found = open_engine(self._network, "fp32", other).embed(self._seen.pixels)
        except (PrecisionError, MissingExtraError):
            self._findings.skip("engine", f"{other} is not installed")
            return
        self._close("engine", found, features, f"smallest cosine of {other} to {engine.name}")


def _same_neighbour(features: Features, right: Features) -> float:
    """Share of rows whose nearest other row is also the nearest of the reference's, or as near."""
    nearest = _cosines(features).argmax(axis=1)
    expected, rows = _cosines(right), np.arange(len(right))
    return float(np.mean(expected[rows, nearest] >= expected.max(axis=1) - 1e-4))


def _cosines(rows: Features) -> Features:
    unit = unit_rows(rows)
    cosines: Features = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    return cosines


def _write(folder: Path, made: dict[str, Any]) -> dict[str, Any]:
    content: Mapping[str, str] = {
        JSON: json.dumps(made, indent=2, ensure_ascii=False) + "\n",
        PAGE: render(made),
    }
    for name, text in content.items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise DestinationError(
                f"cannot write {folder / name}: {error.strerror}",
                "Name another folder with -o.",
            ) from error
    return {**made, "files": [str(folder / name) for name in content]}
