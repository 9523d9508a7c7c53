"""Draws the slides of what came out of the run: its figures and its charts."""

from collections import defaultdict
from typing import Any, Final

import numpy as np
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN

from featuremill.dataset.ledger import RunRecord
from featuremill.export.slides import charts
from featuremill.export.slides.box import BODY, TITLE, Box
from featuremill.export.slides.canvas import Canvas, Paragraph
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.facts import Facts, Points, Told
from featuremill.export.slides.talk import Talk
from featuremill.export.slides.theme import Ink, put_at
from featuremill.export.slides.wording import Words, shortened
from featuremill.pca.components import PCA, VARIANCE_MARKS, components_needed
from featuremill.search.neighbors import mistakes

MOST_BARS: Final = 12
MOST_POINTS: Final = 1_200
"""Points of the plane; more are a sample."""
MOST_REASONS: Final = 6
MOST_MISTAKES: Final = 3

_NAME = 26


def cover(deck: Deck, facts: Facts, talk: Talk) -> None:
    """The title."""
    words, record = deck.words, facts.measured
    name, day = shortened(facts.name, 40), record.started[:10]
    title = talk.title or words("cover.default", name=name)
    foot = words("cover.foot", name=talk.title or name, day=day, run=record.run)
    deck.describe(title, talk.author or "featuremill", foot)
    page = deck.cover("cover", title=title)
    shape: Any = page.slide.shapes.title
    put_at(shape, TITLE._replace(top=2.35, height=1.5))
    shape.text_frame.vertical_anchor = MSO_ANCHOR.BOTTOM
    run = shape.text_frame.paragraphs[0].runs[0]
    Ink.PAPER.put(run.font.color)
    run.font.size = 12700 * 38
    page.stripe(Box(0, 0, 0.22, 7.5), Ink.TEAL)
    lines = [Paragraph(talk.author, 20, True, Ink.PAPER)] if talk.author else []
    what = words("cover.what", images=words.number(facts.images), features=_features(deck, facts))
    lines.append(Paragraph(what, 20, False, Ink.PANEL))
    page.text(Box(0.6, 4.05, 12.0, 1.1), lines, margin=0)
    page.text(
        Box(0.6, 6.5, 12.0, 0.4),
        words("cover.made", day=day, version=record.versions.get("featuremill", "")),
        size=13,
        ink=Ink.GREY,
        margin=0,
    )


def context(deck: Deck, facts: Facts, talk: Talk) -> None:
    """Show what it is about, and what makes it hard."""
    words = deck.words
    page = deck.page("context")
    told, problem = BODY.columns(5.2, 6.5, gap=0.45)
    said = talk.context or words(
        "context.default",
        name=shortened(facts.name, 40),
        images=words.number(facts.images),
        classes=words.number(len(facts.classes)),
        size=words.size(facts.image_bytes),
    )
    lines = [Paragraph(words("context.situation"), 16, True, Ink.TEAL), Paragraph(said, 15)]
    page.card(told, lines, anchor=MSO_ANCHOR.TOP)
    points = words.listed("context.points", features=words.number(facts.n_features))
    for box, point in zip(problem.rows(*[1] * len(points)), points, strict=True):
        lines = [Paragraph(point["name"], 16, True), Paragraph(point["what"], 14, False, Ink.MUTED)]
        page.card(box, lines, fill=Ink.PAPER, border=Ink.TEAL)


def _features(deck: Deck, facts: Facts) -> str:
    words, features = deck.words, deck.words.number(facts.n_features)
    if facts.pca is None:
        return words("cover.features", features=features)
    k = words.number(facts.pca.n_components_)
    return words("cover.components", features=features, k=k)


def glance(deck: Deck, facts: Facts) -> None:
    """Show the main figures."""
    words = deck.words
    page = deck.page("glance", model=facts.record.network.get("name", ""))
    speed = facts.measured.images_per_second
    figures = [
        (words.number(facts.images), words("glance.images")),
        (words.number(len(facts.classes)), words("glance.classes")),
        (words.number(facts.n_features), words("glance.features")),
        *([(words.number(speed), words("glance.speed"))] if speed else []),
        *(
            [
                (
                    words.percent(facts.variance_held),
                    words("glance.variance", k=words.number(facts.pca.n_components_)),
                )
            ]
            if facts.pca is not None
            else []
        ),
        (words.number(facts.rejects), words("glance.rejects")),
    ]
    area, below = BODY.rows(3.6, 0.9, gap=0.3)
    above = -(-len(figures) // 2)
    upper, lower = area.rows(1, 1, gap=0.25)
    boxes = upper.columns(*[1] * above) + lower.columns(*[1] * (len(figures) - above))
    for box, (figure, what) in zip(boxes, figures, strict=True):
        page.card(
            box, [Paragraph(figure, 38, True, Ink.TEAL), Paragraph(what, 15, False, Ink.MUTED)]
        )
    page.text(below, [Paragraph(line, 14) for line in _machine(deck, facts)], margin=0)


def _machine(deck: Deck, facts: Facts) -> list[str]:
    words, record = deck.words, facts.measured
    hardware = record.hardware
    said = words(
        "glance.machine",
        cpu=hardware.get("cpu", "?"),
        cores=hardware.get("cores", "?"),
        workers=_workers(words, record),
        run=record.run,
    )
    if record.parity is None:
        return [said]
    cosine = words.number(record.parity["smallest_cosine"], 5)
    compared = words.number(record.parity["compared"])
    precision = words.known("glance.precisions", record.parity["precision"])
    return [said, words("glance.parity", precision=precision, cosine=cosine, compared=compared)]


def _workers(words: Words, record: RunRecord) -> str:
    workers = record.workers or {"master": record.config.get("master"), "slots": 0}
    if workers["master"] is not None:
        return words("glance.spark", master=workers["master"])
    return words("glance.processes", slots=workers["slots"])


def classes(deck: Deck, facts: Facts) -> None:
    """Show how many images each class has."""
    words, found = deck.words, facts.classes
    section = "classes" if len(found) > 1 else "one_class"
    page = deck.page(section, classes=words.number(len(found)), images=words.number(facts.images))
    shown = [(shortened(label or "–", _NAME), float(count)) for label, count in found[:MOST_BARS]]
    chart, facts_box = BODY.columns(8.4, 3.4, gap=0.4)
    alt = words("classes.alt", classes=words.number(len(found)), images=words.number(facts.images))
    charts.bars(
        page, chart, shown, alt, series=words("classes.series"), pattern=words.pattern("#,##0")
    )
    counts = [count for _, count in found]
    figures = [
        (words.number(max(counts)), words("classes.largest")),
        (words.number(min(counts)), words("classes.smallest")),
        (words.size(facts.image_bytes), words("classes.bytes")),
    ]
    if rest := counts[MOST_BARS:]:
        name = words("classes.others", count=words.number(len(rest)))
        figures.insert(2, (words.number(sum(rest)), name))
    _figures(page, facts_box, figures)


def time(deck: Deck, facts: Facts) -> None:
    """Show how the time of the run is divided."""
    words, record = deck.words, facts.measured
    seconds = dict(record.seconds)
    # the workers are examined while the features' time is taken
    seconds["extract"] = max(0.0, seconds.get("extract", 0.0) - seconds.get("probe", 0.0))
    order = ("probe", "extract", "reduce", "write")
    shown = [(words(f"time.{stage}"), seconds[stage]) for stage in order if stage in seconds]
    total = sum(value for _, value in shown)
    page = deck.page("time", total=words.seconds(total), run=record.run)
    chart, facts_box = BODY.columns(8.4, 3.4, gap=0.4)
    alt = words("time.alt", stages=", ".join(f"{n} {words.seconds(v)}" for n, v in shown))
    pattern = words.pattern('0.0" s"')
    charts.bars(page, chart, shown, alt, series=words("time.series"), pattern=pattern)
    figures = [(words.seconds(total), words("time.total"))]
    if record.images_per_second:
        figures.append((words.number(record.images_per_second), words("time.speed")))
        figures.append((words.seconds(record.worker_seconds), words("time.work")))
    else:
        figures.append(("–", words("time.nothing_new")))
    _figures(page, facts_box, figures)


def variance(deck: Deck, facts: Facts, pca: PCA) -> None:
    """Show how much of the variance the components hold."""
    words, k = deck.words, pca.n_components_
    held = words.percent(facts.variance_held)
    page = deck.page("variance", k=words.number(k), held=held)
    cumulative = np.minimum(np.cumsum(pca.spectrum_), 1.0)
    needed = [(share, components_needed(pca.spectrum_, share)) for share in VARIANCE_MARKS]
    chart, table = BODY.columns(8.4, 3.4, gap=0.4)
    axes = (words("variance.series"), words("variance.across"), words("variance.up"))
    alt = words("variance.alt", k=words.number(k), held=held)
    charts.curve(page, chart, cumulative, [(k, words("variance.kept", held=held))], alt, axes)
    rows = [[words.percent(share, 0), words.number(count)] for share, count in needed]
    upper, lower = table.rows(1.9, 2.6, gap=0.3)
    page.card(
        upper,
        [
            Paragraph(held, 34, True, Ink.TEAL),
            Paragraph(words("variance.held_by", k=words.number(k)), 14, False, Ink.MUTED),
        ],
    )
    page.table(
        lower,
        [words("variance.share"), words("variance.needed")],
        rows,
        words("variance.table_alt"),
        widths=(1, 1.4),
        numbers=(1,),
        size=13,
        row=0.5,
    )


def plane(deck: Deck, facts: Facts, pca: PCA, points: Points) -> None:
    """Show images in the plane of the first two components."""
    words = deck.words
    largest = [label for label, _ in facts.classes[: len(charts.SERIES)]]
    others = words("plane.others")
    taken = _chosen(points, set(largest))
    clouds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in taken:
        label = points.labels[row]
        x, y = points.scores[row].tolist()
        clouds[label if label in largest else others].append((x, y))
    named = [
        (shortened(label or "–", 18), ink, clouds[label])
        for label, ink in zip(largest, charts.SERIES, strict=False)
        if clouds[label]
    ]
    if clouds[others]:
        named.append((others, Ink.GREY, clouds[others]))
    shares = [words.percent(share) for share in pca.explained_variance_ratio_[:2]]
    page = deck.page("plane", shown=words.number(len(taken)), images=words.number(facts.images))
    names = tuple(
        words("plane.axis", number=number, share=share)
        for number, share in enumerate(shares, start=1)
    )
    alt = words("plane.alt", shown=words.number(len(taken)), first=shares[0], second=shares[1])
    charts.plane(page, BODY, named, alt, (names[0], names[1]))


def _chosen(points: Points, largest: set[str]) -> list[int]:
    """Rows to be shown; among many classes, as many as half of them of those with a colour."""
    rows = np.random.default_rng(0).permutation(len(points.labels)).tolist()
    coloured = [row for row in rows if points.labels[row] in largest]
    others = [row for row in rows if points.labels[row] not in largest]
    coloured = coloured[: max(MOST_POINTS // 2, MOST_POINTS - len(others))]
    return coloured + others[: MOST_POINTS - len(coloured)]


def neighbours(deck: Deck, told: Told) -> None:
    """Show how often the nearest neighbours of an image have its class."""
    words, whole = deck.words, told.features
    share = words.percent(whole.accuracy)
    page = deck.page(
        "neighbours",
        share=share,
        k=whole.k,
        asked=words.number(whole.asked),
        among=words.number(told.among),
    )
    shown = [(words("neighbours.features"), whole.accuracy)]
    figures = [(share, words("neighbours.by_features", interval=_interval(deck, whole)))]
    if told.reduced is not None:
        reduced = told.reduced
        shown.append((words("neighbours.reduced"), reduced.accuracy))
        text = words("neighbours.by_reduced", interval=_interval(deck, reduced))
        figures.append((words.percent(reduced.accuracy), text))
    area = BODY._replace(height=1.45 * len(shown) + 0.2)
    chart, facts_box = area.columns(7.4, 4.4, gap=0.4)
    alt = words("neighbours.alt", share=share)
    charts.bars(
        page,
        chart,
        shown,
        alt,
        series=words("neighbours.series"),
        pattern=words.pattern('0.0"\u00a0"%'),
    )
    _figures(page, facts_box, figures)
    _mistakes(deck, page, told, area.bottom + 0.3)


def _mistakes(deck: Deck, page: Canvas, told: Told, top: float) -> None:
    """List which classes are taken for which, by the components where there are any."""
    words = deck.words
    wrong = mistakes((told.reduced or told.features).confusion)
    if not wrong:
        return
    rows = [
        [shortened(label, 40), shortened(taken_for, 40), words.number(count)]
        for label, taken_for, count in wrong[:MOST_MISTAKES]
    ]
    header = [words(f"neighbours.{name}") for name in ("label", "taken_for", "images")]
    box = BODY._replace(top=top)
    alt = words("neighbours.table_alt")
    page.table(box, header, rows, alt, widths=(4, 4, 1.4), numbers=(2,), row=0.34)


def _interval(deck: Deck, told: object) -> str:
    low, high = (deck.words.percent(getattr(told, name)) for name in ("low", "high"))
    return deck.words("neighbours.interval", low=low, high=high)


def ledger(deck: Deck, facts: Facts) -> None:
    """Show the ledger of the run, and why images were rejected."""
    words, counted = deck.words, facts.record.ledger
    page = deck.page("ledger", listed=words.number(counted.listed))
    sums, table = BODY.rows(1.5, 3.0, gap=0.3)
    parts = ("listed", "already_done", "already_rejected", "embedded", "rejected", "skipped")
    boxes = sums.columns(*[1] * len(parts), gap=0.42)
    for index, (box, part) in enumerate(zip(boxes, parts, strict=True)):
        ink = Ink.BLUE if not index else Ink.TEAL if part in ("embedded",) else Ink.TEXT
        lines = [
            Paragraph(words.number(getattr(counted, part)), 24, True, ink),
            Paragraph(words(f"ledger.{part}"), 12, False, Ink.MUTED),
        ]
        page.card(box, lines, align=PP_ALIGN.CENTER, margin=0.04)
        if index:
            sign = Box(box.left - 0.42, box.top, 0.42, box.height)
            page.text(
                sign,
                "=" if index == 1 else "+",
                size=20,
                bold=True,
                ink=Ink.MUTED,
                align=PP_ALIGN.CENTER,
                anchor=MSO_ANCHOR.MIDDLE,
                margin=0,
            )
    if not facts.reasons:
        page.card(
            table._replace(height=1.0),
            [Paragraph(words("ledger.none"), 16, True, Ink.TEAL)],
            fill=Ink.PAPER,
            border=Ink.TEAL,
        )
        return
    rows = [
        [
            words.known("ledger.stages", stage),
            shortened(words.reason(stage, reason), 80),
            words.number(count),
        ]
        for (stage, reason), count in facts.reasons[:MOST_REASONS]
    ]
    header = [words("ledger.stage"), words("ledger.reason"), words("ledger.images")]
    alt = words("ledger.alt", rejects=words.number(facts.rejects))
    page.table(table, header, rows, alt, widths=(2, 8, 1.4), numbers=(2,), size=13)


def _figures(page: Canvas, box: Box, figures: list[tuple[str, str]]) -> None:
    """Cards below each other, each a figure and what it is."""
    for place, (figure, what) in zip(box.rows(*[1] * len(figures)), figures, strict=True):
        page.card(
            place, [Paragraph(figure, 26, True, Ink.TEAL), Paragraph(what, 13, False, Ink.MUTED)]
        )
