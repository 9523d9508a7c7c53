"""Draws the slides of images: some of each class, nearest neighbours, rejected ones."""

from collections.abc import Mapping, Sequence
from typing import Final

from pptx.enum.text import MSO_ANCHOR, PP_ALIGN

from featuremill.export.slides.box import BODY
from featuremill.export.slides.canvas import Paragraph
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.pictures import EACH, NEAREST, Near, RejectedImage
from featuremill.export.slides.theme import Ink
from featuremill.export.slides.wording import shortened

MOST_LINES: Final = 4
"""Classes of a montage below each other."""

_NAME = 26


def montage(deck: Deck, found: Mapping[str, Sequence[bytes]]) -> None:
    """Show some images of each of the largest classes."""
    words = deck.words
    page = deck.page("montage", classes=words.number(len(found)))
    columns = 2 if len(found) > MOST_LINES else 1
    boxes = BODY.grid(columns, -(-len(found) // columns), gap=0.25)
    for box, (label, own) in zip(boxes, found.items(), strict=False):
        name, *places = box.columns(2.2, *[1] * EACH, gap=0.12)
        text = shortened(label or words("montage.no_label"), _NAME)
        page.text(name, text, bold=True, anchor=MSO_ANCHOR.MIDDLE, margin=0)
        for place, jpeg in zip(places, own, strict=False):
            page.picture(place, jpeg, text)


def nearest(deck: Deck, found: Sequence[Sequence[Near]]) -> None:
    """Show images with their nearest neighbours."""
    words = deck.words
    page = deck.page("nearest")
    for line, own in zip(BODY.rows(*[1] * len(found), gap=0.15), found, strict=True):
        for index, (box, near) in enumerate(
            zip(line.columns(*[1] * (1 + NEAREST)), own, strict=False)
        ):
            label = shortened(near.label or words("montage.no_label"), 18)
            said = words.number(near.cosine, 3) if index else words("nearest.asked")
            above, below = box.rows(2.3, 1, gap=0.02)
            page.picture(above, near.jpeg, f"{label}, {said}")
            ink = Ink.TEAL if near.label == own[0].label else Ink.AMBER
            lines = [Paragraph(label, 12, not index, ink), Paragraph(said, 11, False, Ink.MUTED)]
            page.text(below, lines, align=PP_ALIGN.CENTER, margin=0)


def rejects(deck: Deck, found: Sequence[RejectedImage], total: int) -> None:
    """Show rejected images, as far as they can be shown, with the stage that they failed at."""
    words = deck.words
    page = deck.page("rejects", shown=words.number(len(found)), rejects=words.number(total))
    for box, image in zip(BODY.grid(3, 2, gap=0.3), found, strict=False):
        above, below = box.rows(3, 1, gap=0.05)
        name, stage = shortened(image.name, 34), words.known("ledger.stages", image.stage)
        if image.jpeg is None:
            line = Paragraph(words("rejects.unseen"), 13, False, Ink.MUTED)
            page.card(above, [line], border=Ink.GREY, dashed=True, align=PP_ALIGN.CENTER)
        else:
            page.picture(above, image.jpeg, name)
        lines = [Paragraph(name, 12, True), Paragraph(stage, 12, False, Ink.MUTED)]
        page.text(below, lines, align=PP_ALIGN.CENTER, margin=0)
