"""Whatever a run left, be it no image, one or two: every command answers or says why it cannot."""

import io
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import featuremill
from featuremill.cli import main
from featuremill.export.forms import FORMS
from featuremill.storage.local import LocalStore
from featuremill.workflows.run.pipeline import run
from outputs import offline

ANYTHING = featuremill.RejectLimit(share=1)


def picture(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (40, 30), colour)
    image.paste("white", (5, 5, 20, 25))
    image.save(path)


def nothing(folder: Path) -> None:
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "broken.jpg").write_bytes(b"\xff\xd8 no more")


def one(folder: Path) -> None:
    picture(folder / "a" / "0.png", "red")


def two_copies(folder: Path) -> None:
    picture(folder / "a" / "0.png", "red")
    picture(folder / "a" / "1.png", "red")


def two_of_a_class(folder: Path) -> None:
    picture(folder / "a" / "0.png", "red")
    picture(folder / "a" / "1.png", "blue")


def two_classes(folder: Path) -> None:
    picture(folder / "a" / "0.png", "red")
    picture(folder / "b" / "0.png", "blue")


class Made(NamedTuple):
    """A result, how many images have features, and whether they were enough for a PCA."""

    dest: Path
    images: int
    has_pca: bool


HELD = {nothing: 0, one: 1, two_copies: 2, two_of_a_class: 2, two_classes: 2}


@pytest.fixture(scope="module", params=HELD, ids=lambda make: make.__name__)
def made(spark, request, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("few")
    request.param(folder / "images")
    dest = folder / "out"
    run(offline(folder / "images", dest, max_rejects=ANYTHING), spark=spark)
    return Made(dest, HELD[request.param], (dest / "model" / "pca.json").exists())


def command(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    # anything but an exit code is a crash
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


SEARCHES = {"similar": 1, "duplicates": 1, "outliers": 2}
"""Fewest images that each needs."""


@pytest.mark.slow
@pytest.mark.parametrize("on", ["features", "reduced"])
@pytest.mark.parametrize("search", SEARCHES)
def test_searches_answer_in_every_form_or_say_what_is_missing(search, on, made, tmp_path):
    picture(tmp_path / "new.png", "green")
    asked = [tmp_path / "new.png"] if search == "similar" else []
    enough = made.images >= SEARCHES[search] and (on == "features" or made.has_pca)
    csv = ["--csv", tmp_path / "all.csv"] if search == "duplicates" else []
    page = tmp_path / "page.html"
    for form in ([], ["--json"], ["--html", page], csv):
        result = command(search, made.dest, *asked, "--on", on, *form)
        assert result.exit_code == (0 if enough else 2), result.output
        assert enough or "error: " in result.stderr
    assert page.exists() == enough
    if enough and csv:
        columns, *rows = (tmp_path / "all.csv").read_text().splitlines()
        assert columns.startswith("group,kind,path,label")
        groups = page.read_text().count("<h2")
        assert (groups, len(rows)) in ((0, 0), (1, 2))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_deck_needs_one_image(language, made, tmp_path):
    deck = tmp_path / "deck.pptx"
    result = command("slides", made.dest, "-o", deck, "--language", language)
    assert result.exit_code == (0 if made.images else 2), result.output
    assert deck.exists() == bool(made.images)


@pytest.mark.parametrize("form", FORMS)
def test_exports_need_one_image_or_a_pca(form, made, tmp_path):
    enough = made.has_pca if form in ("onnx", "projector") else made.images > 0
    result = command("export", made.dest, "--to", form, "-o", tmp_path / "out")
    assert result.exit_code == (0 if enough else 2), result.output
    assert enough or "error: " in result.stderr


def test_the_report_is_written_and_the_check_passes_whatever_there_is(made):
    report = made.dest / "report.html"
    report.unlink()
    assert command("report", made.dest).exit_code == 0
    said = f"{made.images} image{'' if made.images == 1 else 's'} in"
    assert said in report.read_text()
    assert command("check", made.dest).exit_code == 0
    assert len(featuremill.load_features(made.dest)) == made.images


def test_no_thread_of_arrow_reads_a_file(made, tmp_path, monkeypatch):
    """Such a thread may let go of the file while Python ends, and that ends with exit code 134."""
    readers = set()

    class Watched(io.FileIO):
        def readinto(self, buffer):
            readers.add(threading.current_thread())
            return super().readinto(buffer)

    monkeypatch.setattr(
        LocalStore, "open", lambda store, name: io.BufferedReader(Watched(store._path(name)))
    )
    for search in ("duplicates", "outliers"):
        command(search, made.dest)
    for form in FORMS:
        command("export", made.dest, "--to", form, "-o", tmp_path / form)
    command("slides", made.dest, "-o", tmp_path / "deck.pptx")
    command("report", made.dest)
    command("check", made.dest)
    featuremill.load_features(made.dest)
    assert readers == {threading.main_thread()}
