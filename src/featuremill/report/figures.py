"""The plots, as plain plotly.js figures, and the colours of the classes.

A colour that begins with ``--`` names a variable of the style sheet: the page looks it up, so
that plots follow light, dark and print. Class colours are fixed and readable on either ground.
"""

import colorsys
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from featuremill.pca import VARIANCE_MARKS
from featuremill.report.data import Mark, Point

Figure = dict[str, Any]

# Okabe and Ito's palette, which people with colour-blindness can tell apart, less its black
# and yellow, which vanish on one ground or the other.
FEW: Final = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
GOLDEN_ANGLE: Final = (3 - math.sqrt(5)) / 2
PERCENT_TICKS: Final = (0, 20, 40, 60, 80, *(round(100 * share) for share in VARIANCE_MARKS))
TICKS: Final = (1, 2, 5, 10, 20, 50, 80, 150, 256, 500, 1000, 2000)


def class_colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label, in order: six distinct ones, then hues a golden angle apart.

    Beyond a dozen, colours only separate neighbours; names come from hovering and highlighting.
    """
    return {label: _colour(index) for index, label in enumerate(labels)}


def _colour(index: int) -> str:
    if index < len(FEW):
        return FEW[index]
    hue = index * GOLDEN_ANGLE % 1
    lightness, saturation = (0.46, 0.58)[index % 2], (0.62, 0.5)[index % 2]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in (red, green, blue))


def cumulative_variance(spectrum: NDArray[np.float64], k: int, marks: Sequence[Mark]) -> Figure:
    """The share of the variance that the first components hold, against their number."""
    rank = len(spectrum)
    percent = 100 * np.minimum(np.cumsum(spectrum), 1.0)
    curve = {
        "type": "scatter",
        "mode": "lines" if rank > 1 else "markers",
        "x": list(range(1, rank + 1)),
        "y": _rounded(percent),
        "line": {"color": "--accent", "width": 2.5},
        "hovertemplate": "%{x} components hold %{y:.2f} %<extra></extra>",
    }
    named = {
        "type": "scatter",
        "mode": "markers",
        "x": [mark.components for mark in marks],
        "y": _rounded(100 * mark.variance for mark in marks),
        "text": [mark.why for mark in marks],
        "marker": {"size": 9, "color": "--card", "line": {"color": "--accent", "width": 2}},
        "hovertemplate": "<b>%{text}</b><br>%{x} components hold %{y:.2f} %<extra></extra>",
    }
    kept = {
        "type": "scatter",
        "mode": "markers",
        "x": [k],
        "y": _rounded([percent[k - 1]]),
        "marker": {"size": 12, "color": "--accent"},
        "hovertemplate": "<b>kept</b><br>%{x} components hold %{y:.2f} %<extra></extra>",
    }
    ticks = [tick for tick in TICKS if tick <= rank]
    layout = _layout("components", "variance held, %")
    layout["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [str(t) for t in ticks]}
    layout["yaxis"] |= {"range": [0, 103], "tickvals": PERCENT_TICKS}
    layout["shapes"] = [_guide(100 * share) for share in VARIANCE_MARKS] + _drop(k, percent[k - 1])
    layout["dragmode"] = False
    return {"data": [curve, named, kept], "layout": layout}


def plane(points: Sequence[Point], colours: Mapping[str, str]) -> Figure:
    """The images in the plane of the first two components; the second trace is the highlight."""
    shown = [point for point in points if math.isfinite(point.pc1) and math.isfinite(point.pc2)]
    hover = "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>"
    everyone = {
        "type": "scattergl",
        "mode": "markers",
        "x": _rounded(point.pc1 for point in shown),
        "y": _rounded(point.pc2 for point in shown),
        "customdata": [[plot_text(point.label), plot_text(point.path)] for point in shown],
        "marker": {
            "size": 5 if len(shown) > 1000 else 7,
            "opacity": 0.75,
            "color": [colours[point.label] for point in shown],
        },
        "hovertemplate": hover,
    }
    highlight = {
        "type": "scattergl",
        "mode": "markers",
        "x": [],
        "y": [],
        "customdata": [],
        "marker": {"size": 8, "color": "--accent", "line": {"color": "--card", "width": 1}},
        "hovertemplate": hover,
    }
    layout = _layout("first component", "second component")
    layout["hovermode"] = "closest"
    return {"data": [everyone, highlight], "layout": layout}


def plot_text(text: str) -> str:
    """Text as plotly shows it verbatim: it renders a subset of HTML in hover labels."""
    return escape(text)


def _layout(x: str, y: str) -> Figure:
    axis = {
        "gridcolor": "--line",
        "zerolinecolor": "--line",
        "linecolor": "--line",
        "tickfont": {"color": "--muted"},
        "automargin": True,
    }
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--ink"},
        "margin": {"l": 56, "r": 16, "t": 12, "b": 52},
        "showlegend": False,
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "--muted",
            "activecolor": "--accent",
        },
        "hoverlabel": {
            "bgcolor": "--card",
            "bordercolor": "--line",
            "font": {"color": "--ink"},
            "align": "left",
        },
        "xaxis": axis | {"title": {"text": x}},
        "yaxis": axis | {"title": {"text": y}},
    }


def _guide(percent: float) -> Figure:
    """A dotted line across the plot."""
    return {
        "type": "line",
        "layer": "below",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": percent,
        "y1": percent,
        "line": {"color": "--muted", "width": 1, "dash": "dot"},
    }


def _drop(k: int, percent: float) -> list[Figure]:
    """A line from the kept number of components up to the curve."""
    line = {"color": "--accent", "width": 1.5, "dash": "dash"}
    return [
        {"type": "line", "layer": "below", "x0": k, "x1": k, "y0": 0, "y1": percent, "line": line}
    ]


def _rounded(values: Iterable[float]) -> list[float]:
    """Five significant digits: no eye sees more, and the file is half the size."""
    return [float(f"{value:.5g}") for value in values]
