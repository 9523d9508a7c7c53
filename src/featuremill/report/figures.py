"""Makes the plots beside the explorer, as plain plotly.js figures.

A colour that begins with ``--`` names a variable of the style sheet: the page looks it up, so
that plots follow light, dark and print.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from featuremill._utils.formatting import tenths
from featuremill.pca.components import VARIANCE_MARKS
from featuremill.report.data import Mark

Figure = dict[str, Any]

PERCENT_TICKS: Final = (0, 20, 40, 60, 80, *(round(100 * share) for share in VARIANCE_MARKS))
TICKS: Final = (1, 2, 5, 10, 20, 50, 80, 150, 256, 500, 1000, 2000)

MOST_CLASSES: Final = 150
"""Classes of a confusion matrix; more would be lines thinner than a pixel."""

_NAMED_CLASSES: Final = 40
_COUNTED_CLASSES: Final = 20
"""Classes of a matrix whose squares have room for a number."""


def cumulative_variance(spectrum: NDArray[np.float64], k: int, marks: Sequence[Mark]) -> Figure:
    """The share of the variance that the first components hold, against their number."""
    rank = len(spectrum)
    shares = np.minimum(np.cumsum(spectrum), 1.0)
    percent = 100 * shares
    curve = {
        "type": "scatter",
        "mode": "lines" if rank > 1 else "markers",
        "x": list(range(1, rank + 1)),
        "y": _rounded(percent),
        # in words as everywhere else: plotly.js would round to the nearest
        "customdata": [tenths(share) for share in shares],
        "line": {"color": "--accent", "width": 2.5},
        "hovertemplate": "%{x} components hold %{customdata:.1f} %<extra></extra>",
    }
    named = {
        "type": "scatter",
        "mode": "markers",
        "x": [mark.components for mark in marks],
        "y": _rounded(100 * mark.variance for mark in marks),
        "customdata": [tenths(mark.variance) for mark in marks],
        "text": [mark.why for mark in marks],
        "marker": {"size": 9, "color": "--card", "line": {"color": "--accent", "width": 2}},
        "hovertemplate": "<b>%{text}</b><br>%{x} components hold %{customdata:.1f} %"
        "<extra></extra>",
    }
    kept = {
        "type": "scatter",
        "mode": "markers",
        "x": [k],
        "y": _rounded([percent[k - 1]]),
        "customdata": [tenths(shares[k - 1])],
        "marker": {"size": 12, "color": "--accent"},
        "hovertemplate": "<b>kept</b><br>%{x} components hold %{customdata:.1f} %<extra></extra>",
    }
    ticks = [tick for tick in TICKS if tick <= rank]
    layout = _layout("components", "variance held, %")
    layout["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [str(t) for t in ticks]}
    layout["yaxis"] |= {"range": [0, 103], "tickvals": PERCENT_TICKS}
    layout["shapes"] = [_guide(100 * share) for share in VARIANCE_MARKS] + _drop(k, percent[k - 1])
    return {"data": [curve, named, kept], "layout": layout}


def confusion(counts: Mapping[tuple[str, str], int], labels: Sequence[str]) -> Figure:
    """For each class (down), how many of its images were given each (across).

    Colours are shares of the class, so that a small one can be read too; numbers are images.
    """
    place = {label: index for index, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    for (label, predicted), count in counts.items():
        matrix[place[label], place[predicted]] = count
    asked = matrix.sum(axis=1, keepdims=True)
    share = np.divide(100 * matrix, asked, where=asked > 0, out=np.full_like(matrix, np.nan))
    names = [plot_text(label) for label in labels]
    grid = {
        "type": "heatmap",
        # an empty square needs no ink, and no bytes
        "z": [[round(value, 1) if value > 0 else None for value in row] for row in share.tolist()],
        "x": names,
        "y": names,
        "xgap": 1 if len(labels) <= _NAMED_CLASSES else 0,
        "ygap": 1 if len(labels) <= _NAMED_CLASSES else 0,
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, "--heat-low"], [1, "--heat-high"]],
        "showscale": False,
        "text": [[f"{value:,.0f}" if value else "" for value in row] for row in matrix.tolist()],
        "texttemplate": "%{text}" if len(labels) <= _COUNTED_CLASSES else "",
        "hovertemplate": "<b>%{y}</b><br>%{text} images (%{z} %) assigned to <b>%{x}</b>"
        "<extra></extra>",
    }
    layout = _layout("predicted class", "class")
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {
            "type": "category",
            "showgrid": False,
            "showticklabels": len(labels) <= _NAMED_CLASSES,
            "ticks": "",
            "tickangle": -45 if axis == "xaxis" else 0,
        }
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": [grid], "layout": layout}


def plot_text(text: str) -> str:
    """Text as plotly shows it verbatim: it renders a subset of HTML in labels."""
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
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": "--card",
            "bordercolor": "--line",
            "font": {"color": "--ink"},
            "align": "left",
        },
        # from the labels of the ticks, however long they are
        "xaxis": axis | {"title": {"text": x, "standoff": 12}},
        "yaxis": axis | {"title": {"text": y, "standoff": 12}},
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
