"""Formats numbers for people."""

from typing import Final

NARROW: Final = "\N{NARROW NO-BREAK SPACE}"


def number(value: int) -> str:
    """An integer with its thousands set apart: ``67,692``."""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 image``, ``2 images``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def tenths(share: float) -> float:
    """A share in per cent as console, report and slides all say it: rounded down to the tenth.

    So only the whole is ever 100, and what is just short of a goal does not look as if it met it.

    >>> tenths(0.8616), tenths(0.9999)
    (86.1, 99.9)
    """
    return int(share * 1000 + 1e-9) / 10


def percent(share: float) -> str:
    """A share as per cent: ``86.1 %``; see :func:`tenths`."""
    return f"{tenths(share):.1f}{NARROW}%"


def cosine(value: float) -> str:
    """A cosine; near 1 with more digits and rounded down, so that only equals are at 1."""
    if value < 0:
        return f"−{-value:.2f}"
    return f"{int(value * 10_000 + 1e-2) / 10_000:.4f}" if value > 0.99 else f"{value:.3f}"


def points(before: float, after: float) -> float:
    """Percentage points by which a share fell, as they follow from :func:`percent` of both."""
    return round(tenths(before) - tenths(after), 1)


def seconds(value: float) -> str:
    """A duration: ``0.31 s``, ``42.0 s``, ``3 min 7 s``, ``2 h 5 min``."""
    if value < 60:
        return f"{value:.2f}{NARROW}s" if value < 10 else f"{value:.1f}{NARROW}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{NARROW}min {rest}{NARROW}s"
    return f"{minutes // 60}{NARROW}h {minutes % 60}{NARROW}min"


def hours(value: float) -> str:
    """Core-hours, to two digits that mean something: ``0.0021``, ``1.3``, ``240``."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
