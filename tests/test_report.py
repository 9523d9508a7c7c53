"""The report is one file that fetches nothing, shows what it was given and escapes everything."""

import importlib.util
import json
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest

from featuremill._utils.formatting import cosine, hours
from featuremill.errors import RunError
from featuremill.images.thumbnails import Sheets, Tile
from featuremill.report import ReportData, page, render
from featuremill.report.data import (
    AxisEnds,
    ClassFacts,
    FeatureFindings,
    LabelAccuracy,
    ModelFacts,
    OutlierRow,
    PrecisionParity,
    Rejected,
    ShownImage,
)
from featuremill.report.explorer import Look, pack
from featuremill.search.similar_pairs import RowGroup

WEBP = b"RIFF \x00\x00 not a real picture WEBP"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


class Page(HTMLParser):
    """A parsed report: its elements, its visible text and its scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.words, self.data = [], [], [], {}
        self._inside, self._id = "", None
        self.feed(html)
        self.text = re.sub("[ \n]+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self._inside, attrs = tag, dict(attrs)
        self._id = attrs.get("id") if tag == "script" and "type" in attrs else None
        self.elements.append((tag, attrs))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            if self._id is None:
                self.scripts.append(data)
            else:
                self.data[self._id] = data
        elif self._inside != "style":
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def json(self, name):
        return json.loads(self.data[name])


def explorer_of(labels, paths):
    """An explorer of images with random scores on 5 components."""
    scores = np.random.default_rng(0).normal(size=(len(paths), 5)).astype(np.float32)
    names = sorted(set(labels))
    shares = np.array([0.5, 0.2, 0.1, 0.05, 0.05])
    return pack(paths, labels, scores, shares, names, [Look(0, 0)] * len(names))


@pytest.fixture
def data():
    spectrum = np.full(300, 0.1 / 299)
    spectrum[0] = 0.9
    labels = [f"class {i:03}" for i in range(131)]
    paths = [f"s3://fruit/training/{label}/{n}.jpg" for label in labels for n in range(3)]
    of = [label for label in labels for _ in range(3)]
    classes = [ClassFacts(label, 500 - i, [3 * i]) for i, label in enumerate(labels)]
    classes[0] = ClassFacts(
        labels[0], 500, [0, 1], 0.8129, labels[7], 0.951, asked=15, right=14, mistaken=labels[7]
    )
    return ReportData(
        title="Fruit",
        source="s3://fruit/training",
        dest="s3://fruit/out",
        run="run-17",
        started="12 April 2026, 10:15 UTC",
        ledger={
            "listed": 12345,
            "already_done": 2000,
            "already_rejected": 1,
            "embedded": 10321,
            "rejected": 3,
            "skipped": 20,
        },
        skipped_by_reason={"not an image (.txt)": 19, "empty file": 1},
        rejects_by_reason={("decode", "truncated JPEG"): 3, ("fetch", "vanished"): 1},
        rejected=[Rejected(f"a/{i}.jpg", "decode", "truncated JPEG") for i in range(4)],
        timings={"list": 2.1, "extract": 187.0},
        images_per_second=544.3,
        worker_hours=0.1034,
        hardware={"processor": "Xeon with AMX"},
        versions={"Python": "3.12.3"},
        warnings=["no image of class kiwi in s3://fruit/training"],
        model=ModelFacts("mobilenetv2", "m-77ab", "mixed", True, "Apache-2.0", "f8aff695"),
        features=1280,
        parity=PrecisionParity(0.999213, 64),
        spectrum=spectrum,
        k=50,
        found=FeatureFindings(
            classes=classes,
            labels=131,
            shown=393,
            total=12321,
            accuracy=[
                LabelAccuracy("1,280 features", 0.97, 0.961, 0.977),
                LabelAccuracy("50 components", 0.9625, 0.953, 0.97),
            ],
            asked=200,
            neighbours=5,
            confusion={(labels[0], labels[0]): 14, (labels[0], labels[7]): 1},
            axes=[AxisEnds(1, 0.9, [0, 1], [2, 3])],
            alike=[RowGroup((4, 5), 0.9999, 0.9999), RowGroup(tuple(range(6, 16)), 0.9987, 0.96)],
            pairs={0.99: 12, 0.999: None},
            outliers=[OutlierRow(0.41, 20)],
        ),
        pictures={row: ShownImage(paths[row], of[row], WEBP) for row in range(393)},
        explorer=explorer_of(of, paths),
        sheets=Sheets(48, "image/avif", [b"a sheet"], [[Tile(2, 48, 30), Tile(0, 20, 48)]]),
    )


def bare(data, **changes):
    """The same run without anything that its features would tell."""
    nothing = {"explorer": None, "sheets": None, "pictures": {}, "found": FeatureFindings()}
    return replace(data, **{**nothing, "spectrum": None, "k": 0, **changes})


# What it says


def test_it_shows_the_numbers_it_was_given(data):
    text = Page(render(data)).text
    for shown in (
        "12,321 images in 131 classes became 1,280 features each, reduced to 50 components",
        "91.6\u202f% of the variance",
        "k-NN accuracy 96.2\u202f%",
        "544",
        "s3://fruit/training",
        "run-17",
        "12 April 2026",
        "Xeon with AMX",
        "3.12.3",
        "mixed",
        "f8aff695",
        "0.999213",
        "64 images",
        "3\u202fmin 7\u202fs",
        "2.10\u202fs",
        "A sample of 393 of 12,321 images",
        "no image of class kiwi",
    ):
        assert shown in text


def test_the_ledger_is_a_balanced_equation(data):
    text = Page(render(data)).text
    assert (
        "listed 12,345 = already done 2,000 + already rejected 1 + "
        "embedded 10,321 + rejected 3 + skipped 20 The ledger balances."
    ) in text
    lost = replace(data, ledger={**data.ledger, "listed": 12346})
    assert "The ledger does not balance" in Page(render(lost)).text


def test_marks_stand_where_the_curve_says(data):
    page = Page(render(data))
    for row in (
        "kept 50 91.6\u202f%",
        "first 50 50 91.6\u202f%",
        "first 80 80 92.6\u202f%",
        "first 256 256 98.5\u202f%",
        "at least 90 % 1 90.0\u202f%",
        "at least 95 % 151 95.0\u202f%",
        "at least 99 % 271 99.0\u202f%",
    ):
        assert row in page.text
    curve, marks, kept = page.json("figures")["variance"]["data"]
    np.testing.assert_allclose(curve["y"], 100 * np.cumsum(data.spectrum), rtol=1e-4)
    assert marks["x"] == [50, 80, 256, 1, 151, 271]
    assert kept["x"] == [50]


def test_a_share_just_short_of_the_whole_is_not_called_100_percent(data):
    text = Page(render(replace(data, spectrum=np.array([0.9996, 0.0004]), k=1))).text
    assert "1 component that holds 99.9\u202f% of the variance" in text
    assert "first 50" not in text


def test_it_says_what_the_reduction_costs_and_how_sure_that_is(data):
    text = Page(render(data)).text
    assert "Asked were 200 images, drawn at random, against all 393" in text
    assert "1,280 features 97.0\u202f% 96.1\u202f% to 97.7\u202f%" in text
    assert "50 components 96.2\u202f% 95.3\u202f% to 97.0\u202f%" in text
    assert "The reduction costs 0.8 percentage points." in text
    better = [LabelAccuracy("a", 0.9, 0.8, 0.95), LabelAccuracy("b", 0.92, 0.82, 0.97)]
    text = Page(render(replace(data, found=replace(data.found, accuracy=better)))).text
    assert "The reduction gains 2.0 percentage points." in text


def test_a_class_has_its_neighbour_and_its_mistakes(data):
    page = Page(render(data))
    assert "class 000 500 0.813 class 007 0.951 14 of 15 class 007" in page.text
    assert "class 000 class 007 1 of 15" in page.text
    grid = page.json("figures")["confusion"]["data"][0]
    assert grid["y"] == ["class 000", "class 007"]
    assert grid["z"] == [[93.3, 6.7], [None, None]]
    assert (grid["text"], grid["texttemplate"]) == ([["14", "1"], ["", ""]], "%{text}")


def test_one_class_needs_no_neighbours(data):
    alone = FeatureFindings(
        classes=[ClassFacts("apple", 3)],
        labels=1,
        shown=3,
        total=3,
        left_out={"neighbours": "all images are of one class"},
    )
    page = Page(render(replace(data, found=alone)))
    assert "Not asked: all images are of one class." in page.text
    assert "confusion" not in page.json("figures")


def test_many_classes_are_folded_but_there(data):
    page = Page(render(data))
    assert "107 more classes, of 476 images or fewer" in page.text
    assert "class 130" in page.text


def test_what_is_alike_is_shown_with_its_cosine(data):
    text = Page(render(data)).text
    assert "12 pairs have 0.99 or more; More than 20,000 pairs have 0.999 or more." in text
    assert "0.9999, class 001" in text
    assert "0.9987 to 0.960, 10 images, class 002, class 003" in text


def test_what_could_not_be_looked_for_says_why(data):
    reasons = {"alike": "they need 3 components", "outliers": "they need 3 components"}
    found = replace(data.found, alike=[], outliers=[], left_out=reasons)
    text = Page(render(replace(data, found=found))).text
    assert "Near-duplicates were not looked for: they need 3 components." in text
    assert "Outliers were not looked for: they need 3 components." in text


def test_it_invents_no_cost(data):
    text = Page(render(data)).text
    assert "The tasks of this run took 0.1 core-hours. What that cost is not known here" in text
    assert not re.search(r"[$€]|USD|EUR", text)


def test_it_says_how_many_images_have_a_thumbnail_and_why_others_do_not(data):
    assert "2 of 393 images have a thumbnail." in Page(render(data)).text
    sheets = replace(data.sheets, missing={"changed since they were embedded": 7}, left_out=384)
    text = Page(render(replace(data, sheets=sheets))).text
    assert (
        "2 of 393 images have a thumbnail; without one are"
        " 7 (changed since they were embedded), 384 (no room in this file)."
    ) in text
    text = Page(render(replace(data, sheets=None, unreachable="access denied"))).text
    assert "No thumbnails: s3://fruit/training could not be read (access denied)." in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.99999, "0.9999"), (1.0, "1.0000"), (0.95449, "0.954"), (0.0, "0.000"), (-0.2, "−0.20")],
)
def test_only_equals_have_a_cosine_of_1(value, text):
    assert cosine(value) == text


def test_core_hours_are_short():
    assert [hours(value) for value in (0.00213, 0.25, 12.4, 1234.5)] == [
        "0.0021",
        "0.25",
        "12",
        "1,234",
    ]


# What it carries


def test_the_explorer_carries_every_image(data):
    packed = Page(render(data)).json("explorer-data")
    paths = [start + name + end for start, _, end, names in packed["folders"] for name in names]
    assert paths == [picture.path for picture in data.pictures.values()]
    labels = [packed["labels"][of] for _, of, _, names in packed["folders"] for _ in names]
    assert labels == [picture.label for picture in data.pictures.values()]


def test_the_explorer_knows_which_tile_is_whose(data):
    page = Page(render(data))
    sheets = page.json("sheets-data")
    place = np.frombuffer(b64decode(sheets["place"]), "<i4")
    size = np.frombuffer(b64decode(sheets["size"]), np.uint8).reshape(-1, 2)
    assert place[:4].tolist() == [1, -1, 0, -1]
    assert size[[0, 2]].tolist() == [[20, 48], [48, 30]]
    assert b64decode(page.data["sheet-0"]) == b"a sheet"


def test_pictures_have_alternative_texts_and_lead_to_the_explorer(data):
    page = Page(render(data))
    links = [attrs for attrs in page.all("a") if "data-row" in attrs]
    images = page.all("img")
    assert len(images) == len(links)
    by_row = {int(link["data-row"]): image for link, image in zip(links, images, strict=True)}
    assert by_row[20]["alt"] == "class 006: 2.jpg"
    assert b64decode(by_row[20]["src"].partition(",")[2]) == WEBP


def test_an_image_that_could_not_be_read_is_named(data):
    pictures = {row: picture._replace(image=None) for row, picture in data.pictures.items()}
    page = Page(render(replace(data, pictures=pictures)))
    assert page.all("img") == []
    assert "2.jpg 0.410 class 006" in page.text


# What it does not do


def test_it_fetches_nothing(data):
    html = render(data)
    page = Page(html)
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attrs.get(name) or "#").startswith(("#", "data:"))
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")


def test_the_policy_allows_the_scripts_of_the_page_and_no_other(data):
    page = Page(render(data))
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    executed = [b64encode(sha256(s.encode()).digest()).decode() for s in page.scripts]
    assert len(executed) > 10
    assert allowed == executed
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]


def test_hostile_names_stay_text(data):
    paths = [f"{HOSTILE}/{HOSTILE}", "b/c"]
    labels = [HOSTILE, "b"]
    facts = ClassFacts(HOSTILE, 3, [0], 0.5, HOSTILE, 0.5, 1, 0, HOSTILE)
    hostile = replace(
        data,
        title=HOSTILE,
        source=HOSTILE,
        run=HOSTILE,
        unreachable=HOSTILE,
        warnings=[HOSTILE],
        hardware={HOSTILE: HOSTILE},
        timings={HOSTILE: 1.0},
        skipped_by_reason={HOSTILE: 1},
        rejects_by_reason={("decode", HOSTILE): 1},
        rejected=[Rejected(HOSTILE, "decode", HOSTILE)],
        explorer=explorer_of(labels, paths),
        sheets=None,
        pictures={0: ShownImage(paths[0], HOSTILE, WEBP), 1: ShownImage(paths[1], "b", None)},
        found=FeatureFindings(
            classes=[facts, ClassFacts("b", 2, [1])],
            labels=2,
            accuracy=[LabelAccuracy(HOSTILE, 1, 1, 1)],
            confusion={(HOSTILE, "b"): 1},
            axes=[AxisEnds(1, 0.5, [0], [1])],
            alike=[RowGroup((0, 1), 1.0, 1.0)],
            outliers=[OutlierRow(0.5, 0)],
            left_out={"neighbours": HOSTILE},
        ),
    )
    plain, page = Page(render(data)), Page(render(hostile))
    assert page.scripts == plain.scripts
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert all(image["src"].startswith("data:image/webp") for image in page.all("img"))
    assert HOSTILE in " ".join(page.words)
    assert page.json("explorer-data")["labels"] == sorted(labels)
    for data_block in page.data.values():
        assert "<" not in data_block
    # plotly renders some HTML in its labels
    assert "<" not in str(page.json("figures")["confusion"]["data"][0]["y"])
    assert HOSTILE in [link.get("data-label") for link in page.all("a")]


def test_untrained_weights_are_announced(data):
    words = "Untrained weights: features carry no meaning"
    assert words not in Page(render(data)).text
    untrained = replace(data, model=data.model._replace(trained=False))
    assert words in Page(render(untrained)).text.partition("became")[0]


def test_without_a_pca_there_are_no_plots_and_no_scripts(data):
    html = render(bare(data))
    page = Page(html)
    assert "no components were computed" in page.text
    assert page.scripts == []
    assert "variance" not in page.text
    assert len(html) < 100_000


def test_a_run_with_one_component_and_no_rejects(data):
    ledger = dict.fromkeys(data.ledger, 0) | {"listed": 1, "embedded": 1}
    page = Page(
        render(
            bare(
                data,
                ledger=ledger,
                found=FeatureFindings(classes=[ClassFacts("apple", 1)], labels=1, shown=1, total=1),
                rejects_by_reason={},
                rejected=[],
                skipped_by_reason={},
                parity=None,
                spectrum=np.array([1.0]),
                k=1,
            )
        )
    )
    assert "1 image in 1 class became 1,280 features each, reduced to 1 component" in page.text
    assert "100.0\u202f% of the variance" in page.text
    assert "No image was rejected." in page.text
    assert "compared with float32" not in page.text
    assert list(page.json("figures")) == ["variance"]


def test_an_empty_run_still_has_a_report(data):
    empty = bare(
        data,
        ledger=dict.fromkeys(data.ledger, 0),
        rejects_by_reason={},
        rejected=[],
        timings={},
        images_per_second=None,
    )
    assert "0 images in 0 classes" in Page(render(empty)).text


def test_every_link_within_the_page_leads_somewhere(data):
    page = Page(render(data))
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= ids
    assert {use["href"].removeprefix("#") for use in page.all("use")} <= ids
    described = {attrs.get("aria-describedby", "keys") for _, attrs in page.elements}
    assert described <= ids


def test_a_checkout_that_was_never_installed_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "__file__", str(tmp_path / "page.py"))
    assert page.plotly_js().read_bytes().startswith(b"/**\n* plotly.js v")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="this checkout was never installed") as refused:
        page.plotly_js()
    assert "`make demo`" in refused.value.remedy


def test_importing_the_report_loads_neither_plotly_nor_jinja2():
    code = "import sys, featuremill.report; print({'plotly', 'jinja2'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "set()"
