"""How the slides look: colours and font of the theme, which a user may change as a whole."""

import enum
from typing import TYPE_CHECKING, Any, Final

from pptx import Presentation
from pptx.dml.color import ColorFormat
from pptx.enum.dml import MSO_THEME_COLOR
from pptx.enum.text import MSO_ANCHOR
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.opc.oxml import serialize_part_xml
from pptx.oxml import parse_xml
from pptx.oxml.xmlchemy import OxmlElement
from pptx.util import Inches

from featuremill.export.slides.box import NUMBER, PAGE, TITLE, Box

if TYPE_CHECKING:
    from pptx.presentation import Presentation as Deck
    from pptx.shapes.base import BaseShape

FONT: Final = "Arial"
"""On every system with an office suite, or one of the same widths."""


class Ink(enum.Enum):
    """A colour of the theme."""

    TEXT = MSO_THEME_COLOR.TEXT_1
    MUTED = MSO_THEME_COLOR.TEXT_2
    PAPER = MSO_THEME_COLOR.BACKGROUND_1
    PANEL = MSO_THEME_COLOR.BACKGROUND_2
    TEAL = MSO_THEME_COLOR.ACCENT_1
    AMBER = MSO_THEME_COLOR.ACCENT_2
    BLUE = MSO_THEME_COLOR.ACCENT_3
    VIOLET = MSO_THEME_COLOR.ACCENT_4
    ROSE = MSO_THEME_COLOR.ACCENT_5
    GREY = MSO_THEME_COLOR.ACCENT_6

    def put(self, color: ColorFormat, brightness: float = 0.0) -> None:
        """Give a part of a shape this colour, lighter by a share up to 1."""
        color.theme_color = self.value
        color.brightness = brightness


_SCHEME: Final = {
    "dk1": "14213D",
    "lt1": "FFFFFF",
    "dk2": "475569",
    "lt2": "F1F5F9",
    "accent1": "0F766E",
    "accent2": "B45309",
    "accent3": "1D4ED8",
    "accent4": "6D28D9",
    "accent5": "BE185D",
    "accent6": "94A3B8",
    "hlink": "0F766E",
    "folHlink": "475569",
}
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDES = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_TITLE_ONLY = 5


def new_presentation() -> "Deck":
    """An empty presentation, 16 to 9, with one layout: a title and the number of the slide."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(PAGE.width), Inches(PAGE.height)
    _set_theme(deck)
    layouts = list(deck.slide_layouts)
    for index, layout in enumerate(layouts):
        if index != _TITLE_ONLY:
            deck.slide_layouts.remove(layout)
    for placeholders in (deck.slide_master.placeholders, layouts[_TITLE_ONLY].placeholders):
        for shape in list(placeholders):
            _place(shape)
    style = deck.slide_master.element.find(f".//{_SLIDES}titleStyle/{_DRAWING}lvl1pPr")
    style.set("algn", "l")
    letters = style.find(f"{_DRAWING}defRPr")
    letters.set("sz", "2600")
    letters.set("b", "1")
    return deck


def _place(shape: "BaseShape") -> None:
    kind = shape.placeholder_format.type.name
    if kind == "TITLE":
        put_at(shape, TITLE)
        frame = shape.text_frame  # type: ignore[attr-defined]
        frame.vertical_anchor = MSO_ANCHOR.TOP
        frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    elif kind == "SLIDE_NUMBER":
        put_at(shape, NUMBER)
    elif kind in ("DATE", "FOOTER"):
        shape.element.getparent().remove(shape.element)
    else:
        put_at(shape, Box(0.6, 1.95, 12.133, 4.75))


def put_at(shape: "BaseShape", box: Box) -> None:
    """Move a shape."""
    shape.left, shape.top = Inches(box.left), Inches(box.top)
    shape.width, shape.height = Inches(box.width), Inches(box.height)


def _set_theme(deck: "Deck") -> None:
    part = deck.slide_master.part.part_related_by(RELATIONSHIP_TYPE.THEME)
    theme: Any = parse_xml(part.blob)
    scheme = theme.find(f".//{_DRAWING}clrScheme")
    for name, value in _SCHEME.items():
        entry = scheme.find(f"{_DRAWING}{name}")
        for child in list(entry):
            entry.remove(child)
        color = OxmlElement("a:srgbClr")
        color.set("val", value)
        entry.append(color)
    for kind in ("majorFont", "minorFont"):
        theme.find(f".//{_DRAWING}{kind}/{_DRAWING}latin").set("typeface", FONT)
    part._blob = serialize_part_xml(theme)
