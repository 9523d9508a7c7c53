"""Draws native charts, whose numbers can be edited where the slides are shown."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pptx.chart import data as untyped
from pptx.enum.chart import (
    XL_CHART_TYPE,
    XL_LABEL_POSITION,
    XL_LEGEND_POSITION,
    XL_MARKER_STYLE,
    XL_TICK_LABEL_POSITION,
)
from pptx.oxml.ns import qn
from pptx.oxml.xmlchemy import OxmlElement
from pptx.util import Pt

from featuremill.export.slides.box import Box
from featuremill.export.slides.canvas import Canvas
from featuremill.export.slides.theme import Ink

_DATA: Any = untyped
Curve = NDArray[np.float64]

SERIES: Final = (Ink.TEAL, Ink.AMBER, Ink.BLUE, Ink.ROSE, Ink.VIOLET, Ink.TEXT)
"""Colours of classes, the largest first."""

_MOST_ON_A_CURVE: Final = 160
_FEW: Final = 5


def bars(
    page: Canvas,
    box: Box,
    values: Sequence[tuple[str, float]],
    description: str,
    *,
    series: str,
    pattern: str,
    ink: Ink = Ink.TEAL,
) -> None:
    """Horizontal bars with their values, the first on top.

    Parameters
    ----------
    page, box, description
        Where, and what is read out.
    values : sequence of (name, value)
    series : str
        What the values are.
    pattern : str
        How they are written, as a spreadsheet's number format.
    ink : Ink
    """
    data = _DATA.CategoryChartData(number_format=pattern)
    data.categories = [name for name, _ in values]
    data.add_series(series, [value for _, value in values])
    chart = page.chart(XL_CHART_TYPE.BAR_CLUSTERED, box, data, description)
    _usual(chart)
    chart.category_axis.reverse_order = True
    chart.category_axis.format.line.fill.background()
    chart.category_axis.has_major_gridlines = False
    chart.value_axis.visible = False
    chart.value_axis.has_major_gridlines = False
    chart.value_axis.minimum_scale = 0
    # room for the value beyond the longest bar
    chart.value_axis.maximum_scale = 1.2 * max(max(value for _, value in values), 1e-9)
    plot = chart.plots[0]
    plot.gap_width = 45 if len(values) > _FEW else 110
    plot.has_data_labels = True
    labels = plot.data_labels
    labels.number_format, labels.number_format_is_linked = pattern, False
    labels.position = XL_LABEL_POSITION.OUTSIDE_END
    labels.font.size, labels.font.bold = Pt(12), True
    fill = plot.series[0].format.fill
    fill.solid()
    ink.put(fill.fore_color)


def curve(
    page: Canvas,
    box: Box,
    cumulative: Curve,
    marks: Sequence[tuple[int, str]],
    description: str,
    names: tuple[str, str, str],
) -> None:
    """Cumulative variance against the number of components, which is on a logarithmic axis.

    Parameters
    ----------
    page, box, description
        Where, and what is read out.
    cumulative : ndarray of shape (rank,), float64
        Shares of 1.
    marks : sequence of (components, text)
        Points that are named.
    names : tuple of str
        Names of the curve, of the horizontal axis and of the vertical one.
    """
    rank = len(cumulative)
    shown = np.unique(np.geomspace(1, rank, min(rank, _MOST_ON_A_CURVE)).round().astype(int))
    data = _DATA.XyChartData(number_format="0.0")
    line = data.add_series(names[0])
    for place in shown.tolist():
        line.add_data_point(place, 100 * float(cumulative[place - 1]))
    named = data.add_series(" ")
    for place, _ in marks:
        named.add_data_point(place, 100 * float(cumulative[place - 1]))
    chart = page.chart(XL_CHART_TYPE.XY_SCATTER_LINES_NO_MARKERS, box, data, description)
    _usual(chart)
    _axis(chart.category_axis, names[1])
    _axis(chart.value_axis, names[2])
    chart.value_axis.minimum_scale, chart.value_axis.maximum_scale = 0, 100
    chart.value_axis.major_unit = 20
    chart.category_axis.minimum_scale = 1
    chart.category_axis.maximum_scale = _round_above(rank)
    _logarithmic(chart.category_axis)
    drawn, points = chart.plots[0].series
    drawn.smooth = points.smooth = False
    Ink.TEAL.put(drawn.format.line.color)
    drawn.format.line.width = Pt(2.5)
    points.format.line.fill.background()
    _markers(points, Ink.AMBER, 9)
    for index, (_, text) in enumerate(marks):
        label = points.points[index].data_label
        label.position = XL_LABEL_POSITION.LEFT
        label.text_frame.text = text
        font = label.text_frame.paragraphs[0].runs[0].font
        font.size, font.bold = Pt(11), True


def plane(
    page: Canvas,
    box: Box,
    clouds: Sequence[tuple[str, Ink, Sequence[tuple[float, float]]]],
    description: str,
    names: tuple[str, str],
) -> None:
    """Points in a plane, coloured by class.

    Parameters
    ----------
    page, box, description
        Where, and what is read out.
    clouds : sequence of (class, colour, points)
    names : tuple of str
        Names of the axes.
    """
    # LibreOffice draws no series that stands before a longer one
    clouds = sorted(clouds, key=lambda cloud: -len(cloud[2]))
    data = _DATA.XyChartData(number_format="0.00")
    for name, _, points in clouds:
        series = data.add_series(name)
        for x, y in points:
            series.add_data_point(x, y)
    chart = page.chart(XL_CHART_TYPE.XY_SCATTER, box, data, description)
    _usual(chart)
    for axis, name in zip((chart.category_axis, chart.value_axis), names, strict=True):
        _axis(axis, name)
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "0", False
    chart.category_axis.has_major_gridlines = True
    _grid(chart.category_axis)
    if len(clouds) > 1:
        chart.has_legend = True
        chart.legend.position = XL_LEGEND_POSITION.RIGHT
        chart.legend.include_in_layout = False
        chart.legend.font.size = Pt(12)
    for series, (_, ink, _) in zip(chart.plots[0].series, clouds, strict=True):
        series.format.line.fill.background()
        _markers(series, ink, 5 if ink is Ink.GREY else 7)


def _round_above(rank: int) -> int:
    """The next of 10, 20, 50, 100 and so on."""
    power: int = 10 ** max(1, int(np.log10(rank)))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= rank)


def _usual(chart: Any) -> None:
    chart.has_title = False
    chart.has_legend = False
    chart.font.size = Pt(12)
    Ink.TEXT.put(chart.font.color)


def _axis(axis: Any, name: str) -> None:
    axis.has_title = True
    axis.axis_title.text_frame.text = name
    font = axis.axis_title.text_frame.paragraphs[0].runs[0].font
    font.size, font.bold = Pt(12), False
    Ink.MUTED.put(font.color)
    axis.tick_labels.font.size = Pt(11)
    # where an axis goes through 0, its labels would stand among the points
    axis.tick_label_position = XL_TICK_LABEL_POSITION.LOW
    Ink.GREY.put(axis.format.line.color)
    if axis.has_major_gridlines:
        _grid(axis)


def _grid(axis: Any) -> None:
    line = axis.major_gridlines.format.line
    line.width = Pt(0.5)
    Ink.GREY.put(line.color, 0.6)


def _markers(series: Any, ink: Ink, size: int) -> None:
    marker = series.marker
    marker.style, marker.size = XL_MARKER_STYLE.CIRCLE, size
    marker.format.fill.solid()
    ink.put(marker.format.fill.fore_color, 0.4 if ink is Ink.GREY else 0.0)
    marker.format.line.fill.background()


def _logarithmic(axis: Any) -> None:
    scaling = axis._element.find(qn("c:scaling"))
    base = OxmlElement("c:logBase")
    base.set("val", "10")
    # the schema wants it first
    scaling.insert(0, base)
