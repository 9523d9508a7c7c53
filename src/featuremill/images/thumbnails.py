"""Makes thumbnails of many images, which are read again from their source.

An image is shown only if it still is what was embedded: one that is gone, cannot be read or has
changed has no thumbnail, and the reason is counted. A source that does not answer costs seconds,
not the pictures' readers their page.
"""

import io
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple

from PIL import Image, features

from featuremill._utils.hardware import usable_cores
from featuremill.errors import ImageRejected, StorageError
from featuremill.images.decode import Limits, decode
from featuremill.images.originals import (
    GONE,
    ChangedError,
    UnusedError,
    out_of_reach,
    read_original,
    use_each,
)
from featuremill.storage import Store

LEVELS: Final = ((96, 60), (64, 45), (48, 35))
"""Edge of a tile in pixels and quality, best first: the first at which all images fit is taken."""

ACROSS: Final = 16
TILES: Final = ACROSS * ACROSS
"""Tiles of a sheet: few enough to be decoded while one moves the mouse over them."""

PATIENCE: Final = 15.0
"""Seconds in which a source must give its first image, or is taken as out of reach."""

CHANGED, LARGE, LATE, UNTRIED = (
    "changed since they were embedded",
    "too large to be read for a thumbnail",
    "not read in the time there was",
    "not tried, since none of those tried first could be shown",
)
"""Why images have no thumbnail, besides :data:`~featuremill.images.originals.GONE`."""

_LARGEST = Limits(max_bytes=16_000_000, max_pixels=64_000_000)
_SINGLE_EDGE, _SINGLE_QUALITY = 80, 65
_TRIAL = 128
"""Tiles of the sheet that tells how large sheets get."""

_HEADER = 600
"""Bytes of a sheet beside its tiles, which weigh more the fewer there are."""

_WAVES = 4

# AVIF takes half the bytes of WebP; some builds of Pillow lack it
_AVIF = {"format": "AVIF", "speed": 9, "max_threads": 1}
_WEBP = {"format": "WEBP", "method": 2}


class Wanted(NamedTuple):
    """An image as the features table knows it."""

    path: str
    version: str
    bytes: int


class Tile(NamedTuple):
    """One image of a sheet: which row it shows and how much of the square it covers."""

    row: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Sheets:
    """Many thumbnails in few pictures.

    Attributes
    ----------
    edge : int
        Edge of a tile in pixels; tiles stand :data:`ACROSS` in a row, from the top left.
    media : str
        Such as ``image/avif``.
    images : sequence of bytes
        The sheets.
    tiles : sequence of sequence of Tile
        What each sheet shows, in order; an image lies in the top left corner of its tile.
    missing : Counter
        How many images have none, by the reason.
    left_out : int
        Images that were not read since there was no room for them.
    """

    edge: int
    media: str
    images: Sequence[bytes] = ()
    tiles: Sequence[Sequence[Tile]] = ()
    missing: Counter[str] = field(default_factory=Counter)
    left_out: int = 0

    @property
    def count(self) -> int:
        """Images that have a thumbnail."""
        return sum(map(len, self.tiles))


class Thumbnails:
    """Reads images of one source and makes them small, for so many seconds from now on.

    Parameters
    ----------
    source : Store
        Where the images lie.
    images : sequence of Wanted
        All of them; a row is an index into these.
    seconds : float
        After which no further image is read.

    Attributes
    ----------
    problem : str
        Why no image can be read at all; empty where some can.
    """

    def __init__(self, source: Store, images: Sequence[Wanted], seconds: float) -> None:
        self._source, self._images = source, images
        self._end = time.monotonic() + seconds
        self._small: dict[int, Image.Image] = {}
        self._missing: Counter[str] = Counter()
        self.problem = ""

    def singles(self, rows: Sequence[int]) -> dict[int, bytes]:
        """WebP of each of some rows, at most 80 pixels wide and high; none where it is missing."""
        rows = list(dict.fromkeys(rows))
        self.problem = self._reach(rows[0]) if rows else ""
        largest, _ = LEVELS[0]
        read = partial(self._read, edge=largest)
        self._small, self._missing = use_each(rows, read, self._source.read_ahead)
        with ThreadPoolExecutor(self._source.read_ahead) as pool:
            return dict(zip(self._small, pool.map(_single, self._small.values()), strict=True))

    def sheets(self, rows: Sequence[int], room: int) -> Sheets:
        """Tiles of as many rows as there is room and time for.

        Parameters
        ----------
        rows : sequence of int
            The most wanted first. What :meth:`singles` read before tells how large tiles get.
        room : int
            Bytes for all sheets; none where it is not above 0.
        """
        options = _AVIF if features.check("avif") else _WEBP
        media = f"image/{options['format']}".lower()
        trial = list(self._small.values())[-_TRIAL:]
        if not trial:
            tried = self._missing.total()
            untried = Counter({UNTRIED: len(rows) - tried})
            return Sheets(LEVELS[-1][0], media, missing=self._missing + untried)
        for edge, quality in LEVELS:
            each = len(_sheet(trial, edge, quality, options)) / len(trial)
            if each * len(rows) <= room:
                break
        fitting = max(0, min(len(rows), int((room - _HEADER) / each)))
        sheets = self._make(_parts(rows[:fitting]), edge, quality, options, room)
        return replace(sheets, media=media, left_out=sheets.left_out + len(rows) - fitting)

    def _make(
        self,
        parts: Sequence[Sequence[int]],
        edge: int,
        quality: int,
        options: dict[str, Any],
        room: int,
    ) -> Sheets:
        images: list[bytes] = []
        tiles: list[list[Tile]] = []
        missing: Counter[str] = Counter()
        left_out = 0

        def make(part: Sequence[int]) -> tuple[bytes, list[Tile], Counter[str]]:
            found, reasons = use_each(part, partial(self._tile, edge=edge))
            sized = [Tile(row, *image.size) for row, image in found.items()]
            data = _sheet(list(found.values()), edge, quality, options) if found else b""
            return data, sized, reasons

        with ThreadPoolExecutor(max(self._source.read_ahead, usable_cores())) as pool:
            for data, sized, reasons in pool.map(make, parts):
                missing += reasons
                if len(data) > room:
                    left_out += len(sized)
                elif data:
                    room -= len(data)
                    images.append(data)
                    tiles.append(sized)
        return Sheets(edge, "", images, tiles, missing, left_out)

    def _tile(self, row: int, edge: int) -> Image.Image:
        return _fit(self._small.get(row) or self._read(row, edge), edge)

    def _reach(self, row: int) -> str:
        """Ask for one image; why none can be had, if the source itself is out of reach."""
        answers: list[str] = []

        def ask() -> None:
            try:
                answers.append(out_of_reach(self._source, self._images[row].path))
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")

        # a daemon: the end of the program does not wait for a server that never answers
        asking = threading.Thread(target=ask, name="thumbnails", daemon=True)
        asking.start()
        asking.join(PATIENCE)
        return answers[0] if answers else f"no answer within {PATIENCE:.0f} seconds"

    def _read(self, row: int, edge: int) -> Image.Image:
        """The image, no wider and no higher than so many pixels."""
        wanted = self._images[row]
        if self.problem:
            raise UnusedError(GONE)
        if time.monotonic() > self._end:
            raise UnusedError(LATE)
        if wanted.bytes > _LARGEST.max_bytes:
            raise UnusedError(LARGE)
        try:
            data = read_original(self._source, wanted.path, wanted.version)
            # the very decoder that these bytes went through before
            pixels = decode(data, _LARGEST, (edge, edge)).pixels
        except ChangedError as error:
            raise UnusedError(CHANGED) from error
        except ImageRejected as error:
            raise UnusedError(LARGE if error.stage == "limit" else GONE) from error
        except (OSError, StorageError) as error:
            raise UnusedError(GONE) from error
        return _fit(Image.fromarray(pixels), edge)


def _parts(rows: Sequence[int]) -> list[list[int]]:
    """The rows of each sheet: what lies in one folder together, if it is wanted about as much.

    Where time runs out, the least wanted rows are those that are left.
    """
    wave = max(TILES, -(-len(rows) // _WAVES))
    waves = [sorted(rows[start : start + wave]) for start in range(0, len(rows), wave)]
    return [wave[start : start + TILES] for wave in waves for start in range(0, len(wave), TILES)]


def _fit(image: Image.Image, edge: int) -> Image.Image:
    """Shrink an image into a square of so many pixels, in its own proportions."""
    if max(image.size) <= edge:
        return image
    scale = edge / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _single(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    _fit(image, _SINGLE_EDGE).save(encoded, "WEBP", quality=_SINGLE_QUALITY)
    return encoded.getvalue()


def _sheet(
    images: Sequence[Image.Image], edge: int, quality: int, options: dict[str, Any]
) -> bytes:
    """Tiles from the top left; no rows of them beyond those that are needed."""
    down = -(-len(images) // ACROSS)
    across = min(ACROSS, len(images))
    sheet = Image.new("RGB", (across * edge, down * edge), "white")
    for index, image in enumerate(images):
        place = (index % ACROSS * edge, index // ACROSS * edge)
        sheet.paste(_fit(image, edge), place)
    encoded = io.BytesIO()
    sheet.save(encoded, quality=quality, **options)
    return encoded.getvalue()
