"""The architecture on one machine: a driver, worker processes, and where the data lies."""

from pptx.enum.text import PP_ALIGN

from featuremill.dataset.ledger import RunRecord
from featuremill.export.slides.box import BODY, Box
from featuremill.export.slides.canvas import Canvas, Paragraph
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.facts import Facts
from featuremill.export.slides.theme import Ink
from featuremill.export.slides.wording import Words, shortened

_MOST_WORKERS = 4
_FRAME = BODY._replace(height=2.75)
_STORES = Box(BODY.left, BODY.bottom - 1.15, BODY.width, 1.15)


def architecture(deck: Deck, facts: Facts) -> None:
    """What runs on one machine: that of the run, or any as an outlook."""
    words, record = deck.words, facts.measured
    standing = "used" if record.was_here else "outlook"
    page = deck.page("machine", standing=words(f"architecture.{standing}"))
    name = words("machine.any")
    if record.was_here and record.hardware.get("cpu"):
        cores = record.hardware.get("cores", "")
        name = words("machine.this", cpu=record.hardware["cpu"], cores=cores)
    with page.group(words("machine.alt")):
        page.card(_FRAME, fill=Ink.PANEL, border=Ink.GREY)
        label = Box(_FRAME.left + 0.25, _FRAME.top + 0.08, _FRAME.width - 0.5, 0.34)
        page.text(label, name, size=13, bold=True, margin=0)
        _processes(page, words, record)
        source, results = _STORES.columns(1, 1, gap=0.5)
        for box, key, place in (
            (source, "machine.source", facts.source),
            (results, "machine.results", facts.dest),
        ):
            lines = [Paragraph(words(key), 15, True, Ink.PAPER)]
            if record.was_here:
                lines.append(Paragraph(shortened(place, 56), 12, False, Ink.PAPER))
            page.card(box, lines, fill=Ink.AMBER, align=PP_ALIGN.CENTER)
        up, down = source.at(0.5, 0), results.at(0.5, 0)
        page.arrow(up, up._replace(y=_FRAME.bottom), ink=Ink.AMBER)
        page.arrow(down._replace(y=_FRAME.bottom), down, ink=Ink.TEAL)


def _processes(page: Canvas, words: Words, record: RunRecord) -> None:
    """The driver, and as many workers as there were; the last card stands for those left over."""
    slots = int(record.workers.get("slots") or 0) if record.was_here else 0
    shown = min(_MOST_WORKERS, slots or 3)
    inner = Box(_FRAME.left + 0.25, _FRAME.top + 0.6, _FRAME.width - 0.5, 1.9)
    driver, *workers = inner.columns(1.5, *[1] * shown, gap=0.4)
    cards = [(driver, words("machine.driver"), words("machine.driver_does"), Ink.BLUE)]
    for number, box in enumerate(workers, start=1):
        name = words("machine.worker", number=number)
        if number == shown < slots:
            name = words("machine.workers", rest=slots - shown + 1)
        cards.append((box, name, words("machine.worker_does"), Ink.TEAL))
    for box, name, what, ink in cards:
        lines = [Paragraph(name, 15, True, Ink.PAPER), Paragraph(what, 12, False, Ink.PAPER)]
        page.card(box, lines, fill=ink, align=PP_ALIGN.CENTER, margin=0.06)
