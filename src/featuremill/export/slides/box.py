"""Places on a slide, in inches from its upper left corner."""

from typing import NamedTuple


class Point(NamedTuple):
    """A place."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.top + self.height

    def at(self, across: float, down: float) -> Point:
        """The point so far across and down, as shares of its width and height."""
        return Point(self.left + across * self.width, self.top + down * self.height)

    def columns(self, *shares: float, gap: float = 0.25) -> list["Box"]:
        """Side by side, as wide as their shares say."""
        free = self.width - gap * (len(shares) - 1)
        boxes, left = [], self.left
        for share in shares:
            width = free * share / sum(shares)
            boxes.append(Box(left, self.top, width, self.height))
            left += width + gap
        return boxes

    def rows(self, *shares: float, gap: float = 0.2) -> list["Box"]:
        """One below the other, as high as their shares say."""
        free = self.height - gap * (len(shares) - 1)
        boxes, top = [], self.top
        for share in shares:
            height = free * share / sum(shares)
            boxes.append(Box(self.left, top, self.width, height))
            top += height + gap
        return boxes

    def grid(self, columns: int, rows: int, gap: float = 0.25) -> list["Box"]:
        """Row by row, all of one size."""
        lines = self.rows(*[1] * rows, gap=gap)
        return [box for line in lines for box in line.columns(*[1] * columns, gap=gap)]


PAGE = Box(0, 0, 13.333, 7.5)
BODY = Box(0.6, 1.95, 12.133, 4.75)
KICKER = Box(0.6, 0.42, 9.0, 0.27)
TITLE = Box(0.6, 0.7, 12.133, 0.62)
LEAD = Box(0.6, 1.32, 12.133, 0.42)
FOOT = Box(0.6, 6.98, 11.0, 0.3)
NUMBER = Box(11.733, 6.98, 1.0, 0.3)
