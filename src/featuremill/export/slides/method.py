"""Draws the slides of how it works: the chain of steps, and why it is as it is."""

from typing import Final

from pptx.enum.text import MSO_ANCHOR, PP_ALIGN

from featuremill.export.slides.box import BODY, Box
from featuremill.export.slides.canvas import Canvas, Paragraph
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.facts import Facts
from featuremill.export.slides.theme import Ink
from featuremill.pca.components import PCA

_STEPS_A_ROW: Final = 5
_BYTES = 8
"""Bytes of a number in float64."""


def chain(deck: Deck, facts: Facts) -> None:
    """Show every step from a path to a component, in the colour of where it runs."""
    words = deck.words
    page = deck.page("chain", features=words.number(facts.n_features))
    places = {"driver": Ink.BLUE, "workers": Ink.TEAL}
    legend, area = BODY.rows(0.36, 4.2, gap=0.2)
    for box, (place, ink) in zip(legend.columns(1, 1, 1.2), places.items(), strict=False):
        page.stripe(Box(box.left, box.top + 0.1, 0.2, 0.2), ink)
        text = Box(box.left + 0.3, box.top, box.width - 0.3, box.height)
        page.text(text, words(f"chain.{place}"), size=13, anchor=MSO_ANCHOR.MIDDLE)
    steps = words.listed("chain.steps", features=words.number(facts.n_features))
    boxes = area.grid(_STEPS_A_ROW, 2, gap=0.4)
    with page.group(words("chain.alt")):
        for index, (box, step) in enumerate(zip(boxes, steps, strict=True)):
            ink = places[step["where"]]
            lines = [
                Paragraph(f"{index + 1}  {step['name']}", 17, True, ink),
                Paragraph(step["what"], 14),
            ]
            page.card(box, lines, border=ink, fill=Ink.PAPER, anchor=MSO_ANCHOR.TOP)
            if (index + 1) % _STEPS_A_ROW:
                page.arrow(box.at(1, 0.5), boxes[(index + 1) % len(boxes)].at(0, 0.5))


def paths(deck: Deck) -> None:
    """Show why the network travels once and pixels never."""
    words = deck.words
    page = deck.page("paths")
    drawing, told = BODY.columns(7.4, 4.4, gap=0.45)
    top, middle, bottom = drawing.rows(1.0, 1.15, 1.0, gap=0.8)
    with page.group(words("paths.alt")):
        _centred(page, top, words("paths.driver"), words("paths.driver_does"), Ink.BLUE)
        workers = middle.columns(1, 1, 1, gap=0.6)
        for number, box in enumerate(workers, start=1):
            name = words("paths.worker", number=number)
            _centred(page, box, name, words("paths.worker_does"), Ink.TEAL)
            down = (box.left + 0.35 * box.width, box.left + 0.65 * box.width)
            page.arrow(top.at(0, 1)._replace(x=down[0]), box.at(0.35, 0), ink=Ink.BLUE)
            page.arrow(
                box.at(0.65, 0), top.at(0, 1)._replace(x=down[1]), ink=Ink.MUTED, dashed=True
            )
            page.arrow(bottom.at(0, 0)._replace(x=down[0]), box.at(0.35, 1), ink=Ink.AMBER)
            page.arrow(box.at(0.65, 1), bottom.at(0, 0)._replace(x=down[1]), ink=Ink.TEAL)
        _centred(page, bottom, words("paths.storage"), words("paths.storage_holds"), Ink.AMBER)
        for upper, lower, left, right in (
            (top, middle, "paths.down", "paths.receipts"),
            (middle, bottom, "paths.images", "paths.files"),
        ):
            _between(page, upper, lower, workers, words(left), words(right))
    _points(page, told, words.listed("paths.points"))


def commits(deck: Deck, facts: Facts) -> None:
    """Show why each image counts exactly once."""
    words, record = deck.words, facts.measured
    page = deck.page("commits")
    drawing, told = BODY.rows(1.7, 2.7, gap=0.35)
    steps = words.listed("commits.steps")
    boxes = drawing.columns(*[1] * len(steps), gap=0.4)
    with page.group(words("commits.alt")):
        for index, (box, step) in enumerate(zip(boxes, steps, strict=True)):
            ink = Ink.TEAL if step["where"] == "workers" else Ink.BLUE
            lines = [Paragraph(step["name"], 17, True, ink), Paragraph(step["what"], 14)]
            page.card(box, lines, border=ink, fill=Ink.PAPER, anchor=MSO_ANCHOR.TOP)
            if index:
                page.arrow(boxes[index - 1].at(1, 0.5), box.at(0, 0.5))
    points, figures = told.columns(7.4, 4.4, gap=0.45)
    _points(page, points, words.listed("commits.points"))
    if record.chunks:
        lines = [
            Paragraph(words("commits.chunks", run=record.run), 15, False, Ink.MUTED),
            Paragraph(words.number(record.chunks), 40, True, Ink.TEAL),
        ]
    else:
        lines = [Paragraph(words("commits.no_chunks"), 14, False, Ink.MUTED)]
    page.card(figures, lines, align=PP_ALIGN.CENTER)


def passes(deck: Deck, pca: PCA) -> None:
    """Show why the PCA reads the features twice, and no more."""
    words, d = deck.words, pca.n_features_in_
    rows = words.number(pca.n_samples_)
    page = deck.page("passes", rows=rows, features=words.number(d))
    drawing, told = BODY.columns(7.4, 4.4, gap=0.45)
    bottom_up = drawing.rows(1, 1, 1, gap=0.55)
    top, middle, low = bottom_up
    leaves = low.columns(1, 1, 1, 1, gap=0.3)
    pairs = [
        Box(leaves[at].left + 0.5, middle.top, leaves[at + 1].right - leaves[at].left - 1, 1)
        for at in (0, 2)
    ]
    pairs = [box._replace(height=middle.height) for box in pairs]
    root = Box(top.left + 1.2, top.top, top.width - 2.4, top.height)
    with page.group(words("passes.alt")):
        for number, box in enumerate(leaves, start=1):
            _centred(page, box, words("passes.task", number=number), words("passes.sums"), Ink.TEAL)
            parent = pairs[(number - 1) // 2]
            page.arrow(box.at(0.5, 0), parent.at(0.3 if number % 2 else 0.7, 1))
        for index, box in enumerate(pairs):
            _centred(page, box, words("passes.merge"), words("passes.merged"), Ink.TEAL)
            page.arrow(box.at(0.5, 0), root.at(0.25 + 0.5 * index, 1))
        size = words.size(_BYTES * d * (d + 1))
        _centred(page, root, words("passes.driver"), words("passes.solved", size=size), Ink.BLUE)
    components = words.number(pca.n_components_)
    _points(page, told, words.listed("passes.points", k=components, rows=rows))


def _centred(page: Canvas, box: Box, name: str, what: str, ink: Ink) -> None:
    lines = [Paragraph(name, 14, True, Ink.PAPER), Paragraph(what, 12, False, Ink.PAPER)]
    page.card(box, lines, fill=ink, align=PP_ALIGN.CENTER, margin=0.06)


def _between(
    page: Canvas, upper: Box, lower: Box, columns: list[Box], left: str, right: str
) -> None:
    """Write what two arrows carry, on either side of those in the middle."""
    gap = Box(0, upper.bottom, 0, lower.top - upper.bottom)
    middle = columns[len(columns) // 2]
    first, last = middle.at(0.35, 0).x, middle.at(0.65, 0).x
    width = columns[1].left - columns[0].right + 0.7 * middle.width - 0.2
    box = Box(first - 0.1 - width, gap.top + 0.1, width, gap.height - 0.2)
    page.text(
        box, left, size=12, ink=Ink.MUTED, align=PP_ALIGN.RIGHT, anchor=MSO_ANCHOR.MIDDLE, margin=0
    )
    box = box._replace(left=last + 0.1)
    page.text(box, right, size=12, ink=Ink.MUTED, anchor=MSO_ANCHOR.MIDDLE, margin=0)


def _points(page: Canvas, box: Box, points: list[dict[str, str]]) -> None:
    """Short statements, each with a word in bold above it."""
    for place, point in zip(box.rows(*[1] * len(points)), points, strict=True):
        page.stripe(Box(place.left, place.top + 0.05, 0.05, place.height - 0.1), Ink.TEAL)
        text = Box(place.left + 0.15, place.top, place.width - 0.15, place.height)
        lines = [Paragraph(point["name"], 16, True), Paragraph(point["what"], 14, False, Ink.MUTED)]
        page.text(text, lines, anchor=MSO_ANCHOR.MIDDLE)
