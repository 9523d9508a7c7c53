"""Draws shapes on a slide: text, cards, arrows and tables, all native and all of the theme."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pptx.enum.dml import MSO_LINE_DASH_STYLE
from pptx.enum.lang import MSO_LANGUAGE_ID
from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.oxml.xmlchemy import OxmlElement
from pptx.slide import Slide
from pptx.util import Inches, Pt

from featuremill.export.slides.box import Box, Point
from featuremill.export.slides.theme import Ink, put_at


class Paragraph(NamedTuple):
    """A paragraph."""

    text: str
    size: float = 14
    bold: bool = False
    ink: Ink = Ink.TEXT


class Canvas:
    """A slide to draw on.

    Parameters
    ----------
    slide : Slide
    language : MSO_LANGUAGE_ID
        Language of its texts, for spell checkers and screen readers.
    """

    def __init__(self, slide: Slide, language: MSO_LANGUAGE_ID) -> None:
        self.slide = slide
        self._language = language
        self._shapes: Any = slide.shapes

    @contextmanager
    def group(self, description: str) -> Iterator[None]:
        """Draw what follows as one group, which screen readers read out as described."""
        group = self.slide.shapes.add_group_shape()
        describe(group, description)
        self._shapes = group.shapes
        try:
            yield
        finally:
            self._shapes = self.slide.shapes
            # they were put in their places after they had been added
            group._element.recalculate_extents()

    def text(
        self,
        box: Box,
        text: str | Sequence[Paragraph],
        *,
        size: float = 14,
        bold: bool = False,
        ink: Ink = Ink.TEXT,
        align: PP_ALIGN = PP_ALIGN.LEFT,
        anchor: MSO_ANCHOR = MSO_ANCHOR.TOP,
        margin: float = 0.05,
    ) -> None:
        """Write in a box without a border."""
        lines = [Paragraph(text, size, bold, ink)] if isinstance(text, str) else text
        shape = self._shapes.add_textbox(0, 0, 0, 0)
        put_at(shape, box)
        self._write(shape, lines, align, anchor, margin)

    def card(
        self,
        box: Box,
        lines: Sequence[Paragraph] = (),
        *,
        fill: Ink | None = Ink.PANEL,
        light: float = 0.0,
        border: Ink | None = None,
        dashed: bool = False,
        align: PP_ALIGN = PP_ALIGN.LEFT,
        anchor: MSO_ANCHOR = MSO_ANCHOR.MIDDLE,
        margin: float = 0.14,
    ) -> None:
        """Write in a box with round corners, `light` the share by which its colour is lighter."""
        shape = self._shapes.add_shape(MSO_SHAPE.ROUNDED_RECTANGLE, 0, 0, 0, 0)
        put_at(shape, box)
        # the same radius whatever the size
        shape.adjustments[0] = min(0.5, 0.08 / min(box.width, box.height))
        _unstyled(shape)
        if fill is None:
            shape.fill.background()
        else:
            shape.fill.solid()
            fill.put(shape.fill.fore_color, light)
        if border is None:
            shape.line.fill.background()
        else:
            border.put(shape.line.color)
            shape.line.width = Pt(1.25)
            if dashed:
                shape.line.dash_style = MSO_LINE_DASH_STYLE.DASH
        self._write(shape, lines, align, anchor, margin)

    def stripe(self, box: Box, ink: Ink) -> None:
        """A rectangle without text."""
        shape = self._shapes.add_shape(MSO_SHAPE.RECTANGLE, 0, 0, 0, 0)
        put_at(shape, box)
        _unstyled(shape)
        shape.fill.solid()
        ink.put(shape.fill.fore_color)
        shape.line.fill.background()

    def arrow(
        self,
        start: Point,
        end: Point,
        *,
        ink: Ink = Ink.MUTED,
        dashed: bool = False,
        both: bool = False,
    ) -> None:
        """A straight arrow, with a head at `both` ends if wanted."""
        places = (Inches(value) for value in (*start, *end))
        line = self._shapes.add_connector(MSO_CONNECTOR.STRAIGHT, *places)
        _unstyled(line)
        ink.put(line.line.color)
        line.line.width = Pt(1.75)
        if dashed:
            line.line.dash_style = MSO_LINE_DASH_STYLE.DASH
        drawn = line.line._get_or_add_ln()
        for name in ("headEnd", "tailEnd") if both else ("tailEnd",):
            head = OxmlElement(f"a:{name}")
            head.set("type", "triangle")
            drawn.append(head)

    def table(
        self,
        box: Box,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        description: str,
        *,
        widths: Sequence[float],
        size: float = 12,
        numbers: Sequence[int] = (),
        row: float = 0.4,
    ) -> None:
        """A table; columns `numbers` are aligned to the right."""
        frame = self._shapes.add_table(1 + len(rows), len(header), 0, 0, 0, 0)
        put_at(frame, box._replace(height=row * (1 + len(rows))))
        describe(frame, description)
        table = frame.table
        table.horz_banding = False
        _plain(table)
        for column, share in enumerate(widths):
            table.columns[column].width = Inches(box.width * share / sum(widths))
        for line, values in enumerate((header, *rows)):
            table.rows[line].height = Inches(row)
            for column, value in enumerate(values):
                cell = table.cell(line, column)
                cell.margin_top = cell.margin_bottom = Inches(0.03)
                cell.vertical_anchor = MSO_ANCHOR.MIDDLE
                cell.fill.solid()
                (Ink.TEXT if not line else Ink.PANEL if line % 2 else Ink.PAPER).put(
                    cell.fill.fore_color
                )
                paragraph = cell.text_frame.paragraphs[0]
                paragraph.alignment = PP_ALIGN.RIGHT if column in numbers else PP_ALIGN.LEFT
                bold = not line or not column
                self._run(paragraph, Paragraph(value, size, bold, Ink.TEXT if line else Ink.PAPER))

    def picture(self, box: Box, jpeg: bytes, description: str) -> None:
        """A picture in its own proportions, as large as fits, in the middle of a box."""
        shape = self._shapes.add_picture(io.BytesIO(jpeg), 0, 0)
        scale = min(box.width / shape.width, box.height / shape.height)
        width, height = shape.width * scale, shape.height * scale
        left, top = box.left + (box.width - width) / 2, box.top + (box.height - height) / 2
        put_at(shape, Box(left, top, width, height))
        describe(shape, description)

    def chart(self, kind: Any, box: Box, data: Any, description: str) -> Any:
        """An empty-looking native chart, to be styled by `charts`."""
        places = (Inches(value) for value in box)
        frame = self._shapes.add_chart(kind, *places, data)
        describe(frame, description)
        return frame.chart

    def _write(
        self,
        shape: Any,
        lines: Sequence[Paragraph],
        align: PP_ALIGN,
        anchor: MSO_ANCHOR,
        margin: float,
    ) -> None:
        frame = shape.text_frame
        frame.word_wrap = True
        frame.vertical_anchor = anchor
        frame.margin_left = frame.margin_right = Inches(margin)
        frame.margin_top = frame.margin_bottom = Inches(min(margin, 0.08))
        for index, line in enumerate(lines):
            paragraph = frame.paragraphs[0] if not index else frame.add_paragraph()
            paragraph.alignment = align
            if index:
                paragraph.space_before = Pt(3)
            self._run(paragraph, line)

    def _run(self, paragraph: Any, line: Paragraph) -> None:
        run = paragraph.add_run()
        run.text = line.text
        run.font.size, run.font.bold = Pt(line.size), line.bold
        run.font.language_id = self._language
        line.ink.put(run.font.color)


def describe(shape: Any, description: str) -> None:
    """Give a shape the text that is read out where it cannot be seen."""
    shape._element.xpath(".//p:cNvPr")[0].set("descr", description)


def _unstyled(shape: Any) -> None:
    """Take the theme's effects away, such as shadows: what is wanted is said by the shape."""
    style = shape._element.find(qn("p:style"))
    if style is not None:
        shape._element.remove(style)


def _plain(table: Any) -> None:
    """Take the built-in style away: the cells have their own colours."""
    style = table._tbl.tblPr.find(qn("a:tableStyleId"))
    if style is not None:
        # "No Style, No Grid"
        style.text = "{2D5ABB26-0587-4C30-8999-92F81FD0307C}"
