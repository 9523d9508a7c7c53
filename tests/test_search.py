"""What `similar`, `duplicates` and `outliers` find, and what they say where they cannot."""

import csv
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import featuremill
from featuremill.cli import main
from featuremill.dataset.ledger import Ledger, load_latest
from featuremill.errors import ConfigError, DestinationError
from featuremill.images.decode import Limits, decode
from featuremill.models import registry
from featuremill.models.engines import Engine, open_engine
from featuremill.models.network import Network
from featuremill.search import REDUCED, duplicates, embedded, load, outliers, query
from featuremill.storage import open_store
from stand_in import REGION, s3_server
from without_spark import embed_part, results_of

HOSTILE = "<script>\u202egnp"
"""A folder that would be a script in a page, and turns the direction of what a terminal shows."""


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    """What a command says that is refused."""
    result = command(*arguments)
    assert result.exit_code == 2, result.output
    assert not result.stdout
    return result.stderr


def save(picture: Image.Image, path: Path, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").save(path, "JPEG", quality=quality)
    return path


def halved(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2))


def cropped(picture: Image.Image) -> Image.Image:
    """Without 2.5 % of its width and height on every side."""
    x, y = round(picture.width * 0.025), round(picture.height * 0.025)
    return picture.crop((x, y, picture.width - x, picture.height - y))


class Parsed(HTMLParser):
    """A page's pictures, its text, and whatever it would fetch or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.foreign: list[str] = []
        self.text = ""
        self._style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        known = dict(attrs)
        if tag == "img":
            self.pictures.append(known)
        if tag in ("script", "link", "iframe") or not (known.get("src") or "data:").startswith(
            "data:"
        ):
            self.foreign.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data


@pytest.fixture(scope="module")
def source(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures of four classes; one lies in a wrong folder, and one is like no other."""
    folder = tmp_path_factory.mktemp("source") / "pictures"
    shutil.copytree(pictures, folder)
    first, second, *_ = sorted(folder.iterdir())
    (first / "stray.jpg").write_bytes(sorted(second.iterdir())[0].read_bytes())
    sorted(second.iterdir())[0].unlink()
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    save(Image.fromarray(noise), second / "noise.jpg")
    save(Image.open(sorted(first.iterdir())[0]).rotate(20), folder / HOSTILE / "100%.jpg")
    return folder


@pytest.fixture(scope="module")
def dest(source: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run leaves of the source; not to be changed."""
    return results_of(source, tmp_path_factory.mktemp("results") / "results")


@pytest.fixture
def copy(dest: str, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(dest, tmp_path / "results"))


@pytest.fixture(scope="module")
def names(source: Path) -> tuple[str, str]:
    """The first two classes."""
    first, second, *_ = sorted(path.name for path in source.iterdir() if path.name != HOSTILE)
    return first, second


def some_image(source: Path, label: str) -> Path:
    return sorted((source / label).glob("*_*.jpg"))[3]


class TestSimilar:
    @pytest.mark.slow
    @pytest.mark.parametrize("on", ["features", "reduced"])
    def test_the_neighbours_are_those_of_the_plain_product(self, dest, source, names, on) -> None:
        loaded = embedded.load(dest, on=on)
        paths = loaded.images["path"].to_pylist()
        assert paths == sorted(paths)
        asked = paths.index(str(some_image(source, names[0])))
        cosines = loaded.vectors.astype(np.float64) @ loaded.vectors[asked].astype(np.float64)
        expected = [row for row in np.argsort(-cosines, kind="stable") if row != asked][:5]
        found = featuremill.similar(loaded, paths[asked], count=5)
        assert [each.path for each in found.neighbours] == [paths[row] for row in expected]
        assert [each.cosine for each in found.neighbours] == pytest.approx(
            cosines[expected].tolist(), abs=2e-6
        )
        assert (found.searched, found.label, found.on) == (len(paths) - 1, names[0], on)

    def test_an_image_may_be_named_in_many_ways(self, dest, source, names, monkeypatch) -> None:
        image = some_image(source, names[0])
        expected = featuremill.similar(dest, str(image))
        assert names[0] in {each.label for each in expected.neighbours}
        monkeypatch.chdir(image.parent)
        below_source = f"{names[0]}/{image.name}"
        for name in (
            image,
            below_source,
            f"./{below_source}",
            f"pictures/{below_source}",
            image.name,
        ):
            assert featuremill.similar(dest, name) == expected

    def test_a_path_below_the_source_goes_before_the_end_of_another(self, source, tmp_path) -> None:
        image = next(source.rglob("*.jpg"))
        for folder in ("a", "b/a"):
            (tmp_path / "in" / folder).mkdir(parents=True)
            shutil.copy(image, tmp_path / "in" / folder / "x.jpg")
        results = results_of(tmp_path / "in", tmp_path / "out", components=None)
        assert featuremill.similar(results, "a/x.jpg").image == f"{tmp_path}/in/a/x.jpg"

    def test_a_name_with_odd_characters_is_found_as_the_file_system_has_it(
        self, dest, source
    ) -> None:
        expected = f"{source}/{HOSTILE}/100%25.jpg"
        for name in (
            f"{HOSTILE}/100%.jpg",
            "100%.jpg",
            "100%25.jpg",
            source / HOSTILE / "100%.jpg",
        ):
            assert featuremill.similar(dest, name, count=1).image == expected

    def test_a_new_file_is_embedded_with_the_network_of_the_destination(
        self, dest, source, names, tmp_path
    ) -> None:
        image = some_image(source, names[1])
        elsewhere = Path(shutil.copy(image, tmp_path / "new.jpg"))
        for on in ("features", "reduced"):
            found = featuremill.similar(dest, elsewhere, count=3, on=on)
            assert found.label is None
            assert found.neighbours[0].path == str(image)
            assert found.neighbours[0].cosine == pytest.approx(1, abs=1e-5)

    def test_a_new_file_is_embedded_in_the_precision_of_the_last_run_that_embedded(
        self, copy, source, names, tmp_path, monkeypatch
    ) -> None:
        store = open_store(copy)
        first = load_latest(store)
        assert first is not None
        did = {"ledger": Ledger(listed=62, embedded=62), "images_per_second": 50.0}
        replace(first, **did, precision=Counter(mixed=62)).save(store)
        replace(first, run=f"{first.run}2", ledger=Ledger(listed=62, already_done=62)).save(store)
        used: list[str] = []

        def opened(network: Network, precision: str) -> Engine:
            used.append(precision)
            return open_engine(network, "fp32")

        monkeypatch.setattr(query, "native_bf16", lambda: True)
        monkeypatch.setattr(query, "open_engine", opened)
        elsewhere = Path(shutil.copy(some_image(source, names[1]), tmp_path / "new.jpg"))
        featuremill.similar(copy, elsewhere, count=1)
        assert used == ["mixed"]

    def test_a_label_narrows_the_search(self, dest, source, names) -> None:
        found = featuremill.similar(dest, some_image(source, names[0]), label=names[1], count=99)
        assert {each.label for each in found.neighbours} == {names[1]}
        assert len(found.neighbours) == found.searched == 15

    def test_the_terminal_shows_a_table_and_json_the_same(self, dest, source, names) -> None:
        image = some_image(source, names[0])
        shown = command("similar", dest, image, "--count", "2")
        assert shown.exit_code == 0
        first, second, header, *rows = shown.stdout.splitlines()
        assert first == f"{image} ({names[0]})"
        assert second == "the nearest of 61 images by cosine of their features"
        assert header.split() == ["cosine", "size", "label", "path"]
        told = json.loads(command("similar", dest, image, "--count", "2", "--json").stdout)
        for number, (row, each) in enumerate(zip(rows, told["neighbours"], strict=True), 1):
            assert row.split()[:2] == [str(number), f"{each['cosine']:.4f}"]
            assert row.endswith(each["path"])

    def test_a_page_shows_the_pictures_and_fetches_nothing(
        self, dest, source, names, tmp_path
    ) -> None:
        page = tmp_path / "page.html"
        image = some_image(source, names[0])
        result = command("similar", dest, image, "--count", "61", "--html", page)
        assert f"page      {page}" in result.stdout
        parsed = Parsed(page.read_text())
        assert not parsed.foreign
        assert len(parsed.pictures) == 62
        assert parsed.pictures[0]["alt"] == f"{names[0]}: {image.name}"
        assert str(image) in parsed.text
        assert HOSTILE in parsed.text
        assert "default-src 'none'" in page.read_text()

    def test_a_terminal_gets_no_character_that_turns_or_moves_it(self, dest, source) -> None:
        shown = command("similar", dest, "100%.jpg", "--count", "60").stdout
        assert "<script>\\u202egnp" in shown
        assert all(each.isprintable() or each == "\n" for each in shown)


class TestAnImageThatCannotBeHad:
    def test_a_misspelt_name_is_answered_with_the_nearest(self, dest, source, names) -> None:
        image = some_image(source, names[0])
        wrong = f"{names[0]}/{image.name.replace('_', '-')}"
        said = refused("similar", dest, wrong)
        assert f"'{wrong}' is neither an image of {dest} nor a file" in said
        assert str(image) in said

    def test_a_name_in_the_wrong_folder_is_answered_with_the_right_one(self, dest, source) -> None:
        said = refused("similar", dest, "some/quite/different/place/stray.jpg")
        assert "Did you mean" in said
        assert "/stray.jpg?" in said

    def test_an_end_that_fits_several_images_is_answered_with_them(
        self, dest, source, names, copy
    ) -> None:
        other = source.parent / "more"
        for label in names:
            save(Image.new("RGB", (50, 50), "red"), other / label / "twice.jpg")
        embed_part(open_store(other), open_store(copy), registry.load("embedded"), "more")
        said = refused("similar", copy, "twice.jpg")
        assert "'twice.jpg' fits 2 images" in said
        for label in names:
            assert str(other / label / "twice.jpg") in said

    def test_a_file_that_is_no_image(self, dest, tmp_path) -> None:
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"\xff\xd8\xff no picture")
        assert f"{broken} cannot be embedded" in refused("similar", dest, broken)
        assert "cannot read" in refused("similar", dest, tmp_path)

    def test_an_unknown_label_and_a_count_of_none(self, dest, source, names) -> None:
        image = some_image(source, names[0])
        said = refused("similar", dest, image, "--label", names[1][:-1])
        assert f"Did you mean '{names[1]}'?" in said
        assert "count is 0, it must be at least 1" in refused(
            "similar", dest, image, "--count", "0"
        )

    def test_weights_that_are_not_there(self, copy, tmp_path, source) -> None:
        network = copy / "model" / "network.json"
        held = json.loads(network.read_text())
        network.write_text(
            json.dumps({**held, "name": "mobilenetv2", "weights_sha256": "0123456789abcdef"})
        )
        new = Path(shutil.copy(next(source.rglob("*.jpg")), tmp_path / "new.jpg"))
        said = refused("similar", copy, new)
        assert "weights of SHA-256 0123456789abcdef, which are not the published ones" in said
        assert "Give their file with --weights." in said

    def test_another_network_under_the_same_name(self, copy, tmp_path, source) -> None:
        network = copy / "model" / "network.json"
        held = json.loads(network.read_text())
        network.write_text(json.dumps({**held, "fingerprint": "of an older version"}))
        new = Path(shutil.copy(next(source.rglob("*.jpg")), tmp_path / "new.jpg"))
        assert "are of another embedded" in refused("similar", copy, new)


@pytest.mark.parametrize("search", ["similar", "duplicates", "outliers"])
class TestADestinationThatCannotBeSearched:
    def arguments(self, search: str, destination: str | Path, *options: str) -> list[str | Path]:
        return [search, destination, *(["x.jpg"] if search == "similar" else []), *options]

    def test_nothing_there(self, search, tmp_path) -> None:
        said = refused(*self.arguments(search, tmp_path / "nothing"))
        assert "holds no features" in said
        assert "Name the destination of `featuremill run`." in said

    def test_reduced_features_that_were_not_made(self, search, source, tmp_path) -> None:
        few = tmp_path / "few"
        shutil.copytree(sorted(source.iterdir())[-1], few / "a")
        results = results_of(few, tmp_path / "results", components=None)
        said = refused(*self.arguments(search, results, "--on", "reduced"))
        assert "holds no reduced features" in said

    def test_reduced_features_of_another_model(self, search, copy) -> None:
        description = copy / "model" / "pca.json"
        held = json.loads(description.read_text())
        held["network"]["model_id"] = "of another"
        description.write_text(json.dumps(held))
        said = refused(*self.arguments(search, copy, "--on", "reduced"))
        assert "are of another model" in said

    def test_features_of_an_unknown_kind(self, search, dest) -> None:
        assert "Choose features or reduced." in refused(*self.arguments(search, dest, "--on", "x"))

    def test_a_page_that_could_not_be_written_is_refused_at_once(self, search, dest, tmp_path):
        page = tmp_path / "missing" / "page.html"
        said = refused(*self.arguments(search, dest, "--html", str(page)))
        assert f"{page.parent} is no folder" in said
        assert "images loaded" not in said


class TestLoading:
    def test_rows_of_another_model_are_passed_over(self, copy, source, dest) -> None:
        other = registry.load("mobilenetv2-untrained")
        some = open_store(sorted(path for path in source.iterdir())[-1])
        embed_part(some, open_store(copy), other, "other")
        assert len(embedded.load(copy)) == len(embedded.load(dest)) == 62

    def test_images_without_reduced_features_are_left_out_and_counted(
        self, copy, source, tmp_path
    ) -> None:
        new = tmp_path / "new"
        save(Image.new("RGB", (50, 50), "red"), new / "apple" / "red.jpg")
        embed_part(open_store(new), open_store(copy), registry.load("embedded"), "more")
        result = command("outliers", copy, "--on", "reduced", "--json")
        assert "1 images have features but no reduced ones" in result.stderr
        assert json.loads(result.stdout)["searched"] == 62
        assert len(embedded.load(copy)) == 63

    def test_what_does_not_fit_memory_lies_in_a_file_and_gives_the_same(
        self, dest, monkeypatch
    ) -> None:
        expected = embedded.load(dest).vectors
        monkeypatch.setattr(embedded, "_MEMORY_SHARE", 0)
        mapped = embedded.load(dest)
        assert isinstance(mapped.vectors, np.memmap)
        np.testing.assert_array_equal(mapped.vectors, expected)
        assert featuremill.outliers(mapped) == featuremill.outliers(dest)

    def test_what_fits_neither_memory_nor_the_disk_is_refused(self, dest, monkeypatch) -> None:
        monkeypatch.setattr(embedded, "_MEMORY_SHARE", 0)
        monkeypatch.setattr(embedded.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**5))
        result = command("outliers", dest)
        assert result.exit_code == 1
        assert "0.0 GB of features fit neither memory nor" in result.stderr

    def test_a_damaged_record_of_the_run_is_no_hindrance(self, copy, source, names) -> None:
        (copy / "runs" / "run.json").write_text("{}")
        image = some_image(source, names[0])
        end = f"{names[0]}/{image.name}"
        assert featuremill.similar(copy, end) == featuremill.similar(copy, str(image))


@pytest.fixture(scope="module")
def copies(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three large drawings, two of them several times, and one picture of a folder `=1+1`."""
    from featuremill.images.synth import SynthConfig, write

    drawn = tmp_path_factory.mktemp("drawn")
    write(drawn, SynthConfig(classes=3, per_class=1, seed=5, size=320), workers=1)
    folder = tmp_path_factory.mktemp("copies") / "copies"
    for name, path in zip("abc", sorted(drawn.rglob("*.jpg")), strict=True):
        picture = Image.open(path)
        save(picture, folder / "all" / f"{name}.jpg")
        if name != "c":
            shutil.copy(folder / "all" / f"{name}.jpg", folder / "all" / f"{name}_again.jpg")
        if name == "a":
            save(halved(picture), folder / "all" / "a_half.jpg")
            save(picture, folder / "all" / "a_recompressed.jpg", quality=60)
            save(cropped(picture), folder / "=1+1" / "a_cropped.jpg")
    return folder


@pytest.fixture(scope="module")
def of_copies(copies: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Their results; neither is to be changed."""
    return results_of(copies, tmp_path_factory.mktemp("results") / "results", components=3)


@pytest.fixture
def changing(copies: Path, tmp_path: Path) -> tuple[Path, str]:
    """A source to be changed, and its results."""
    folder = Path(shutil.copytree(copies, tmp_path / "copies"))
    return folder, results_of(folder, tmp_path / "results", components=None)


def by_name(group: Any) -> list[str]:
    return [Path(member.path).stem for member in group.images]


class TestDuplicates:
    @pytest.mark.slow
    def test_groups_copies_and_near_ones_with_the_largest_first(self, of_copies) -> None:
        found = featuremill.duplicates(of_copies, threshold=0.97)
        near, exact = found.groups
        assert (near.kind, exact.kind) == ("near", "same bytes")
        assert by_name(near) == ["a", "a_again", "a_recompressed", "a_cropped", "a_half"]
        assert by_name(exact) == ["b", "b_again"]
        assert near.images[0].cosine == near.images[1].cosine == 1
        assert near.images[0].sha256 == near.images[1].sha256 is not None
        assert min(member.cosine for member in near.images) >= 0.97
        assert (found.searched, found.grouped) == (8, 7)

    def test_a_threshold_of_one_finds_what_has_the_same_features(self, of_copies) -> None:
        groups = featuremill.duplicates(of_copies, threshold=1).groups
        assert [by_name(group) for group in groups] == [["a", "a_again"], ["b", "b_again"]]

    def test_every_picture_of_a_set_that_is_there_twice(self, source, copy, tmp_path) -> None:
        again = Path(shutil.copytree(source, tmp_path / "again"))
        embed_part(open_store(again), open_store(copy), registry.load("embedded"), "again")
        found = featuremill.duplicates(copy, threshold=1)
        assert found.grouped == found.searched == 124
        assert {(len(group.images), group.kind) for group in found.groups} == {(2, "same bytes")}

    def test_on_reduced_features_too(self, of_copies) -> None:
        groups = featuremill.duplicates(of_copies, on=REDUCED, threshold=0.9999).groups
        assert ["b", "b_again"] in [by_name(group) for group in groups]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda path: path.unlink(), "cannot be read any more"),
            (lambda path: path.write_bytes(b"other"), "have changed since they were embedded"),
        ],
    )
    def test_a_file_that_cannot_be_compared_is_not_called_a_copy(
        self, changing, change: Callable[[Path], None], reason: str
    ) -> None:
        source, results = changing
        change(source / "all" / "b_again.jpg")
        shown = command("duplicates", results)
        group = featuremill.duplicates(results).groups[-1]
        assert by_name(group) == ["b", "b_again"]
        assert group.kind == "same features"
        assert group.images[1].sha256 is None
        assert f"unread    1 images that may be copies: {reason}" in shown.stdout

    def test_the_terminal_shows_groups_and_says_what_was_compared(self, of_copies) -> None:
        shown = command("duplicates", of_copies, "--threshold", "0.97", "--count", "1").stdout
        lines = shown.splitlines()
        assert lines[0] == "group 1: 5 images, near"
        assert re.search(r"  2  1\.0000  320 x 320 .* of 1  all .*/a_again\.jpg", lines[3])
        assert "and 1 more groups: --csv and --json have all" in lines
        assert "groups    2 of 7 images, 1 near, 1 same bytes" in lines
        assert "searched  8 images, features, cosine from 0.97" in lines
        assert any("a higher --threshold may say more" in line for line in lines)

    def test_the_csv_has_every_member_and_no_formula(self, of_copies, tmp_path) -> None:
        file = tmp_path / "groups.csv"
        shown = command("duplicates", of_copies, "--threshold", "0.97", "--csv", file)
        assert f"written   {file}" in shown.stdout
        rows = list(csv.DictReader(io.StringIO(file.read_text())))
        assert [row["group"] for row in rows] == ["1"] * 5 + ["2"] * 2
        assert {row["label"] for row in rows} == {"all", "'=1+1"}
        told = json.loads(command("duplicates", of_copies, "--threshold", "0.97", "--json").stdout)
        members = [member for group in told["groups"] for member in group["images"]]
        assert [row["path"] for row in rows] == [member["path"] for member in members]
        assert [float(row["cosine"]) for row in rows] == [member["cosine"] for member in members]

    def test_the_page_shows_the_first_groups(self, changing, tmp_path) -> None:
        source, results = changing
        page = tmp_path / "page.html"
        (source / "all" / "a_half.jpg").unlink()
        options = ["--threshold", "0.97", "--count", "1", "--html", page]
        assert command("duplicates", results, *options).exit_code == 0
        parsed = Parsed(page.read_text())
        assert len(parsed.pictures) == 4
        assert "The largest 1 are shown." in parsed.text
        assert "1 of the images cannot be read any more" in parsed.text

    @pytest.mark.parametrize("threshold", ["0", "-0.5", "1.01", "nan"])
    def test_a_threshold_out_of_bounds_is_refused(self, of_copies, threshold) -> None:
        said = refused("duplicates", of_copies, "--threshold", threshold)
        assert f"threshold is {float(threshold)}, it must be above 0 and at most 1" in said

    def test_a_model_that_nothing_is_known_of_needs_a_threshold(self, copy) -> None:
        network = copy / "model" / "network.json"
        held = json.loads(network.read_text())
        network.write_text(json.dumps({**held, "name": "of tomorrow"}))
        assert "Give it with --threshold." in refused("duplicates", copy)
        assert command("duplicates", copy, "--threshold", "0.97").exit_code == 0


def made(rows: list[tuple[str, float]]) -> embedded.Embedded:
    """Images of these labels at these angles, in degrees, as if a run had embedded them."""
    angles = np.radians([angle for _, angle in rows])
    images = {
        "path": [f"/in/{label}/{number:03}.jpg" for number, (label, _) in enumerate(rows)],
        "label": [label for label, _ in rows],
        "version": ["1"] * len(rows),
        "bytes": [1] * len(rows),
        "width": [1] * len(rows),
        "height": [1] * len(rows),
    }
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    network = {"name": "embedded"}
    return embedded.Embedded(
        open_store("nowhere"), "features", network, pa.table(images), vectors, None
    )


class TestOutliers:
    def test_the_best_evidence_of_a_wrong_label_comes_first(self) -> None:
        apples = [("apple", number / 10) for number in range(12)]
        pears = [("pear", 90 + number / 10) for number in range(12)]
        plums = [("plum", 45.0), ("plum", 93.0), ("plum", 92.0), ("quince", 0.6)]
        found = featuremill.outliers(made([*apples, *pears, *plums]))
        # only the plum among apples: the other two have each other, and a quince that is the only
        # one can have no quince beside it
        assert [Path(each.path).stem for each in found.mislabelled] == ["024"]
        # around the first plum lie 10 pears; around the pear and the apple 9 of a kind, but the
        # pear is nearer to them
        wrong = [("pear", 0.55), ("apple", 96.0), ("plum", 90.55), ("plum", 180.0)]
        found = featuremill.outliers(made([*apples, *pears, *wrong, ("quince", 0.6)]))
        assert [Path(each.path).stem for each in found.mislabelled] == ["026", "024", "025"]

    def test_the_picture_like_no_other_and_the_one_in_a_wrong_folder(self, dest, names) -> None:
        found = featuremill.outliers(dest, count=3)
        assert found.farthest[0].path.endswith("noise.jpg")
        stray = found.mislabelled[0]
        assert stray.path.endswith("stray.jpg")
        assert stray.label == names[0]
        assert max(stray.labels, key=stray.labels.__getitem__) == names[1]
        assert names[0] not in stray.labels
        assert sum(stray.labels.values()) == found.k == 10

    def test_the_accuracy_is_that_of_leaving_one_out(self, dest) -> None:
        loaded = embedded.load(dest)
        cosines = loaded.vectors @ loaded.vectors.T
        np.fill_diagonal(cosines, -1)
        labels = np.array(loaded.labels())
        nearest = labels[np.argsort(-cosines, axis=1, kind="stable")[:, :5]]
        votes = [max(list(row), key=list(row).count) for row in nearest]
        accuracy = featuremill.outliers(dest).accuracy
        assert accuracy is not None
        assert accuracy.share == pytest.approx(np.mean(labels == votes))
        assert accuracy.low < accuracy.share < accuracy.high

    def test_a_label_narrows_what_is_shown(self, dest, names) -> None:
        found = featuremill.outliers(dest, label=names[0], count=99)
        assert {each.label for each in found.farthest} == {names[0]}
        assert len(found.farthest) == 16

    def test_the_terminal_json_and_the_page(self, dest, tmp_path) -> None:
        page = tmp_path / "page.html"
        lines = command("outliers", dest, "--count", "2", "--html", page).stdout.splitlines()
        assert lines[0] == "farthest from all others"
        assert lines[2].endswith("noise.jpg")
        assert re.search(r"^perhaps mislabelled: [1-9]", lines[4])
        assert any(re.match(r"accuracy  \d+\.\d% of the labels .*95 % interval", x) for x in lines)
        assert "searched  62 images, features, 10 nearest of each" in lines
        told = json.loads(command("outliers", dest, "--count", "2", "--json").stdout)
        assert len(told["farthest"]) == 2
        assert told["mislabelled"][0]["path"].endswith("stray.jpg")
        assert "around it: " in Parsed(page.read_text()).text

    def test_one_class_has_no_accuracy_and_one_image_no_neighbours(self, tmp_path) -> None:
        for number in range(3):
            save(Image.new("RGB", (50, 50), (80 * number, 9, 9)), tmp_path / f"in/a/{number}.jpg")
        results = results_of(tmp_path / "in", tmp_path / "out", components=None)
        found = featuremill.outliers(results)
        assert found.accuracy is None
        assert not found.mislabelled
        assert found.k == 2
        alone = results_of(tmp_path / "in" / "a", tmp_path / "one", components=None)
        shutil.rmtree(tmp_path / "in")
        assert command("outliers", alone).exit_code == 0
        save(Image.new("RGB", (50, 50)), tmp_path / "single/a/0.jpg")
        single = results_of(tmp_path / "single", tmp_path / "lone", components=None)
        assert "only one image" in refused("outliers", single)


@pytest.mark.slow
def test_images_and_results_on_s3(source: Path, names, tmp_path: Path) -> None:
    with s3_server() as endpoint:
        client: Any = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
        location = {"LocationConstraint": REGION}
        client.create_bucket(Bucket="fruits", CreateBucketConfiguration=location)
        for path in [*sorted((source / names[0]).iterdir())[:5], source / names[0] / "stray.jpg"]:
            client.upload_file(str(path), "fruits", f"in/{names[0]}/{path.name}")
        stray = (source / names[0] / "stray.jpg").read_bytes()
        client.put_object(Bucket="fruits", Key="elsewhere/new.jpg", Body=stray)
        results = results_of("s3://fruits/in", "s3://fruits/out", endpoint_url=endpoint)
        address = ["--endpoint-url", endpoint]
        page = tmp_path / "page.html"
        told = command(
            *("similar", results, "s3a://fruits/elsewhere/new.jpg", "--json"),
            *("--html", page, *address),
        )
        assert json.loads(told.stdout)["neighbours"][0]["path"].endswith("/stray.jpg")
        assert len(Parsed(page.read_text()).pictures) == 7
        assert "gone since it was listed" in refused(
            "similar", results, "s3://fruits/nothing.jpg", *address
        )
        assert command("similar", results, "stray.jpg", *address).exit_code == 0


@pytest.fixture(scope="module")
def variants(shared_data: Path, tmp_path_factory) -> Path:
    """Photographs, and every one again: resized to half, recompressed or cropped by 5 %."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    changes: list[tuple[str, Callable[[Image.Image], Image.Image], int]] = [
        ("half", halved, 95),
        ("quality 60", lambda picture: picture, 60),
        ("cropped", cropped, 95),
    ]
    for label in ("apple", "banana", "orange"):
        paths = sorted((shared_data / "photos" / label).glob("*.jpg"))[:12]
        for number, path in enumerate(paths):
            picture = Image.fromarray(decode(path.read_bytes(), Limits()).pixels)
            (folder / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / label)
            name, change, quality = changes[number % 3]
            save(change(picture), folder / label / f"{path.stem} {name}.jpg", quality)
    return folder


@pytest.fixture(scope="module", params=["mobilenetv2", "embedded"])
def of_photos(variants, request, weights, tmp_path_factory) -> str:
    own = weights if request.param == "mobilenetv2" else None
    folder = tmp_path_factory.mktemp("results") / "results"
    return results_of(variants, folder, model=request.param, weights=own)


class TestRealPhotographs:
    """With real weights, on photographs that are not part of the project."""

    @pytest.mark.slow
    def test_a_photo_added_again_is_found_and_others_are_not(self, of_photos) -> None:
        groups = featuremill.duplicates(of_photos).groups
        together = [{re.split(r"[ .]", Path(m.path).name)[0] for m in g.images} for g in groups]
        right = [names for names in together if len(names) == 1]
        assert len(right) >= 35  # of 36
        assert len(together) - len(right) <= 1

    def test_the_neighbours_of_apples_are_apples(self, of_photos, variants) -> None:
        loaded = embedded.load(of_photos)
        apples = sorted(path.name for path in (variants / "apple").glob("apple_??.jpg"))
        found = [featuremill.similar(loaded, name, count=5).neighbours for name in apples]
        labels = [each.label for neighbours in found for each in neighbours]
        assert len(labels) > 40
        assert labels.count("apple") / len(labels) > 0.75

    def test_labels_are_mostly_those_of_the_neighbours(self, of_photos) -> None:
        shown = command("outliers", of_photos).stdout
        share = re.search(r"accuracy  ([\d.]+)%", shown)
        assert share is not None
        assert float(share[1]) > 85


@pytest.mark.parametrize("ask", [duplicates, outliers, load])
def test_loaded_features_are_not_searched_as_something_else(dest, ask) -> None:
    loaded = load(dest)
    assert ask(loaded).on == ask(loaded, on="features").on == "features"
    with pytest.raises(ConfigError, match="on is 'nonsense'"):
        ask(loaded, on="nonsense")
    with pytest.raises(ConfigError, match="on is 'reduced', but features are what is loaded"):
        ask(loaded, on="reduced")
    assert ask(load(dest, on="reduced")).on == "reduced"


@pytest.mark.parametrize("end", ["safetensors", "json"])
def test_reduced_features_of_a_damaged_pca(copy, end) -> None:
    file = copy / "model" / f"pca.{end}"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DestinationError, match=f"pca.{end} is damaged"):
        load(copy, on="reduced")
