"""Builds the presentation: its pages, each with a kicker, a title, a lead, notes and a foot."""

import copy
from typing import Any, BinaryIO, Final

from pptx.enum.lang import MSO_LANGUAGE_ID
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn

from featuremill.export.slides.box import FOOT, KICKER, LEAD, NUMBER
from featuremill.export.slides.canvas import Canvas
from featuremill.export.slides.theme import Ink, new_presentation, put_at
from featuremill.export.slides.wording import Words

_LANGUAGES: Final = {"en": MSO_LANGUAGE_ID.ENGLISH_UK, "fr": MSO_LANGUAGE_ID.FRENCH}


class Deck:
    """A presentation being written.

    Parameters
    ----------
    words : Words
        In which language.
    """

    def __init__(self, words: Words) -> None:
        self.words = words
        self._deck = new_presentation()
        self._foot = ""
        self.pages = 0

    def describe(self, title: str, author: str, foot: str) -> None:
        """Set the file's title and author, and what stands at the foot of every page."""
        properties = self._deck.core_properties
        properties.title, properties.author = title, author
        properties.language = self.words.language
        self._foot = foot

    def page(self, section: str, **values: object) -> Canvas:
        """Add a page with the texts of a section: ``kicker``, ``title``, ``lead``, ``notes``."""
        canvas = self._blank(section, **values)
        words = self.words
        kicker = words(f"{section}.kicker", **values).upper()
        canvas.text(KICKER, kicker, size=12, bold=True, ink=Ink.TEAL, margin=0)
        canvas.text(LEAD, words(f"{section}.lead", **values), size=15, ink=Ink.MUTED, margin=0)
        canvas.text(FOOT, self._foot, size=10, ink=Ink.MUTED, margin=0, anchor=MSO_ANCHOR.MIDDLE)
        self._number(canvas)
        return canvas

    def cover(self, section: str, **values: object) -> Canvas:
        """Add a page with a dark background and nothing but its title, a text of `values`."""
        canvas = self._blank(section, **values)
        fill = canvas.slide.background.fill
        fill.solid()
        Ink.TEXT.put(fill.fore_color)
        return canvas

    def save(self, file: BinaryIO) -> None:
        """Write the presentation."""
        self._deck.save(file)

    def _blank(self, section: str, **values: object) -> Canvas:
        slide = self._deck.slides.add_slide(self._deck.slide_layouts[0])
        self.pages += 1
        canvas = Canvas(slide, _LANGUAGES[self.words.language])
        title: Any = slide.shapes.title
        run = title.text_frame.paragraphs[0].add_run()
        run.text = self.words(f"{section}.title", **values)
        run.font.language_id = _LANGUAGES[self.words.language]
        slide.notes_slide.notes_text_frame.text = self.words(f"{section}.notes", **values)
        return canvas

    def _number(self, canvas: Canvas) -> None:
        """Take over the layout's field for the number of the slide."""
        layout: Any = canvas.slide.slide_layout
        shapes: Any = canvas.slide.shapes
        for placeholder in layout.placeholders:
            if placeholder.placeholder_format.type is PP_PLACEHOLDER.SLIDE_NUMBER:
                shapes._spTree.append(copy.deepcopy(placeholder.element))
        shape = shapes[-1]
        put_at(shape, NUMBER)
        [paragraph] = shape.text_frame.paragraphs
        for letters in paragraph._p.iter(qn("a:rPr")):
            letters.set("sz", "1000")
        paragraph.alignment = PP_ALIGN.RIGHT
