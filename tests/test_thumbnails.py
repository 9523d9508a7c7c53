"""Thumbnails are read anew, shown only where the image is still the same, and bounded."""

import io
import threading
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from featuremill.errors import StorageError
from featuremill.images import thumbnails
from featuremill.images.originals import GONE
from featuremill.images.thumbnails import (
    CHANGED,
    LARGE,
    LATE,
    TILES,
    UNTRIED,
    Sheets,
    Thumbnails,
    Wanted,
)
from featuremill.storage import open_store
from featuremill.storage.base import FetchedImage

HUES = [(int(n * 2.5), 255 - int(n * 2.5), 40 + n) for n in range(100)]
PLENTY = 10_000_000


class Folder:
    """Single-coloured pictures in a folder, as the features table knows them."""

    def __init__(self, path: Path, count: int, size=(60, 40), *, coarse=False):
        self.path, self.store = path, open_store(path)
        for n in range(count):
            picture = Image.new("RGB", size, HUES[n % 100])
            if coarse:  # so that it takes bytes to show it
                picture = Image.effect_noise((12, 12), 80).resize(size).convert("RGB")
            picture.save(path / f"{n:04}.png")
        self.images = [
            Wanted(found.path, found.version, found.size)
            for found in sorted(self.store.list(), key=lambda found: found.path)
        ]

    def read(self, *, seconds=60.0, first=(0,), room=PLENTY) -> tuple[dict[int, bytes], Sheets]:
        reader = Thumbnails(self.store, self.images, seconds)
        singles = reader.singles(first)
        return singles, reader.sheets(range(len(self.images)), room)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path, 20)


def tiles_of(sheets):
    """The pixels of every tile, by row."""
    found = {}
    for data, tiles in zip(sheets.images, sheets.tiles, strict=True):
        sheet = Image.open(io.BytesIO(data)).convert("RGB")
        for index, tile in enumerate(tiles):
            left, top = index % 16 * sheets.edge, index // 16 * sheets.edge
            found[tile.row] = sheet.crop((left, top, left + tile.width, top + tile.height))
    return found


def alike(colour, other):
    return max(abs(a - b) for a, b in zip(colour, other, strict=True)) < 25


def test_every_image_lies_where_its_sheet_says(folder):
    _, sheets = folder.read()
    tiles = tiles_of(sheets)
    assert sheets.count == len(tiles) == 20
    for row, tile in tiles.items():
        assert tile.size == (60, 40)  # not enlarged, in its own proportions
        assert alike(tile.getpixel((30, 20)), HUES[row])


def test_images_are_made_small_in_their_own_proportions(tmp_path):
    _, sheets = Folder(tmp_path, 3, size=(400, 100)).read()
    assert {tile.size for tile in tiles_of(sheets).values()} == {(96, 24)}


def test_a_single_one_is_a_small_webp(tmp_path):
    singles, _ = Folder(tmp_path, 3, size=(400, 200)).read(first=[2, 0, 2])
    assert singles.keys() == {0, 2}
    picture = Image.open(io.BytesIO(singles[2]))
    assert (picture.format, picture.size) == ("WEBP", (80, 40))
    assert alike(picture.convert("RGB").getpixel((40, 20)), HUES[2])


@pytest.mark.slow
def test_tiles_get_smaller_and_fewer_where_there_is_little_room(tmp_path):
    folder = Folder(tmp_path, 600, size=(96, 96), coarse=True)
    _, best = folder.read(first=range(64))
    size = sum(map(len, best.images))
    assert (best.edge, best.count) == (96, 600)
    _, smaller = folder.read(first=range(64), room=size * 2 // 3)
    assert smaller.edge < 96
    assert smaller.count == 600
    _, fewer = folder.read(first=range(64), room=size // 12)
    assert fewer.edge == 48
    assert sum(map(len, fewer.images)) <= size // 12
    assert fewer.count + fewer.left_out == 600
    assert fewer.left_out > 0


def test_without_room_there_are_none(folder):
    _, sheets = folder.read(room=-5)
    assert (sheets.count, sheets.left_out) == (0, 20)


def test_what_is_wanted_most_is_read_first(tmp_path):
    folder = Folder(tmp_path, 600, size=(96, 96))
    reader = Thumbnails(folder.store, folder.images, 60)
    reader.singles([7])
    sheets = reader.sheets([599, *range(599)], 3_000)
    rows = [tile.row for tiles in sheets.tiles for tile in tiles]
    assert 0 < sheets.count < 600
    assert 599 in rows


def test_what_lies_together_is_in_one_sheet(tmp_path):
    folder = Folder(tmp_path, 600)
    reader = Thumbnails(folder.store, folder.images, 60)
    reader.singles([0])
    sheets = reader.sheets([*range(0, 600, 2), *range(1, 600, 2)], PLENTY)
    assert sheets.count == 600
    assert all(len(tiles) <= TILES for tiles in sheets.tiles)
    for tiles in sheets.tiles:
        assert [tile.row for tile in tiles] == sorted(tile.row for tile in tiles)


def test_an_image_that_changed_or_is_gone_is_not_shown(folder):
    (folder.path / "0003.png").unlink()
    Image.new("RGB", (80, 80), "red").save(folder.path / "0004.png")
    (folder.path / "0005.png").write_bytes(b"no image")
    singles, sheets = folder.read(first=[3, 4, 6])
    assert singles.keys() == {6}
    assert sheets.missing == {GONE: 1, CHANGED: 2}
    assert sheets.count == 17


def test_bytes_that_are_no_image_are_not_shown(folder):
    (folder.path / "0005.png").write_bytes(b"no image")
    version = next(f.version for f in folder.store.list() if f.path.endswith("0005.png"))
    folder.images[5] = folder.images[5]._replace(version=version)
    assert folder.read()[1].missing == {GONE: 1}


def test_an_image_that_is_very_large_is_not_even_fetched(folder):
    folder.images[2] = folder.images[2]._replace(bytes=17_000_000)
    assert folder.read()[1].missing == {LARGE: 1}


def test_where_no_image_can_be_shown_the_others_are_not_tried(folder):
    for path in folder.path.glob("*.png"):
        path.unlink()
    singles, sheets = folder.read(first=[1, 2, 3])
    assert (singles, sheets.count) == ({}, 0)
    assert sheets.missing == {GONE: 3, UNTRIED: 17}


def test_after_its_time_it_reads_no_more(folder):
    reader = Thumbnails(folder.store, folder.images, 60)
    reader.singles([0, 1])
    reader._end = 0
    sheets = reader.sheets(range(20), PLENTY)
    assert [tile.row for tiles in sheets.tiles for tile in tiles] == [0, 1]
    assert sheets.missing == {LATE: 18}


class Broken:
    """A source that fails as a whole."""

    url, read_ahead = "s3://broken", 2

    def fetch(self, path):
        raise StorageError("cannot read s3://broken: ExpiredToken", "Log in.")


class Silent:
    """A source that never answers, until it is told to."""

    url, read_ahead = "s3://silent", 2

    def __init__(self):
        self.asked, self.told = Counter(), threading.Event()

    def fetch(self, path):
        self.asked[path] += 1
        self.told.wait()
        return FetchedImage(b"", "")


def test_a_source_out_of_reach_says_why(folder):
    reader = Thumbnails(Broken(), folder.images, 60)
    assert reader.singles([0, 1]) == {}
    assert reader.problem == "cannot read s3://broken: ExpiredToken"
    assert reader.sheets(range(20), PLENTY).count == 0


def test_a_source_that_does_not_answer_is_asked_once(folder, monkeypatch):
    monkeypatch.setattr(thumbnails, "PATIENCE", 0.05)
    source = Silent()
    reader = Thumbnails(source, folder.images, 60)
    assert reader.singles(range(20)) == {}
    assert reader.problem == "no answer within 0 seconds"
    assert reader.sheets(range(20), PLENTY).count == 0
    assert source.asked.total() == 1
    source.told.set()


def test_no_images_need_no_source():
    reader = Thumbnails(Broken(), [], 60)
    assert reader.singles([]) == {}
    assert reader.problem == ""
    assert reader.sheets([], PLENTY).count == 0
