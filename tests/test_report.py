"""The report is one file that fetches nothing, shows what it was given and escapes everything."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from featuremill.report import ModelFacts, Parity, Point, Rejected, ReportData, render

JPEG = b"\xff\xd8\xff\xe0 not a real picture \xff\xd9"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


class Page(HTMLParser):
    """A parsed report: its elements, its visible text and its scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.words, self._inside = [], [], [], ""
        self.feed(html)
        self.text = re.sub("[ \n]+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self._inside = tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def figures(self):
        return json.loads(self.scripts[0]) if self.scripts else {}


@pytest.fixture
def data():
    spectrum = np.full(300, 0.1 / 299)
    spectrum[0] = 0.9
    classes = {f"class {i:03}": 500 - i for i in range(131)}
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
        hardware={"CPU": "Xeon with AMX"},
        versions={"Python": "3.12.3"},
        model=ModelFacts("mobilenetv2", "m-77ab", "mixed", True, "Apache-2.0", "f8aff695"),
        features=1280,
        classes=classes,
        thumbnails={"class 000": [("class 000/1.jpg", JPEG)]},
        parity=Parity(0.999213, 64),
        spectrum=spectrum,
        k=50,
        points=[Point("class 000/1.jpg", "class 000", 1.5, -2.25), Point("b/2", "b", 0.0, 1.0)],
        points_total=12321,
    )


def test_it_shows_the_numbers_it_was_given(data):
    text = Page(render(data)).text
    for shown in (
        "12,321 images in 131 classes became 1,280 features each, reduced to 50 components",
        "91.6\u202f% of the variance",
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
        "A sample of 2 of 12,321 images",
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
    curve, marks, kept = page.figures["variance"]["data"]
    np.testing.assert_allclose(curve["y"], 100 * np.cumsum(data.spectrum), rtol=1e-4)
    assert marks["x"] == [50, 80, 256, 1, 151, 271]
    assert kept["x"] == [50]


def test_a_share_just_short_of_the_whole_is_not_called_100_percent(data):
    text = Page(render(replace(data, spectrum=np.array([0.9996, 0.0004]), k=1))).text
    assert "1 component that holds 99.9\u202f% of the variance" in text
    assert "first 50" not in text


def test_points_carry_label_and_path(data):
    everyone, highlight = Page(render(data)).figures["plane"]["data"]
    assert everyone["x"] == [1.5, 0.0]
    assert everyone["y"] == [-2.25, 1.0]
    assert everyone["customdata"] == [["class 000", "class 000/1.jpg"], ["b", "b/2"]]
    assert len(set(everyone["marker"]["color"])) == 2
    assert highlight["x"] == []


def test_points_that_are_not_finite_are_left_out(data):
    points = [*data.points, Point("c/3", "c", float("nan"), 0.0)]
    everyone, _ = Page(render(replace(data, points=points))).figures["plane"]["data"]
    assert len(everyone["x"]) == 2


def test_it_fetches_nothing(data):
    page = Page(render(data))
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attrs.get(name) or "#").startswith(("#", "data:"))
    style = render(data).partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")


def test_the_policy_allows_the_scripts_of_the_page_and_no_other(data):
    from base64 import b64encode
    from hashlib import sha256

    page = Page(render(data))
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    executed = [b64encode(sha256(s.encode()).digest()).decode() for s in page.scripts[1:]]
    assert allowed == executed
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]


def test_hostile_names_stay_text(data):
    hostile = replace(
        data,
        title=HOSTILE,
        source=HOSTILE,
        run=HOSTILE,
        hardware={HOSTILE: HOSTILE},
        timings={HOSTILE: 1.0},
        classes={HOSTILE: 3, "plain": 2},
        thumbnails={HOSTILE: [(HOSTILE, JPEG)]},
        skipped_by_reason={HOSTILE: 1},
        rejects_by_reason={("decode", HOSTILE): 1},
        rejected=[Rejected(HOSTILE, "decode", HOSTILE)],
        points=[Point(HOSTILE, HOSTILE, 0.0, 0.0)],
    )
    plain, page = Page(render(data)), Page(render(hostile))
    assert len(page.scripts) == len(plain.scripts) == 3
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert all(image["src"].startswith("data:image/jpeg") for image in page.all("img"))
    assert HOSTILE in " ".join(page.words)
    assert "<" not in page.scripts[0]
    label, path = page.figures["plane"]["data"][0]["customdata"][0]
    assert "<" not in label + path  # plotly renders some HTML in hover labels
    assert label in [option["value"] for option in page.all("option")]  # or it cannot highlight


def test_untrained_weights_are_announced(data):
    words = "Untrained weights: features carry no meaning"
    assert words not in Page(render(data)).text
    untrained = replace(data, model=data.model._replace(trained=False))
    assert words in Page(render(untrained)).text.partition("became")[0]


def test_many_classes_are_folded_but_there(data):
    page = Page(render(data))
    assert "107 more classes, of 476 images or fewer" in page.text
    assert "class 130" in page.text
    assert len(page.all("option")) == 132


def test_thumbnails_have_alternative_texts(data):
    (image,) = Page(render(data)).all("img")
    assert image["alt"] == "class 000: 1.jpg"
    assert image["title"] == "class 000/1.jpg"


def test_without_a_pca_there_are_no_plots_and_no_scripts(data):
    html = render(replace(data, spectrum=None, k=0, points=()))
    page = Page(html)
    assert "no components were computed" in page.text
    assert page.scripts == []
    assert "variance" not in page.text
    assert len(html) < 100_000


def test_a_run_with_one_class_and_no_rejects(data):
    ledger = dict.fromkeys(data.ledger, 0) | {"listed": 1, "embedded": 1}
    page = Page(
        render(
            replace(
                data,
                ledger=ledger,
                classes={"apple": 1},
                rejects_by_reason={},
                rejected=[],
                skipped_by_reason={},
                parity=None,
                spectrum=np.array([1.0]),
                k=1,
                points=[],
            )
        )
    )
    assert "1 image in 1 class became 1,280 features each, reduced to 1 component" in page.text
    assert "100.0\u202f% of the variance" in page.text
    assert "No image was rejected." in page.text
    assert "cosine" not in page.text
    assert list(page.figures) == ["variance"]


def test_an_empty_run_still_has_a_report(data):
    empty = replace(
        data,
        ledger=dict.fromkeys(data.ledger, 0),
        classes={},
        thumbnails={},
        rejects_by_reason={},
        rejected=[],
        timings={},
        images_per_second=None,
        spectrum=None,
        k=0,
        points=(),
    )
    assert "0 images in 0 classes" in Page(render(empty)).text


def test_every_link_within_the_page_leads_somewhere(data):
    page = Page(render(data))
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= ids
    assert {label["for"] for label in page.all("label")} <= ids


def test_importing_the_report_loads_neither_plotly_nor_jinja2():
    code = "import sys, featuremill.report; print({'plotly', 'jinja2'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "set()"
