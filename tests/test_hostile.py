"""Input that means harm: bombs, damaged files of every format, names that are code.

The damaged files are made anew each time, from a seed; `python -m soak.images` tries 20,000 of
each format.
"""

import csv
import re
import struct
import zlib
from functools import partial
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import poison
import soak.images
from bad_images import encoded, picture, png
from featuremill.dataset import csv_files
from featuremill.errors import ImageRejected, WorkerError
from featuremill.export import export
from featuremill.images.decode import FORMATS, Limits
from featuremill.images.sandbox import InChild
from featuremill.storage import open_store
from featuremill.storage.base import LOOP
from featuremill.workflows.check import CheckConfig, check
from featuremill.workflows.run.dispatch import EmbeddingWork
from made_results import MadeResult
from outputs import everything_in, features, offline
from soak.costly import COSTLY
from soak.mutate import mutant
from soak.pictures import SIZE, valid_files

pytestmark = pytest.mark.slow

SEED = 7
LIMITS = Limits(max_pixels=1_000_000)
EACH = 40
BIG_ENDIAN = ("JPEG", "JPEG2000", "PSD", "QOI", "SGI", "SUN")


@pytest.fixture(scope="module")
def child():
    with InChild(LIMITS, timeout=20) as decoder:
        decoder.decode(encoded("JPEG"))
        yield decoder


# Bombs: small files that say they are huge


def resized(format_: str, width: int, height: int) -> bytes:
    """A valid file, with its size misstated wherever it stands."""
    data = valid_files(format_)[0]
    order = "big" if format_ in BIG_ENDIAN else "little"
    for side, said in zip(SIZE, (width, height), strict=True):
        for length in (4, 2):
            data = data.replace(side.to_bytes(length, order), said.to_bytes(length, order))
    return data


def bombs() -> dict[str, bytes]:
    formats = (*BIG_ENDIAN, "BMP", "DIB", "DDS", "GIF", "TGA", "TIFF")
    made = {format_: resized(format_, 60_000, 50_000) for format_ in formats}
    made["PNG"] = png(60_000, 50_000, 8, 2, b"")
    made["PPM"] = b"P6 60000 50000 255\n"
    made["XPM"] = valid_files("XPM")[0].replace(b"61 47 4", b"60000 50000 4")
    canvas = struct.pack("<I", 16_383)[:3]
    made["WEBP"] = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas + canvas
    made["PCX"] = struct.pack("<4B4H", 10, 5, 1, 8, 0, 0, 59_999, 49_999) + bytes(116)
    made["PCX"] = made["PCX"][:65] + b"\x03\x60\xea" + made["PCX"][68:]
    return made


@pytest.mark.parametrize("format_", sorted(bombs()))
def test_a_bomb_is_refused_by_what_its_header_says_before_memory_is_taken(format_, child):
    before = soak.images.peak_of(child.pid)
    with pytest.raises(ImageRejected) as rejected:
        child.decode(bombs()[format_])
    assert (rejected.value.stage, "limit 1,000,000" in rejected.value.reason) == ("limit", True)
    assert soak.images.peak_of(child.pid) - before < 16 << 20


def test_what_is_packed_beside_the_pixels_is_not_unpacked_without_bound(child):
    """A comment of a PNG that a kilobyte of file blows up to a hundred megabytes."""
    whole = encoded("PNG")
    body = b"Comment\0\0" + zlib.compress(bytes(100 << 20), 9)
    comment = struct.pack(">I", len(body)) + b"zTXt" + body
    comment += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    before = soak.images.peak_of(child.pid)
    with pytest.raises(ImageRejected):
        child.decode(whole[:33] + comment + whole[33:])
    assert soak.images.peak_of(child.pid) - before < 32 << 20


# Files that cost more than they weigh


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_file_takes_the_memory_and_time_of_its_pixels(name):
    tally = soak.images.soak_costly(name, timeout=20)
    assert (tally.lost, tally.failures) == ([], [])
    refused = not name.startswith("GIF of 500,000 frames")  # of which the first one is decoded
    assert tally.outcomes == {"limit" if refused else "decoded": 1}


def parts_of(format_: str, count: int) -> bytes:
    """A picture of as many parts as honest ones have."""
    wide = picture(size=(640, 480))
    if format_ == "JPEG":
        return encoded("JPEG", wide, progressive=True, icc_profile=bytes(60_000) * count)
    if format_ == "TIFF":
        return encoded("TIFF", picture(size=(8, 40 * count)), tiffinfo={278: 1})
    if format_ == "JPEG2000":
        return encoded("JPEG2000", wide, tile_size=(64, 64), codeblock_size=(16, 16))
    return encoded("GIF", wide.quantize(), comment=bytes(range(1, 256)) * count)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF", "JPEG2000", "GIF"])
def test_a_picture_of_many_parts_is_decoded(format_, child):
    assert child.decode(parts_of(format_, 200)).pixels.size


def test_a_film_behind_a_jpeg_is_not_taken_for_its_scans(child):
    photo = encoded("JPEG")
    assert child.decode(photo + b"\xff\xda\0\2" * 5_000).pixels.shape == (48, 64, 3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the bound is Linux' own")
def test_what_no_header_tells_is_refused_by_the_childs_memory():
    """As where a decoder takes more than its pixels need, for a reason that nobody foresaw."""
    with InChild(LIMITS, timeout=20, decoder="poison:greedy") as decoder:
        with pytest.raises(ImageRejected) as rejected:
            decoder.decode(encoded("PNG"))
        assert (rejected.value.stage, rejected.value.reason) == ("limit", "out of memory")


# Damaged files


@pytest.mark.parametrize("format_", FORMATS)
def test_damaged_files_are_decoded_or_rejected_and_nothing_else(format_):
    tally = soak.images.soak(format_, range(EACH), SEED, LIMITS, timeout=20)
    assert tally.mutants == EACH
    assert (tally.lost, tally.failures) == ([], [])
    # the mutator neither spares everything nor spoils everything
    assert 0 < tally.outcomes["decoded"] < EACH


def test_a_damaged_file_follows_from_seed_format_and_number():
    assert mutant("PNG", SEED, 3) == mutant("PNG", SEED, 3)
    assert (
        len(
            {
                mutant(format_, seed, n)
                for format_ in ("PNG", "GIF")
                for seed in (1, 2)
                for n in range(5)
            }
        )
        == 20
    )


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are Linux' own")
def test_the_soak_names_its_seed_and_what_failed(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arguments = ["--mutations", "3", "--formats", "PNG", "--seed", "7"]
    assert soak.images.main(arguments) == 0
    assert "seed 7" in capfd.readouterr().out

    monkeypatch.setattr(soak.images, "_BYTES_ANYWAY", -64_000_000)
    assert soak.images.main(arguments) == 1
    failed = re.search(r"PNG:(\d+) .*peak \d+ MiB", capfd.readouterr().out)
    again = ["--only", f"PNG:{failed[1]}", "--seed", "7", "--save", str(tmp_path / "file")]
    assert soak.images.main(again) == 1
    assert (tmp_path / "file").read_bytes() == mutant("PNG", 7, int(failed[1]))


def test_the_soak_accounts_for_each_decoder_that_dies(monkeypatch):
    monkeypatch.setattr(soak.images, "InChild", partial(InChild, decoder="poison:segfault"))
    monkeypatch.setattr(soak.images, "mutant", lambda *_: encoded("JPEG") + poison.POISON)
    tally = soak.images.soak("JPEG", range(2), SEED, LIMITS, timeout=20)
    assert tally.outcomes == {"decode": 2}
    assert tally.lost == [
        f"JPEG:{number} decode: the decoder died (SIGSEGV) on this image" for number in range(2)
    ]
    assert tally.failures == []


# Names that are code


FORMULA = '=HYPERLINK("x", "y")'
SCRIPT = "<script>alert(1)<"


@pytest.fixture
def workers_die_on_poison(workers, monkeypatch):
    workers.lend(poison.__file__)
    monkeypatch.setattr(
        "featuremill.workflows.run.extraction.EmbeddingWork",
        partial(EmbeddingWork, decoder="poison:segfault"),
    )


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A source in which everything is meant to harm."""
    source = tmp_path / "around" / "source"
    for number, label in enumerate(
        (FORMULA, SCRIPT, "+1+1", "@SUM(A1)", "-5", "a%2f..%2f..", "&amp;")
    ):
        folder = source / label
        folder.mkdir(parents=True)
        for turn in range(3):
            turned = picture().rotate(40 * number + 13 * turn)
            (folder / f"{turn}.jpg").write_bytes(encoded("JPEG", turned))
    (source / "=cmd|'!A0").write_bytes(b"no image")
    (source / SCRIPT / "loop").symlink_to(source, target_is_directory=True)
    (source / "killer.jpg").write_bytes(encoded("JPEG") + poison.POISON)
    return source


def test_a_source_that_means_harm_does_none(workers, hostile, workers_die_on_poison):
    dest = hostile.parent / "out"
    before = everything_in(hostile)
    result = workers.run(
        offline(hostile, dest, n_components=2, max_rejects="100%", image_timeout=5)
    )

    assert everything_in(hostile) == before
    assert {path.name for path in hostile.parent.iterdir()} == {"source", "out"}
    rows = features(dest)
    outcomes = {Path(path).name: stage for path, stage in zip(rows.path, rows.stage, strict=True)}
    assert outcomes["killer.jpg"] == "decode"
    assert result.record.skipped[LOOP] == 1
    assert (rows.status == "ok").sum() == result.record.ledger.embedded == 21
    assert result.record.worker_deaths >= 1

    # names stay what they are in the tables
    assert {FORMULA, SCRIPT, "+1+1", "@SUM(A1)", "-5"} <= set(rows.label)
    for name in ("csv/reduced.csv", "rejects.csv"):
        with (dest / name).open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        texts = [text for row in table for key, text in row.items() if not key.startswith("pc_")]
        assert table
        assert not [text for text in texts if re.match(r"[=+@\t\r]|-(?!\d+$)", text)]
        assert {csv_files.text_of(row["label"]) for row in table} <= set(rows.label)

    page = (dest / "report.html").read_text()
    assert SCRIPT not in page
    assert "HYPERLINK" in page


@pytest.mark.spark35
def test_where_no_worker_may_die_the_first_that_does_stops_the_run(
    workers, hostile, workers_die_on_poison
):
    dest = hostile.parent / "out"
    config = offline(hostile, dest, reduce=False, max_rejects="100%", max_worker_deaths=0)
    with pytest.raises(WorkerError, match=r"died \d times, --max-worker-deaths is 0") as stopped:
        workers.run(config)
    assert "run the same command again to resume" in stopped.value.remedy
    assert len(features(dest)) > 0


NUMBER = re.compile(r"'*[+-]?\d+(\.\d+)?")
SCRIPT_OF_THE_PAGE = files("featuremill.report").joinpath("script", "panel.js").read_text()
WRITTEN_BY_THE_PAGE = re.compile(re.search(r"const formula = /(.+)/g;", SCRIPT_OF_THE_PAGE)[1])
BEGINS_A_FORMULA = re.compile(r"""["\s\u200b]*([=@\t\r＝＋－＠]|[+-](?!\d+(\.\d+)?$))""")


@given(st.text(alphabet="'=+-@\t\r 15.ab;|\"\u3000＝－", max_size=7))
def test_a_cell_is_never_a_formula_and_gives_its_text_back(text):
    cell = csv_files.cell(text)
    assert csv_files.text_of(cell) == text
    column = csv_files.cells(pa.array([text, None, "plain"]))
    assert column.to_pylist() == [cell, None, "plain"]
    assert csv_files.texts_of(column).to_pylist() == [text, None, "plain"]
    assert WRITTEN_BY_THE_PAGE.sub(r"\1'", text) == cell or NUMBER.fullmatch(text)
    # also not for a spreadsheet that separates cells by semicolons, as where 0,5 is a half
    for part in re.split(r"[;|\t\r\n]", cell):
        assert not BEGINS_A_FORMULA.match(part), cell


@pytest.mark.parametrize(
    "name", [";=1+1;", " =1+1", "\u3000＝1+1", "a;-1+1", 'a;"=1+1"', "＠SUM(A1)"]
)
def test_no_folder_becomes_a_formula_where_cells_are_separated_by_semicolons(name, tmp_path):
    store = open_store(tmp_path / "out")
    made = MadeResult(store, str(tmp_path))
    made.commit(0, [f"/images/{name}/{number}.jpg" for number in range(4)])
    made.reduce()
    with (tmp_path / "out" / "csv" / "reduced.csv").open(newline="") as file:
        read = [cell for row in csv.reader(file, delimiter=";") for cell in row]
    assert not [cell for cell in read if BEGINS_A_FORMULA.match(cell)]
    export(tmp_path / "out", tmp_path / "logs", to="projector")
    lines = (tmp_path / "logs" / "metadata.tsv").read_text().splitlines()
    assert not [
        cell for line in lines for cell in re.split("[;\t]", line) if BEGINS_A_FORMULA.match(cell)
    ]
    failed = {one.name for one in check(CheckConfig(str(tmp_path / "out"))).failed}
    assert not failed & {"csv.rows", "csv.values"}
