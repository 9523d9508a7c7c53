"""Slides say what the run says, in shapes that can be edited, and nothing runs out of its box."""

import importlib.util
import json
import re
import shutil
import string
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from pptx import Presentation
from pptx.enum.chart import XL_CHART_TYPE
from pptx.enum.shapes import MSO_SHAPE_TYPE

from featuremill._utils.formatting import tenths
from featuremill.cli import main
from featuremill.cloud.pricing.prices import load
from featuremill.dataset.ledger import Ledger, RunRecord, load_latest
from featuremill.errors import ConfigError, DestinationError
from featuremill.export.slides import LANGUAGES, write_slides
from featuremill.export.slides import results as figures
from featuremill.export.slides.facts import gather
from featuremill.export.slides.wording import Words
from featuremill.storage import open_store
from outputs import features
from stand_in import REGION, s3_server
from without_spark import results_of

TEXTS = Path(figures.__file__).parent / "texts"
EMU = 914_400
POINT = EMU / 72
SPEED, WORKED = 123.4, 61.5
K = 12


def as_after_a_run(dest: Path, **changes: Any) -> Path:
    """Give a destination the record of a run that embedded all of its images."""
    record = load_latest(open_store(dest))
    assert record is not None
    values: dict[str, Any] = {
        "ledger": Ledger(listed=63, embedded=60, rejected=2, skipped=1),
        "seconds": {"extract": 5.5, "probe": 2.5, "reduce": 1.25, "write": 0.75},
        "images_per_second": SPEED,
        "worker_seconds": WORKED,
        "chunks": 3,
        "parity": {"precision": "mixed", "smallest_cosine": 0.99951, "compared": 32},
    }
    replace(record, **{**values, **changes}).save(open_store(dest))
    return dest


@pytest.fixture(scope="module")
def dest(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with a PCA."""
    folder = tmp_path_factory.mktemp("slides") / "results"
    return as_after_a_run(Path(results_of(pictures, folder, components=K)))


@pytest.fixture(scope="module")
def decks(dest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The presentation in each language."""
    folder = tmp_path_factory.mktemp("decks")
    files = {language: folder / f"{language}.pptx" for language in LANGUAGES}
    for language, file in files.items():
        write_slides(dest, file, language=language)
    return files


def leaves(shapes: Any) -> Iterator[Any]:
    """Every shape, groups taken apart."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from leaves(shape.shapes)
        else:
            yield shape


def text_of(shape: Any) -> str:
    """All that is written in a shape; of a slide number, what it will be."""
    if shape.has_text_frame:
        return shape.text_frame.text
    if getattr(shape, "has_table", False) and shape.has_table:
        return "\n".join(cell.text for row in shape.table.rows for cell in row.cells)
    return ""


def words_of(file: Path) -> str:
    """All text of a presentation's slides."""
    slides = Presentation(str(file)).slides
    return "\n".join(text_of(shape) for slide in slides for shape in leaves(slide.shapes))


def titles(file: Path) -> list[str]:
    return [slide.shapes.title.text for slide in Presentation(str(file)).slides]


def charts_of(file: Path) -> list[Any]:
    slides = Presentation(str(file)).slides
    return [shape.chart for slide in slides for shape in slide.shapes if shape.has_chart]


@pytest.mark.slow
def test_figures_are_those_of_the_run(dest: Path, decks: dict[str, Path]) -> None:
    text, facts = words_of(decks["en"]), gather(open_store(dest))
    assert facts.pca is not None
    held = f"{tenths(facts.pca.explained_variance_ratio_.sum()):.1f}\u00a0%"
    for said in ("60 images, 1,280 features each", f"in {K} components", held, "123", "0.99951"):
        assert said in text
    assert "Where the time went: 7.5\u00a0s" in titles(decks["en"])
    # of a core of this machine, a vCPU is taken to do half; rejected images took time too
    assert f"{62 / WORKED / 2:.1f} images/s" in text
    assert "1,280" not in words_of(decks["fr"])
    assert "1\u00a0280" in words_of(decks["fr"])


def test_charts_are_native_and_hold_the_numbers_of_the_tables(
    dest: Path, decks: dict[str, Path]
) -> None:
    classes, time, variance, plane, _ = charts_of(decks["en"])
    counts = Counter(features(dest)["label"])
    [bars] = classes.plots[0].series
    assert dict(zip(classes.plots[0].categories, bars.values, strict=True)) == counts
    assert list(time.plots[0].series[0].values) == [2.5, 3.0, 1.25, 0.75]
    spectrum = gather(open_store(dest)).pca.spectrum_  # type: ignore[union-attr]
    curve, kept = (list(series.values) for series in variance.plots[0].series)
    assert curve[0] == pytest.approx(100 * spectrum[0])
    assert kept == pytest.approx([100 * spectrum[:K].sum()])
    assert plane.chart_type is XL_CHART_TYPE.XY_SCATTER
    assert {series.name: len(list(series.values)) for series in plane.plots[0].series} == counts


@pytest.mark.slow
def test_a_plane_of_many_images_stays_small(
    dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST_POINTS", 20)
    write_slides(dest, tmp_path / "few.pptx")
    plane = charts_of(tmp_path / "few.pptx")[3]
    assert sum(len(list(series.values)) for series in plane.plots[0].series) == 20


def test_both_languages_have_the_same_slides(decks: dict[str, Path]) -> None:
    kinds = [
        [[shape.shape_type for shape in leaves(slide.shapes)] for slide in deck.slides]
        for deck in (Presentation(str(file)) for file in decks.values())
    ]
    assert kinds[0] == kinds[1]
    assert not set(titles(decks["en"])) & set(titles(decks["fr"]))


def shape_of(value: Any, key: str = "") -> Any:
    """Keys, lengths of lists and names of values; of a text just what stands in braces."""
    if isinstance(value, dict):
        return {name: shape_of(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [shape_of(part) for part in value]
    return {name for _, name, _, _ in string.Formatter().parse(value) if name}


def test_every_text_has_its_translation() -> None:
    english, french = (
        tomllib.loads((TEXTS / f"{name}.toml").read_text("utf-8")) for name in LANGUAGES
    )
    assert shape_of(english) == shape_of(french)


def test_every_line_of_a_bill_has_a_name_in_each_language(dest: Path) -> None:
    known = gather(open_store(dest)).cost
    assert known.bill is not None
    for language in LANGUAGES:
        words = Words(language)
        assert {line.what for line in known.bill.lines} <= set(words.raw("cost.lines"))
        assert {line.price.unit for line in known.bill.lines} <= set(words.raw("cost.units"))
        assert {price.item for price in known.prices} <= set(words.raw("prices.items"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_notes_alt_texts_and_titles_are_complete(language: str, decks: dict[str, Path]) -> None:
    for slide in Presentation(str(decks[language])).slides:
        assert len(slide.notes_slide.notes_text_frame.text) > 60
        assert slide.shapes.title.text
        for shape in slide.shapes:
            is_picture = shape.shape_type == MSO_SHAPE_TYPE.PICTURE
            is_drawn = shape.has_chart or hasattr(shape, "shapes")
            if is_picture or is_drawn or getattr(shape, "has_table", False):
                described = shape._element.xpath(".//p:cNvPr")[0].get("descr")
                assert described, (slide.shapes.title.text, shape.name)
        assert not re.search(r"[{}]", "".join(text_of(shape) for shape in leaves(slide.shapes)))


def boxes_of(slide: Any) -> list[tuple[Any, tuple[float, float, float, float]]]:
    """Shapes that hold text, with left, top, right and bottom in points."""
    found = []
    for shape in leaves(slide.shapes):
        # a line has no area, and no text
        if shape.has_chart or text_of(shape).strip():
            left, top = shape.left / POINT, shape.top / POINT
            box = (left, top, left + shape.width / POINT, top + shape.height / POINT)
            found.append((shape, box))
    return found


def within(inner: tuple[float, ...], outer: tuple[float, ...], slack: float) -> bool:
    return (
        inner[0] >= outer[0] - slack
        and inner[1] >= outer[1] - slack
        and inner[2] <= outer[2] + slack
        and inner[3] <= outer[3] + slack
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_shapes_lie_on_the_slide_and_apart(language: str, decks: dict[str, Path]) -> None:
    for slide in Presentation(str(decks[language])).slides:
        boxes = boxes_of(slide)
        for index, (shape, box) in enumerate(boxes):
            assert within(box, (0, 0, 960, 540), 0), (slide.shapes.title.text, text_of(shape))
            for other, place in boxes[:index]:
                apart = (
                    min(box[2], place[2]) - max(box[0], place[0]) < 0.5
                    or min(box[3], place[3]) - max(box[1], place[1]) < 0.5
                )
                assert apart, (slide.shapes.title.text, text_of(shape), text_of(other))


def rendered(file: Path, folder: Path) -> list[list[tuple[str, tuple[float, ...]]]]:
    """Words of every page as LibreOffice draws them, with their boxes in points."""
    office = shutil.which("soffice")
    if office is None or shutil.which("pdftotext") is None:
        pytest.skip("no LibreOffice or no Poppler (scripts/setup-viewers.sh installs them)")
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    command = [office, profile, "--headless", "--convert-to", "pdf", "--outdir", str(folder)]
    subprocess.run([*command, str(file)], check=True, capture_output=True, timeout=200)
    pdf = folder / f"{file.stem}.pdf"
    answer = subprocess.run(["pdftotext", "-bbox", str(pdf), "-"], check=True, capture_output=True)
    space = {"h": "http://www.w3.org/1999/xhtml"}
    pages = ET.fromstring(answer.stdout).iterfind(".//h:page", space)
    sides = ("xMin", "yMin", "xMax", "yMax")
    return [
        [
            (word.text or "", tuple(float(word.attrib[side]) for side in sides))
            for word in page.iterfind("h:word", space)
        ]
        for page in pages
    ]


def test_a_diagram_is_a_group_around_its_shapes(decks: dict[str, Path]) -> None:
    for slide in Presentation(str(decks["en"])).slides:
        for group in (shape for shape in slide.shapes if hasattr(shape, "shapes")):
            parts = list(group.shapes)
            assert group.left == min(part.left for part in parts)
            assert group.left + group.width == max(part.left + part.width for part in parts)
            assert group.top + group.height == max(part.top + part.height for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_rendered_no_word_is_broken_or_leaves_its_box(
    language: str, decks: dict[str, Path], tmp_path: Path
) -> None:
    pages = rendered(decks[language], tmp_path)
    slides = list(Presentation(str(decks[language])).slides)
    assert len(pages) == len(slides)
    for slide, words in zip(slides, pages, strict=True):
        boxes = boxes_of(slide)
        assert len(words) > 5
        for word, place in words:
            assert any(
                # a word's box has room for ascenders and descenders that it may lack
                within(place, box, 2 + 0.16 * (place[3] - place[1]))
                and (shape.has_chart or "‹#›" in text_of(shape) or word in text_of(shape).split())
                for shape, box in boxes
            ), (slide.shapes.title.text, word, place)


def test_without_a_pca_there_are_fewer_slides(
    pictures: Path, decks: dict[str, Path], tmp_path: Path
) -> None:
    dest = as_after_a_run(Path(results_of(pictures, tmp_path / "results", components=None)))
    written = write_slides(dest, tmp_path / "deck.pptx")
    found = titles(tmp_path / "deck.pptx")
    assert written.pages == len(found) == len(titles(decks["en"])) - 3
    assert not any("component" in title for title in found[4:])
    assert "featuremill run SRC DEST" in words_of(tmp_path / "deck.pptx")


def test_where_a_run_tells_no_speed_there_are_prices_and_no_estimate(
    dest: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(dest, tmp_path / "results"))
    nothing_new = Ledger(listed=60, already_done=60)
    as_after_a_run(copied, ledger=nothing_new, images_per_second=None, worker_seconds=0.0, chunks=0)
    write_slides(copied, tmp_path / "deck.pptx")
    text = words_of(tmp_path / "deck.pptx")
    assert "What AWS charges for a run" in text
    assert "nothing new" in text
    assert "What these" not in text


def shown_in(file: Path) -> list[list[str | bytes]]:
    """Texts and pictures of each slide."""
    return [
        [
            shape.image.sha1 if shape.shape_type == MSO_SHAPE_TYPE.PICTURE else text_of(shape)
            for shape in leaves(slide.shapes)
        ]
        for slide in Presentation(str(file)).slides
    ]


def test_a_second_run_that_found_everything_done_gives_the_same_slides(
    dest: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(dest, tmp_path / "results"))
    write_slides(copied, tmp_path / "first.pptx")
    as_after_a_run(
        copied,
        run="run2",
        ledger=Ledger(listed=63, already_done=60, already_rejected=2, skipped=1),
        seconds={"extract": 0.03},
        images_per_second=None,
        worker_seconds=0.0,
        chunks=0,
        parity=None,
        hardware={"cpu": "another"},
    )
    write_slides(copied, tmp_path / "deck.pptx")
    assert shown_in(tmp_path / "deck.pptx") == shown_in(tmp_path / "first.pptx")


def pictures_of(file: Path, title: str) -> list[Any]:
    [slide] = [
        slide for slide in Presentation(str(file)).slides if slide.shapes.title.text == title
    ]
    return [shape for shape in slide.shapes if shape.shape_type == MSO_SHAPE_TYPE.PICTURE]


def test_images_of_each_class_and_their_neighbours_are_shown(
    dest: Path, decks: dict[str, Path]
) -> None:
    classes = set(features(dest)["label"])
    montage = pictures_of(decks["en"], "What the classes look like")
    described = [shape._element.xpath(".//p:cNvPr")[0].get("descr") for shape in montage]
    assert set(described) == classes
    assert len(montage) == 4 * len(classes)
    found = pictures_of(decks["en"], "What the network finds alike")
    assert len(found) == 6 * min(3, len(classes))


def test_where_the_images_are_gone_there_are_no_slides_of_them(
    pictures: Path, decks: dict[str, Path], tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    dest = as_after_a_run(Path(results_of(copied, tmp_path / "results", components=K)))
    shutil.rmtree(copied)
    write_slides(dest, tmp_path / "deck.pptx")
    left_out = [
        title for title in titles(decks["en"]) if title not in titles(tmp_path / "deck.pptx")
    ]
    assert left_out == ["What the classes look like", "What the network finds alike"]


def test_the_architecture_that_was_used_comes_first(dest: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(dest, tmp_path / "results"))
    kickers = {"here.pptx": [], "cloud.pptx": []}
    for name, master in (("here.pptx", None), ("cloud.pptx", "yarn")):
        as_after_a_run(copied, workers={"master": master, "slots": 2, "description": "two"})
        write_slides(copied, tmp_path / name)
        lines = words_of(tmp_path / name).splitlines()
        kickers[name] = [line for line in lines if re.match("(USED BY THIS RUN|OUTLOOK) ·", line)]
    assert kickers["here.pptx"] == [
        "USED BY THIS RUN · ONE MACHINE",
        "OUTLOOK · AWS",
        "OUTLOOK · AWS",
    ]
    assert kickers["cloud.pptx"] == [
        "USED BY THIS RUN · AWS",
        "USED BY THIS RUN · AWS",
        "OUTLOOK · ONE MACHINE",
    ]


def test_title_author_and_context_are_those_given(dest: Path, tmp_path: Path) -> None:
    given = {"title": "Fruits!", "author": "A. Martin", "context": "Robots pick fruit."}
    write_slides(dest, tmp_path / "deck.pptx", **given)
    deck = Presentation(str(tmp_path / "deck.pptx"))
    assert titles(tmp_path / "deck.pptx")[0] == "Fruits!"
    assert (deck.core_properties.title, deck.core_properties.author) == ("Fruits!", "A. Martin")
    assert {"A. Martin", "Robots pick fruit."} <= set(words_of(tmp_path / "deck.pptx").splitlines())


def test_no_reason_of_a_rejection_is_left_in_english() -> None:
    words = Words("fr")
    assert words.reason("decode", "the file is empty") == "le fichier est vide"
    assert words.reason("decode", "cannot identify image file") == words.raw(
        "ledger.reasons.decode"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            "the tasks of run run took 7.0\u00a0s, and less than 60\u00a0s tell no speed."
            " Taken instead: 0.5 of 106.4 images/s, a core's speed in benchmarks/RESULTS.md",
        ),
        (
            "fr",
            "les tâches de l'exécution run ont pris 7,0\u00a0s, et moins de 60\u00a0s ne donnent"
            " pas de vitesse. Pris à la place : 0,5 de 106,4 images/s",
        ),
    ],
)
def test_no_cost_is_extrapolated_from_a_run_of_seconds(
    language: str, said: str, dest: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(dest, tmp_path / "results"))
    as_after_a_run(copied, worker_seconds=7.0, seconds={"extract": 9.0, "reduce": 8.1})
    write_slides(copied, tmp_path / "deck.pptx", language=language)
    assert said in words_of(tmp_path / "deck.pptx")
    million = gather(open_store(copied)).cost.million
    assert million is not None
    assert million.throughput.per_vcpu == 53.2
    assert million.usd() < 1


def test_what_a_run_does_once_is_not_multiplied_by_the_images(dest: Path) -> None:
    known = gather(open_store(dest)).cost
    assert known.bill is not None
    assert known.million is not None
    # by its own speed, but 2 s for PCA and outputs of 60 images are no 9 hours of a million
    assert known.million.throughput.per_vcpu == pytest.approx(62 / WORKED / 2)
    embedding = 1_000_000 / known.million.throughput.per_vcpu / known.million.slots
    assert known.million.seconds - embedding < 300


def test_prices_come_with_their_dates_and_sources(decks: dict[str, Path]) -> None:
    price = load("eu-west-1").serverless("x86_64", "vcpu_hour")
    text = words_of(decks["en"])
    assert str(price.usd) in text
    assert price.date in text
    assert price.source in text
    assert str(price.usd).replace(".", ",") in words_of(decks["fr"])


def test_next_steps_follow_from_the_run(dest: Path, decks: dict[str, Path]) -> None:
    assert "featuremill cloud up" in words_of(decks["en"])
    held = gather(open_store(dest)).variance_held
    assert ("--variance 0.9" in words_of(decks["en"])) == (held < 0.9)


def test_nothing_is_replaced_unless_told(dest: Path, tmp_path: Path) -> None:
    deck = tmp_path / "deck.pptx"
    deck.write_bytes(b"mine")
    with pytest.raises(DestinationError, match=r"deck\.pptx is there already\n.*--overwrite"):
        write_slides(dest, deck)
    assert deck.read_bytes() == b"mine"
    write_slides(dest, deck, overwrite=True)
    assert len(titles(deck)) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "de"}, "--language is 'de'\nChoose one of en, fr"),
        ({"output": "deck.ppt"}, r"does not end in \.pptx"),
        ({"context": "x" * 601}, "--context has 601 characters, the slide has room for 600"),
    ],
)
def test_options_out_of_bounds_are_refused(
    options: dict[str, str], message: str, dest: Path, tmp_path: Path
) -> None:
    output = tmp_path / options.pop("output", "deck.pptx")
    with pytest.raises(ConfigError, match=message):
        write_slides(dest, output, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="holds no features"):
        write_slides(tmp_path / "results", tmp_path / "deck.pptx")


def test_without_python_pptx_the_error_says_how_to_install_it(
    dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"Install the extra 'slides': .* -m pip install"):
        write_slides(dest, tmp_path / "deck.pptx")


@pytest.mark.slow
def test_results_and_slides_may_lie_on_s3(
    dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    with s3_server() as endpoint:
        bucket = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
        where = {"LocationConstraint": REGION}
        bucket.create_bucket(Bucket="fruits", CreateBucketConfiguration=where)
        for file in dest.rglob("*"):
            if file.is_file():
                bucket.upload_file(str(file), "fruits", f"results/{file.relative_to(dest)}")
        options = {"endpoint_url": endpoint, "region": REGION}
        written = write_slides("s3://fruits/results", "s3://fruits/deck.pptx", **options)
        assert written.url == "s3://fruits/deck.pptx"
        bucket.download_file("fruits", "deck.pptx", str(tmp_path / "deck.pptx"))
    text = words_of(tmp_path / "deck.pptx")
    assert "s3://fruits/results" in text
    assert f"EMR Serverless in {REGION}" in text


def test_the_command_says_what_it_wrote(dest: Path, tmp_path: Path) -> None:
    deck = tmp_path / "deck.pptx"
    command = ["slides", str(dest), "-o", str(deck), "--language", "fr"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert re.search(
        rf"^written   {re.escape(str(deck))} \(22 slides, 0\.\d MB\)$", done.stdout, re.M
    )
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_the_record_that_tests_write_is_one_a_run_could_have_left(dest: Path) -> None:
    record = load_latest(open_store(dest))
    assert isinstance(record, RunRecord)
    record.ledger.check()
    assert json.dumps(record.seconds)
