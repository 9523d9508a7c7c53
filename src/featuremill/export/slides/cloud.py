"""The parts of the architecture on AWS, what each is for, and how they keep data safe."""

from pptx.enum.text import MSO_ANCHOR, PP_ALIGN

from featuremill.cloud.aws.worker_size import DRIVER
from featuremill.export.slides.box import BODY, Box
from featuremill.export.slides.canvas import Canvas, Paragraph
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.theme import Ink
from featuremill.export.slides.wording import Words

_LAPTOP = Box(0.6, 2.35, 2.1, 2.95)
_MAIL = Box(0.6, 5.6, 2.1, 0.9)
_REGION = Box(3.95, 1.95, 8.783, 4.75)
_SERVERLESS = Box(4.2, 2.35, 6.1, 1.5)
_CLUSTER = Box(10.5, 2.35, 1.98, 1.5)
_BUCKET = Box(4.2, 4.4, 8.28, 0.9)
_BASE = Box(4.2, 5.6, 8.28, 0.9)


def architecture(deck: Deck, *, used: bool) -> None:
    """What runs where on AWS and what passes between: of this run, or as an outlook."""
    words = deck.words
    page = deck.page("architecture", standing=words(_standing(used)))
    with page.group(words("architecture.alt")):
        page.card(_REGION, fill=Ink.PANEL, border=Ink.GREY)
        label = Box(_REGION.left + 0.25, _REGION.top + 0.07, 8.2, 0.32)
        page.text(label, words("architecture.region"), size=12, bold=True, margin=0)
        _named(page, words, "laptop", _LAPTOP, Ink.TEXT)
        _named(page, words, "mail", _MAIL, None)
        _compute(page, words)
        page.card(
            _BUCKET,
            [
                Paragraph(words("architecture.bucket.name"), 14, True, Ink.PAPER),
                Paragraph(words("architecture.bucket.what"), 12, False, Ink.PAPER),
            ],
            fill=Ink.AMBER,
            align=PP_ALIGN.CENTER,
        )
        names = ("budget", "roles", "network", "stack")
        for box, name in zip(_BASE.columns(1, 1, 1, 1, gap=0.16), names, strict=True):
            _named(page, words, name, box, None)
        _arrows(page, words)


def _compute(page: Canvas, words: Words) -> None:
    page.card(_SERVERLESS, fill=Ink.PAPER, border=Ink.TEAL)
    label = Box(_SERVERLESS.left + 0.15, _SERVERLESS.top + 0.05, 5.8, 0.32)
    name = words("architecture.serverless")
    page.text(label, name, size=13, bold=True, ink=Ink.TEAL, margin=0)
    inner = Box(_SERVERLESS.left + 0.15, _SERVERLESS.top + 0.45, 5.8, 0.9)
    driver, *executors = inner.columns(1.3, 1, 1, 1, gap=0.14)
    lines = [
        Paragraph(words("architecture.driver"), 13, True, Ink.PAPER),
        Paragraph(words("architecture.driver_does", cores=DRIVER.cores), 12, False, Ink.PAPER),
    ]
    page.card(driver, lines, fill=Ink.BLUE, align=PP_ALIGN.CENTER, margin=0.04)
    for box in executors:
        line = Paragraph(words("architecture.executor"), 12, True, Ink.PAPER)
        page.card(box, [line], fill=Ink.TEAL, align=PP_ALIGN.CENTER, margin=0.02)
    lines = [
        Paragraph(words("architecture.cluster"), 13, True, Ink.TEAL),
        Paragraph(words("architecture.cluster_is"), 12, False, Ink.MUTED),
    ]
    page.card(
        _CLUSTER,
        lines,
        fill=Ink.PAPER,
        border=Ink.TEAL,
        dashed=True,
        align=PP_ALIGN.CENTER,
        margin=0.05,
    )


def _arrows(page: Canvas, words: Words) -> None:
    def labelled(y: float, key: str) -> None:
        box = Box(_LAPTOP.right + 0.02, y - 0.32, _REGION.left - _LAPTOP.right - 0.04, 0.3)
        page.text(box, words(key), size=12, ink=Ink.MUTED, align=PP_ALIGN.CENTER, margin=0)

    page.arrow(_LAPTOP.at(1, 0)._replace(y=3.1), _SERVERLESS.at(0, 0)._replace(y=3.1))
    labelled(3.1, "architecture.submit")
    page.arrow(_LAPTOP.at(1, 0)._replace(y=4.85), _BUCKET.at(0, 0.5), both=True)
    labelled(4.85, "architecture.transfer")
    page.arrow(_BASE.at(0, 0.5), _MAIL.at(1, 0.5))
    labelled(6.05, "architecture.alert")
    for share in (0.42, 0.9):
        x = _SERVERLESS.at(share, 0).x
        page.arrow(_BUCKET.at(0, 0)._replace(x=x), _SERVERLESS.at(share, 1), both=True)
    box = Box(_SERVERLESS.at(0.42, 0).x + 0.12, _SERVERLESS.bottom + 0.1, 2.6, 0.35)
    text = words("architecture.reads")
    page.text(box, text, size=12, ink=Ink.MUTED, anchor=MSO_ANCHOR.MIDDLE, margin=0)
    x = _CLUSTER.at(0.5, 0).x
    page.arrow(_BUCKET.at(0, 0)._replace(x=x), _CLUSTER.at(0.5, 1), both=True, dashed=True)


def _named(page: Canvas, words: Words, key: str, box: Box, fill: Ink | None) -> None:
    """A part with its name and, below, what it does."""
    ink = Ink.PAPER if fill else Ink.TEXT
    lines = [
        Paragraph(words(f"architecture.{key}.name"), 13, True, ink),
        Paragraph(words(f"architecture.{key}.what"), 12, False, ink if fill else Ink.MUTED),
    ]
    page.card(
        box,
        lines,
        fill=fill or Ink.PAPER,
        border=None if fill else Ink.GREY,
        align=PP_ALIGN.CENTER,
        margin=0.05,
    )


def _standing(used: bool) -> str:
    return f"architecture.{'used' if used else 'outlook'}"


def roles(deck: Deck, *, used: bool) -> None:
    """What each part is for, and what it costs while nothing runs."""
    words = deck.words
    page = deck.page("roles", standing=words(_standing(used)))
    rows = [[part["name"], part["what"], part["idle"]] for part in words.listed("roles.parts")]
    header = [words("roles.part"), words("roles.role"), words("roles.idle")]
    page.table(BODY, header, rows, words("roles.alt"), widths=(2.1, 7.2, 2.8), row=0.46)


def privacy(deck: Deck) -> None:
    """What is done about personal data."""
    words = deck.words
    page = deck.page("privacy")
    layers, told = BODY.columns(5.0, 6.9, gap=0.4)
    inks = (Ink.BLUE, Ink.TEAL, Ink.AMBER)
    with page.group(words("privacy.alt")):
        for depth, (layer, ink) in enumerate(
            zip(words.listed("privacy.layers"), inks, strict=True)
        ):
            box = Box(
                layers.left + 0.35 * depth,
                layers.top + 1.0 * depth,
                layers.width - 0.7 * depth,
                layers.height - 1.3 * depth,
            )
            page.card(box, fill=Ink.PAPER, border=ink)
            text = Box(box.left + 0.15, box.top + 0.12, box.width - 0.3, 0.8)
            lines = [
                Paragraph(layer["name"], 14, True, ink),
                Paragraph(layer["what"], 12, False, Ink.MUTED),
            ]
            page.text(text, lines, margin=0)
        heart = Box(layers.left + 0.95, layers.top + 3.0, layers.width - 1.9, 0.75)
        line = Paragraph(words("privacy.heart"), 14, True, Ink.PAPER)
        page.card(heart, [line], fill=Ink.TEXT, align=PP_ALIGN.CENTER)
    for box, point in zip(told.grid(2, 3, gap=0.2), words.listed("privacy.points"), strict=True):
        lines = [Paragraph(point["name"], 14, True), Paragraph(point["what"], 12, False, Ink.MUTED)]
        page.card(box, lines)
