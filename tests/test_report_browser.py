"""The report in a browser: everything the explorer offers, done as a person would do it."""

import io
import json
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import browser
from featuremill.dataset.reader import load_features
from featuremill.pca.saved import load_model
from featuremill.report import ReportData, gather, render
from featuremill.report.data import ClassFacts, FeatureFindings, ModelFacts, ShownImage
from featuremill.report.explorer import colourings, looks, pack
from featuremill.search.neighbors import nearest, unit_rows
from featuremill.storage import open_store
from without_spark import results_of

DRAWN = '!!document.querySelector("#plane .gl-canvas, #plane .scatterlayer .point")'
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    executable = browser.find()
    if executable is None:
        pytest.skip("no Chromium: scripts/setup-viewers.sh installs one")
    with browser.chromium(executable, tmp_path_factory.mktemp("profile")) as running:
        yield running


@dataclass
class Result:
    """A report, and what is known of its images without it, by path."""

    page: Path
    paths: list[str]
    labels: list[str]
    scores: np.ndarray


@pytest.fixture(scope="module")
def result(pictures, tmp_path_factory) -> Result:
    dest = tmp_path_factory.mktemp("shown") / "results"
    results_of(pictures, dest)
    store = open_store(dest)
    gather.rewrite_report(store)
    frame = load_features(dest).sort_values("path")
    scores = load_model(store).transform(np.stack(frame["features"])).astype(np.float32)
    return Result(dest / "report.html", list(frame["path"]), list(frame["label"]), scores)


def shown(chromium, path, *, before="", **size):
    """A page with its explorer drawn, the images' section in view."""
    page = chromium.blank(**size)
    if before:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=before)
    page.go(path.as_uri())
    page.wait_for(DRAWN)
    page.evaluate('document.getElementById("images").scrollIntoView({behavior: "instant"})')
    page.evaluate(SETTLED)
    return page


AS_AT_FIRST = """(async () => {
  for (const [id, value] of [["axis-x", 0], ["axis-y", 1], ["axis-z", -1]]) {
    document.getElementById(id).value = String(value);
  }
  document.getElementById("tool-move").click();
  await stage.show([0, 1]);
  choice.letGo();
  choice.deselect();
  pointer.leave();
  document.activeElement.blur();
  await stage.whole();
  document.getElementById("images").scrollIntoView({behavior: "instant"});
})()"""


@pytest.fixture(scope="module")
def opened(chromium, result):
    return shown(chromium, result.page)


@pytest.fixture
def page(opened):
    """The report as one opens it; no test may leave an error, or ask the network for anything."""
    # a tab behind another one draws nothing
    opened.call("Page.bringToFront")
    opened.look_like()
    opened.evaluate(AS_AT_FIRST)
    opened.evaluate(SETTLED)
    yield opened
    clean(opened)


@pytest.fixture
def changed(chromium, result):
    """The report in a tab of its own, in which a test may change what the browser does."""
    page = shown(chromium, result.page)
    yield page
    clean(page)
    page.close()


def clean(page):
    assert page.errors == []
    outside = [url for url in page.requests if not url.startswith(("data:", "blob:", "file:"))]
    assert outside == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1


def place_of(page, image):
    """Where a point is in the window."""
    return page.evaluate(
        f"""(() => {{
          const box = stage.frame.getBoundingClientRect();
          const [x, y] = plane.view.at({image});
          return [box.x + x, box.y + y];
        }})()"""
    )


def lonely(page, count):
    """An image whose point no other one comes near to."""
    far = "(a, b) => Math.hypot(...plane.view.at(a).map((at, axis) => at - plane.view.at(b)[axis]))"
    return page.evaluate(
        f"""(() => {{
          const all = [...Array({count}).keys()];
          const nearest = (a) => Math.min(...all.filter((b) => b !== a).map((b) => ({far})(a, b)));
          return all.map((a) => [nearest(a), a]).sort((a, b) => b[0] - a[0])[0][1];
        }})()"""
    )


def text_of(page, selector):
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")


def focus(page):
    page.evaluate("stage.place.focus({preventScroll: true})")


# Opening


def test_it_opens_without_errors_and_without_a_network(page, result):
    assert text_of(page, "h1").endswith("/pictures")
    assert page.evaluate("webgl") is True
    assert page.evaluate("images.count") == 60
    assert page.evaluate('document.getElementById("explorer-note").hidden')


def test_the_policy_stops_what_is_not_part_of_the_page(chromium, result):
    page = shown(chromium, result.page)
    refused = page.evaluate(
        """new Promise((done) => {
          document.addEventListener("securitypolicyviolation", (event) => done(event.blockedURI));
          document.body.append(Object.assign(new Image(), {src: "http://localhost:9/a.png"}));
        })"""
    )
    assert refused == "http://localhost:9/a.png"
    page.close()


def test_every_class_has_its_own_look(page, result):
    traces = page.evaluate(
        "stage.place.data.map((t) => [t.marker.color, t.marker.symbol, t.x.length])"
    )
    assert len({tuple(look) for *look, _ in traces}) == 4
    assert sorted(points for *_, points in traces) == [15] * 4


# The mouse


def test_hovering_shows_the_image(page, result):
    image = lonely(page, 60)
    page.hover(*place_of(page, image))
    page.wait_for('!document.getElementById("tip").hidden')
    said = text_of(page, "#tip")
    assert result.labels[image] in said
    assert Path(result.paths[image]).name in said
    x, y = place_of(page, image)
    page.hover(x, y - 2000)
    assert page.evaluate('document.getElementById("tip").hidden')


@pytest.mark.parametrize("image", [0, 17, 59])
def test_a_thumbnail_shows_the_image_that_it_stands_for(page, result, image):
    shot = page.evaluate(
        f"""(async () => {{
          const tile = pictures.of({image}, 96);
          const address = tile.style.backgroundImage.slice(5, -2);
          const picture = Object.assign(new Image(), {{src: address}});
          await picture.decode();
          const canvas = Object.assign(document.createElement("canvas"), {{width: 96, height: 96}});
          const [left, top] = tile.style.backgroundPosition.split(" ").map(Number.parseFloat);
          canvas.getContext("2d").drawImage(picture, left, top);
          return canvas.toDataURL("image/png");
        }})()"""
    )
    # the console would say so if the policy had refused the picture
    assert shot.startswith("data:image/png;base64,")
    seen = np.asarray(Image.open(io.BytesIO(b64decode(shot.partition(",")[2]))).convert("RGB"))
    real = np.asarray(Image.open(result.paths[image]).convert("RGB").resize((96, 96)))
    assert np.abs(seen.astype(int) - real).mean() < 12


def test_a_click_lists_the_nearest_images(page, result):
    image = lonely(page, 60)
    page.click(*place_of(page, image))
    page.wait_for(f"state.chosen === {image}")
    unit = unit_rows(result.scores)
    rows, cosines = nearest(unit[[image]], unit, 12, skip=np.array([image]))
    names = page.evaluate('[...document.querySelectorAll(".near .path")].map((e) => e.innerText)')
    expected = [Path(result.paths[row]).name for row in rows[0]]
    assert names[0] == expected[0]
    assert len(set(names) & set(expected)) >= 11  # scores are rounded to 8 bits
    told = page.evaluate('[...document.querySelectorAll(".near .note")].map((e) => e.innerText)')
    np.testing.assert_allclose([float(cosine) for cosine in told], cosines[0], atol=0.02)
    assert page.evaluate('document.querySelectorAll("#marks circle").length') == 13
    assert result.paths[image] in text_of(page, "#chosen").replace("\n", "")


def test_a_neighbour_leads_to_its_own_neighbours_and_back(page):
    page.evaluate("choice.choose(5)")
    first = page.evaluate("state.ringed[1]")
    page.click_on(".near li:first-child button")
    page.wait_for(f"state.chosen === {first}")
    page.evaluate('document.querySelector("#chosen button").click()')
    page.wait_for("state.chosen === 5")
    assert page.evaluate("state.before.length") == 0


def turn_wheel(page, selector):
    x, y = page.middle(selector)
    wheel = {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -120}
    page.call("Input.dispatchMouseEvent", **wheel)
    page.evaluate(SETTLED)


def test_the_wheel_zooms_once_the_plot_was_clicked(page):
    before = page.evaluate("plane.view.range.x")
    turn_wheel(page, "#plane")
    assert page.evaluate("plane.view.range.x") == before
    page.click(*place_of(page, lonely(page, 60)))
    turn_wheel(page, "#plane")
    page.wait_for(f"plane.view.range.x[0] > {before[0]}")


def test_dragging_moves_what_is_seen_and_is_no_click(page):
    before = page.evaluate("plane.view.range.x")
    x, y = page.middle("#plane")
    page.drag([(x, y), (x + 40, y), (x + 80, y), (x + 120, y)])
    page.wait_for(f"plane.view.range.x[0] < {before[0]}")
    assert page.evaluate("state.chosen") == -1
    page.evaluate("choice.choose(9)")
    x, y = page.evaluate("plane.view.at(9)")
    ring = 'document.querySelector(".ring.chosen")'
    ring = page.evaluate(f'["cx", "cy"].map((of) => Number({ring}.getAttribute(of)))')
    np.testing.assert_allclose(ring, [x, y], atol=0.01)


def test_the_lasso_selects_what_it_goes_round(page, result):
    page.click_on("#tool-lasso")
    page.middle("#stage")
    places = np.array([place_of(page, image) for image in range(60)])
    left, top = np.median(places, axis=0)
    right, bottom = places.max(axis=0) + 4
    sides = [
        *((x, top) for x in np.linspace(left, right, 12)),
        *((right, y) for y in np.linspace(top, bottom, 12)),
        *((x, bottom) for x in np.linspace(right, left, 12)),
        *((left, y) for y in np.linspace(bottom, top, 12)),
    ]
    inside = [n for n, (x, y) in enumerate(places) if left < x < right and top < y < bottom]
    assert 0 < len(inside) < 60
    page.drag(sides)
    page.wait_for("emphasis.any()")
    assert page.evaluate("emphasis.list(60)") == inside
    assert f"{len(inside)} images" in text_of(page, "#selection")
    counts = Counter(result.labels[image] for image in inside)
    label, count = counts.most_common(1)[0]
    assert f"{label} {count}" in text_of(page, "#selection .shares")
    faint = page.evaluate("stage.place.data.map((t) => t.unselected.marker.opacity)")
    assert set(faint) == {0.05}
    gallery = page.evaluate('document.querySelectorAll(".gallery .tile").length')
    assert gallery == len(inside)


def test_the_selection_can_be_saved(changed, result):
    changed.evaluate(
        """window.saved = new Promise((done) => {
          const make = URL.createObjectURL;
          URL.createObjectURL = (blob) => {
            if (blob.type === "text/csv") blob.text().then(done);
            return make(blob);
          };
          HTMLAnchorElement.prototype.click = () => {};
        });
        choice.selectClass(1); 0"""
    )
    changed.evaluate('document.querySelectorAll("#selection button")[0].click()')
    head, *lines = changed.evaluate("window.saved").splitlines()
    label = sorted(set(result.labels))[1]
    assert head == "path,label"
    assert lines == [
        f'"{path}","{label}"'
        for path, of in zip(result.paths, result.labels, strict=True)
        if of == label
    ]


# The controls


def test_searching_finds_words_of_paths_and_classes(page, result):
    label = result.labels[20]
    words = f"{label.upper()[:5]} _1"
    expected = [
        n
        for n, path in enumerate(result.paths)
        if words.split()[0].lower() in path and "_1" in path
    ]
    page.evaluate('document.getElementById("search").focus()')
    page.type(words)
    page.wait_for("emphasis.any()")
    assert page.evaluate("emphasis.list(60)") == expected
    assert f"{len(expected)} images" in text_of(page, "#selection")
    assert page.evaluate('document.getElementById("said").textContent').endswith("images")
    page.click_on(".gallery button")
    page.wait_for(f"state.chosen === {expected[0]}")


def test_a_search_without_success_says_so(page):
    page.evaluate('document.getElementById("search").focus()')
    page.type("nowhere to be found")
    page.wait_for('!document.getElementById("selection").hidden')
    assert "0 images" in text_of(page, "#selection")
    assert not page.evaluate("emphasis.any()")


def set_axis(page, axis, value):
    page.evaluate(
        f"""(() => {{
          const list = document.getElementById("axis-{axis}");
          list.value = "{value}";
          list.dispatchEvent(new Event("change"));
        }})()"""
    )


def test_axes_can_be_chosen(page, result):
    assert page.evaluate('document.getElementById("axis-x").options.length') == 12
    set_axis(page, "x", 4)
    set_axis(page, "y", 2)
    page.wait_for('stage.place.layout.xaxis.title.text.startsWith("component 5 (")')
    assert page.evaluate("stage.place.layout.yaxis.title.text").startswith("component 3 (")
    seen = np.array([page.evaluate(f"[plane.view.xs[{n}], plane.view.ys[{n}]]") for n in range(60)])
    expected = result.scores[:, [4, 2]]
    assert np.abs(seen - expected).max() <= np.abs(expected).max() / 30_000


def test_a_third_axis_gives_depth_and_can_be_taken_back(page, result):
    set_axis(page, "z", 2)
    page.wait_for('stage.place.querySelector(".gl-container canvas") && stage.place.layout.scene')
    assert page.evaluate("stage.place.data[0].type") == "scatter3d"
    assert page.evaluate("stage.place.data[0].x.length") == 60
    assert page.evaluate('document.getElementById("tool-lasso").disabled')
    page.wait_for("stage.place._ev?._events?.plotly_click")
    page.evaluate('stage.place.emit("plotly_click", {points: [{customdata: 7}]})')
    assert page.evaluate("state.chosen") == 7
    page.wait_for("stage.place.data[2].x.length === 13")
    focus(page)
    page.press("ArrowLeft", 37)
    page.wait_for("stage.place.layout.scene.camera?.eye")
    set_axis(page, "z", -1)
    page.wait_for('stage.place.data[0].type === "scattergl" && stage.place._ev?._events')
    assert page.evaluate('document.querySelectorAll("#marks circle").length') == 13
    before = page.evaluate("plane.view.range.x")
    focus(page)
    page.press("+", 187, "+")
    page.wait_for(f"plane.view.range.x[0] > {before[0]}")


def test_a_class_is_singled_out_from_the_legend_or_a_table(page, result):
    page.click_on("#legend li:nth-child(3) button")
    label = sorted(set(result.labels))[2]
    page.wait_for("emphasis.any()")
    assert page.evaluate("emphasis.list(60).map(images.labelOf)") == [label] * 15
    assert page.evaluate('document.getElementById("highlight").value') == "2"
    page.click_on("#legend li:nth-child(3) button")
    page.wait_for("!emphasis.any()")
    page.click_on("#classes tbody tr:nth-child(2) th a")
    page.wait_for("emphasis.any()")
    assert page.evaluate("new Set(emphasis.list(60).map(images.labelOf)).size") == 1


def test_the_grid_shows_all_images_or_those_selected_and_leads_to_the_file(changed, result):
    shown = "document.querySelectorAll('#grid .thumb').length"
    changed.click_on("#view-grid")
    assert changed.evaluate(shown) == 60
    changed.click_on("#legend li:nth-child(3) button")
    changed.wait_for(f"{shown} === 15")
    changed.click_on("#grid .thumb:nth-child(2)")
    changed.wait_for("state.chosen >= 0")
    path = changed.evaluate("images.path(state.chosen)")
    assert changed.evaluate("document.querySelector('#chosen a').href") == Path(path).as_uri()
    changed.click_on("#view-plot")
    assert changed.evaluate("document.getElementById('grid').hidden")


def test_points_can_have_the_colour_of_another_column(chromium, tmp_path):
    paths = [f"/a/{number}.jpg" for number in range(30)]
    scores = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    data = report_of(paths, ["a"] * 30, scores)
    runs = ["first"] * 20 + ["second"] * 10
    explorer = replace(data.explorer, colourings=colourings({"run": runs}))
    file = tmp_path / "runs.html"
    file.write_text(render(replace(data, explorer=explorer)), encoding="utf-8")
    page = shown(chromium, file)
    assert page.evaluate("stage.place.data.map((trace) => trace.x.length)") == [30]
    page.evaluate(
        "document.getElementById('colour').value = '1';"
        "document.getElementById('colour').dispatchEvent(new Event('change'))"
    )
    page.wait_for("stage.place.data.length === 2")
    assert page.evaluate("stage.place.data.map((trace) => trace.x.length)") == [20, 10]
    page.click_on("#legend li:nth-child(2) button")
    page.wait_for("emphasis.any()")
    assert page.evaluate("emphasis.list(60)") == list(range(20, 30))
    clean(page)
    page.close()


def test_a_picture_of_the_page_leads_to_its_neighbours(page, result):
    page.click_on("#outliers .groups li:nth-child(2) a")
    row = page.evaluate('Number(document.querySelectorAll("#outliers a[data-row]")[1].dataset.row)')
    page.wait_for(f"state.chosen === {row}")
    page.wait_for("stage.place.getBoundingClientRect().top < innerHeight")
    assert page.evaluate("document.activeElement === stage.place")


def test_tables_can_be_sorted(page):
    page.evaluate("[...document.querySelectorAll('#classes button.sort')][2].focus()")
    column = (
        "[...document.querySelectorAll('#classes tbody td:nth-child(4)')].map((e) => +e.innerText)"
    )
    for text, direction in ((" ", -1), (" ", 1)):
        page.press(" ", 32, text)
        values = page.evaluate(column)
        assert values == sorted(values, key=lambda value: direction * value)


def test_the_plot_can_be_saved_as_a_picture(changed):
    changed.evaluate(
        """window.named = new Promise((done) => {
          HTMLAnchorElement.prototype.click = function click() { done(this.download); };
        }); 0"""
    )
    changed.click_on("#save")
    assert changed.evaluate("window.named") == "images.png"


# The keyboard


def test_everything_goes_without_a_mouse(page):
    focus(page)
    page.press("Enter", 13)
    page.wait_for("state.chosen >= 0")
    first = page.evaluate("state.chosen")
    x = page.evaluate(f"plane.view.at({first})[0]")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", modifiers=8)
    page.wait_for(f"state.chosen !== {first}")
    assert page.evaluate("plane.view.at(state.chosen)[0]") > x
    before = page.evaluate("plane.view.range")
    page.press("ArrowUp", 38)
    page.wait_for(f"plane.view.range.y[0] > {before['y'][0]}")
    page.press("-", 189, "-")
    page.wait_for(f"plane.view.range.x[0] < {before['x'][0]}")
    page.press("0", 48, "0")
    page.wait_for(f"plane.view.range.x[0] === {before['x'][0]}")
    page.press("Escape", 27)
    page.wait_for("state.chosen === -1")


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(page):
    page.evaluate('document.querySelector("#images h2").setAttribute("tabindex", "-1")')
    page.evaluate('document.querySelector("#images h2").focus()')
    reached = []
    for _ in range(16):
        page.press("Tab", 9)
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached[:15] == [
        *("axis-x", "axis-y", "axis-z", "view-plot", "view-grid", "tool-move", "tool-lasso"),
        *("zoom-in", "zoom-out", "zoom-whole", "highlight", "search", "save", "plane"),
        "",
    ]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_what_is_chosen_is_told_to_readers_of_the_screen(page, result):
    page.evaluate("choice.choose(0)")
    said = page.evaluate('document.getElementById("said").textContent')
    assert said.startswith(f"Chosen: {result.labels[0]}: ")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    unnamed = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored")
        and node["role"]["value"] in ("button", "combobox", "searchbox", "image", "link")
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []


# Other circumstances


def colour(page, of, name="color"):
    return page.evaluate(f"getComputedStyle(document.querySelector('{of}'))['{name}']")


def test_it_is_dark_where_dark_is_preferred(page):
    light = colour(page, "body", "background-color")
    assert page.evaluate("stage.place.layout.font.color") == "#1f1d1a"
    page.look_like(scheme="dark")
    page.wait_for('stage.place.layout.font.color === "#ece8df"')
    dark = colour(page, "body", "background-color")
    assert (light, dark) == ("rgb(251, 250, 247)", "rgb(23, 22, 20)")


def test_it_prints_with_everything_unfolded_and_nothing_cut(page, tmp_path):
    page.look_like(media="print")
    page.wait_for("stage.place.layout.width <= 660")
    page.wait_for('document.querySelector("#confusion .main-svg, #variance .main-svg")')
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.pdf(tmp_path / "report.pdf")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 4
    page.look_like()
    page.wait_for("stage.place.layout.width > 660")


def test_it_fits_a_phone(chromium, result):
    page = chromium.blank()
    page.size(390, 844, touch=True)
    page.go(result.page.as_uri())
    page.wait_for(DRAWN)
    page.evaluate("choice.choose(3)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("stage.place.layout.dragmode") is False  # a finger scrolls the page
    clean(page)
    page.close()


NO_WEBGL = """
  const ask = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function getContext(kind, ...rest) {
    return /webgl/.test(kind) ? null : ask.call(this, kind, ...rest);
  };
"""


def test_without_webgl_it_says_so_and_goes_on(chromium, result):
    page = shown(chromium, result.page, before=NO_WEBGL)
    assert page.evaluate("stage.place.data[0].type") == "scatter"
    assert page.evaluate('document.getElementById("axis-z").parentNode.hidden')
    page.click(*place_of(page, lonely(page, 60)))
    page.wait_for("state.chosen >= 0")
    clean(page)
    page.close()


def report_of(paths, labels, scores):
    """A report of images that do not exist."""
    names = sorted(set(labels))
    k = scores.shape[1]
    shares = np.linspace(0.3, 0.01, k) / k
    styles = looks(range(len(names)), np.empty((len(names), 0), np.int64))
    explorer = pack(paths, labels, scores, shares, names, styles)
    counts = Counter(labels)
    return ReportData(
        title="made up",
        source="/nowhere",
        dest="/nowhere",
        run="run",
        started="today",
        ledger=dict.fromkeys(
            ("listed", "already_done", "already_rejected", "embedded", "rejected", "skipped"), 0
        ),
        timings={},
        images_per_second=None,
        hardware={},
        versions={},
        model=ModelFacts("m", "m", "fp32", True, "MIT", "0"),
        features=1280,
        spectrum=shares / shares.sum(),
        k=k,
        found=FeatureFindings(
            classes=[ClassFacts(name, counts[name], [0]) for name in names[:50]],
            labels=len(names),
            shown=len(paths),
            total=len(paths),
            confusion={(name, names[-1]): 1 for name in names},
        ),
        pictures={0: ShownImage(paths[0], labels[0])},
        explorer=explorer,
    )


def many(count):
    random = np.random.default_rng(0)
    of = np.sort(random.integers(131, size=count))
    centres = random.normal(size=(131, 50)) * 3
    scores = (centres[of] + random.normal(size=(count, 50))).astype(np.float32)
    labels = [f"class {label:03}" for label in of]
    return report_of([f"/far/{label}/{n}.jpg" for n, label in enumerate(labels)], labels, scores)


def test_a_hundred_thousand_points_are_drawn_and_searched(chromium, tmp_path):
    file = tmp_path / "many.html"
    file.write_text(render(many(100_000)), encoding="utf-8")
    assert file.stat().st_size < 20_000_000  # room for thumbnails is left
    page = shown(chromium, file)
    assert page.evaluate("stage.place.data.reduce((sum, t) => sum + t.x.length, 0)") == 100_000
    for doing, most in (
        ("neighbours.of(50000, 12).length", 2000),
        ('find("class 007").length', 2000),
        ("plane.view.nearest(300, 300, 14)", 500),
        ("plane.view.inside([[100, 100], [500, 100], [500, 400], [100, 400]]).length", 2000),
    ):
        start = "const start = performance.now()"
        spent = page.evaluate(
            f"(() => {{ {start}; {doing}; return performance.now() - start; }})()"
        )
        assert spent < most, doing  # milliseconds on a busy machine; a tenth of it elsewhere
    page.evaluate("choice.choose(70000)")
    assert page.evaluate('document.querySelectorAll(".near li").length') == 12
    clean(page)
    page.close()


def test_without_webgl_a_part_of_very_many_points_is_drawn(chromium, tmp_path):
    file = tmp_path / "many.html"
    file.write_text(render(many(9_000)), encoding="utf-8")
    page = shown(chromium, file, before=NO_WEBGL)
    assert "3,000 of 9,000 points are drawn" in text_of(page, "#explorer-note")
    assert page.evaluate("neighbours.of(8999, 3).length") == 3
    clean(page)
    page.close()


HOSTILE = [
    "</script><script>boom()</script>",
    "<img src=x onerror=boom()>",
    "\"onmouseover='boom()'",
    "__proto__",
    "--accent",
    "{{ 7 * 7 }} ${boom()} %{x} ",
]


def test_names_never_become_markup(chromium, tmp_path):
    labels = [label for label in HOSTILE for _ in range(5)]
    paths = [f"/{label}/{label} {n}" for n, label in enumerate(labels)]
    scores = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    file = tmp_path / "hostile.html"
    data = report_of(paths, labels, scores)
    explorer = replace(data.explorer, labels=sorted(HOSTILE))
    file.write_text(render(replace(data, explorer=explorer, title=HOSTILE[1])), encoding="utf-8")
    page = shown(chromium, file, before="window.booms = 0; window.boom = () => { booms += 1; };")
    for image in range(30):
        page.evaluate(f"choice.choose({image})")
        assert paths[image].replace(" ", "") in text_of(page, "#chosen .path").replace(" ", "")
    for label in range(len(HOSTILE)):
        page.evaluate(f"choice.selectClass({label})")
        assert sorted(HOSTILE)[label].strip() == text_of(page, "#selection h3")
    page.hover(*place_of(page, 3))
    page.evaluate("drawFigures().then(() => 0)")
    assert "--accent" in page.evaluate('document.getElementById("confusion").data[0].y')
    assert page.evaluate("window.booms") == 0
    assert (
        page.evaluate('document.querySelectorAll("[onerror], [onmouseover], img[src=x]").length')
        == 0
    )
    assert page.evaluate("document.title") == f"{HOSTILE[1]}, featuremill"
    clean(page)
    page.close()
