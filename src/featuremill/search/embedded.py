"""Loads the images of a destination, with the rows that are compared."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc

from featuremill._utils.formatting import plural
from featuremill._utils.progress import Progress
from featuremill.config.option import at_least
from featuremill.dataset.exclusions import require_finished
from featuremill.dataset.ledger import RunRecord, load_latest, open_recorded
from featuremill.dataset.reader import Dataset, Matrix, open_dataset, placed
from featuremill.dataset.tables import reduced_table
from featuremill.errors import ConfigError, DestinationError, StorageError
from featuremill.pca.saved import load_fitted
from featuremill.search.neighbors import unit_rows
from featuremill.storage import Store, open_store

FEATURES, REDUCED = "features", "reduced"
"""What images are compared by: the network's features, or their PCA scores."""

_IMAGE: Final = ["path", "label", "version", "bytes", "width", "height"]
_BUCKET: Final = re.compile(r"s3://[^/]+")
_REMEDY: Final = "Name the destination of `featuremill run`."

_MEMORY_SHARE: Final = 0.5
"""Share of the free memory that rows may take: where they need more, a file is mapped."""


COUNT: Final = at_least(1, "Ask for one image or more.")
"""Bound of how many images are asked for."""

DIGITS: Final = 6
"""Digits of a cosine that is shown or written: as many as float32 features hold."""


class Image(NamedTuple):
    """An image as the features table knows it."""

    path: str
    label: str
    version: str
    bytes: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Embedded:
    """Images of one model at a destination; give it to several searches to load it once.

    Attributes
    ----------
    destination : Store
    on : str
        :data:`FEATURES` or :data:`REDUCED`.
    network : mapping
        Which network the features are of, as the destination's ``model/network.json`` says.
    images : pyarrow.Table
        ``path``, ``label``, ``version``, ``bytes``, ``width`` and ``height`` of n images, by path.
    vectors : ndarray of shape (n, d), float32
        Their unit rows.
    record : RunRecord or None
        Record of the newest run; None where it is missing or damaged.
    endpoint_url, region : str, optional
        Endpoint and region of S3, where the images lie there.
    """

    destination: Store
    on: str
    network: Mapping[str, Any]
    images: pa.Table
    vectors: Matrix = field(repr=False)
    record: RunRecord | None
    endpoint_url: str | None = None
    region: str | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def image(self, row: int) -> Image:
        """The image of a row."""
        return Image(*(self.images[name][row].as_py() for name in _IMAGE))

    def originals(self, rows: Iterable[int]) -> dict[int, tuple[str, str]]:
        """Path and version of some images, by their rows, to read them again."""
        return {row: (image.path, image.version) for row in rows for image in [self.image(row)]}

    def labels(self) -> list[str]:
        """Label of every image."""
        labels: list[str] = self.images["label"].to_pylist()
        return labels

    def store_of(self, path: str) -> Store:
        """The store that an image's path can be fetched from."""
        bucket = _BUCKET.match(path)
        config = self.record.config if self.record else {}
        return open_recorded(bucket[0] if bucket else "/", config, self.endpoint_url, self.region)


def load(
    destination: str | os.PathLike[str] | Embedded,
    *,
    on: str | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Read the images of a destination.

    Parameters
    ----------
    destination : str, path or Embedded
        Destination of an earlier run; images that are loaded already are returned as they are.
    on : str, optional
        ``features`` or ``reduced``; by default what is loaded already, or features.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Raises
    ------
    ConfigError
        If `on` is something else, or not what is loaded already.
    DestinationError
        If there are no such features, or no images, or a forget was interrupted.
    """
    if on not in (None, FEATURES, REDUCED):
        raise ConfigError(f"on is {on!r}", f"Choose {FEATURES} or {REDUCED}.")
    if isinstance(destination, Embedded):
        if on not in (None, destination.on):
            raise ConfigError(
                f"on is {on!r}, but {destination.on} are what is loaded",
                f"Leave `on` out, or load the images with on={on!r}.",
            )
        return destination
    on = on or FEATURES
    progress = progress or Progress()
    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    require_finished(store)
    dataset = open_dataset(store)
    known = _known(dataset)
    if on == FEATURES:
        vectors = _filled(known, dataset.features(), dataset.n_features)
    else:
        known, vectors = _reduced(dataset, known, progress)
    if not len(vectors):
        raise DestinationError(f"{store.url} holds no embedded image", _REMEDY)
    images = known.select(_IMAGE)
    record = _record(store)
    what = FEATURES if on == FEATURES else "components"
    progress.say(f"{plural(len(vectors), 'image')} loaded, with {vectors.shape[1]:,} {what} each")
    return Embedded(store, on, dataset.network, images, vectors, record, endpoint_url, region)


def _record(store: Store) -> RunRecord | None:
    """Record of the newest run, or None: the search works without it."""
    try:
        return load_latest(store)
    except DestinationError:
        return None


def _known(dataset: Dataset) -> pa.Table:
    """All but the features of every image, by path, with its place in the files."""
    known = dataset.read(_IMAGE)
    known = known.append_column("place", pa.array(np.arange(len(known))))
    return known.take(pc.sort_indices(known["path"])).combine_chunks()


def _reduced(dataset: Dataset, known: pa.Table, progress: Progress) -> tuple[pa.Table, Matrix]:
    """The images that have PCA scores, and these."""
    store = dataset.store
    table = reduced_table(store)
    # where too few images are left for a PCA, a run leaves its table without rows
    fitted = load_fitted(store) if table.exists() else None
    if fitted is None:
        raise DestinationError(
            f"{store.url} holds no reduced features",
            "Compare by the full features, or run again without --no-reduce.",
        )
    _, description = fitted
    if description["network"]["model_id"] != dataset.network["model_id"]:
        raise DestinationError(
            f"the reduced features at {store.url} are of another model than its features",
            "Compare by the full features, or run again without --no-reduce.",
        )
    files = table.files()
    paths = [batch["path"] for batch in table.batches(files, ["path"])]
    # (rows of the reduced table,) in the order of the files; a path that is not known is null
    reduced = pa.chunked_array(paths, pa.string())
    place = pc.index_in(known["path"], value_set=reduced)
    missing = place.null_count
    if missing:
        progress.warn(f"{missing:,} images have features but no reduced ones: they are left out")
    known = known.set_column(known.schema.get_field_index("place"), "place", place)
    known = known.filter(pc.is_valid(place)).combine_chunks()
    scores = (batch["features_pca"] for batch in table.batches(files, ["features_pca"]))
    return known, _filled(known, scores, int(description["n_components"]), len(reduced))


def _filled(
    known: pa.Table, lists: Iterator[pa.Array], width: int, total: int | None = None
) -> Matrix:
    """Unit rows in the order of `known`, of lists that come in the order of its places."""
    places = known["place"].to_numpy()
    row_of = np.full(len(places) if total is None else total, -1, np.int64)
    row_of[places] = np.arange(len(places))
    vectors = _room(len(places), width)
    for rows, values in placed(lists, row_of, width):
        if not np.isfinite(values).all():
            raise DestinationError(
                f"not every row holds {width} finite numbers, so no cosine can be computed",
                "See what is wrong by `featuremill check`, and compute them again.",
            )
        vectors[rows] = unit_rows(values)
    return vectors


def _room(n: int, width: int) -> Matrix:
    """An array for so many rows, in memory or in a file that is gone with it."""
    if 4 * n * width <= _MEMORY_SHARE * psutil.virtual_memory().available:
        return np.empty((n, width), np.float32)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if 4 * n * width > free:
        # a mapped file that outgrows its disk would end the process without a word
        raise StorageError(
            f"{4 * n * width / 1e9:.1f} GB of features fit neither memory nor {folder},"
            f" where {free / 1e9:.1f} GB are free",
            "Compare by reduced features, or name a larger folder in TMPDIR.",
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=(n, width))
