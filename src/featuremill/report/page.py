"""The page: the numbers as text, the template filled in, the plots carried along as JSON."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from featuremill.report.data import LEDGER_PARTS, ModelFacts, ReportData
from featuremill.report.figures import (
    Figure,
    class_colours,
    cumulative_variance,
    plane,
    plot_text,
)

if TYPE_CHECKING:
    from jinja2 import Environment

CLASSES_OPEN: Final = 24
"""Classes shown at once; the others are folded away."""

REJECTS_OPEN: Final = 10
LEGEND: Final = 12
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"


def render(data: ReportData) -> str:
    """Lay out a report.

    Returns
    -------
    str
        One HTML document. It fetches nothing: scripts, styles, plots and pictures are inside, a
        content security policy forbids the rest, and every value is escaped for where it stands.
    """
    figures = _figures(data)
    script = _text("page.js")
    plotly = _plotly() if figures else ""
    page = _environment().from_string(_text("page.html.j2"))
    return page.render(
        data=data,
        parts=LEDGER_PARTS,
        model=_model(data.model),
        sentence=sentence(data),
        headline=headline(data),
        marks=data.marks(),
        classes=data.classes_by_size,
        colours=_colours(data),
        figures=figures,
        plotly=plotly,
        script=script,
        hashes=[_hash(source) for source in (plotly, script)] if figures else [],
        style=_text("page.css"),
        classes_open=CLASSES_OPEN,
        rejects_open=REJECTS_OPEN,
        legend=LEGEND,
    )


def sentence(data: ReportData) -> str:
    """The result of the run, in one sentence."""
    made = (
        f"{plural(data.images, 'image')} in {plural(len(data.classes), 'class', 'classes')} became "
        f"{number(data.features)} features each"
    )
    if data.variance_held is None:
        return f"{made}; no components were computed."
    hold = "holds" if data.k == 1 else "hold"
    return (
        f"{made}, reduced to {plural(data.k, 'component')} that {hold} "
        f"{percent(data.variance_held)} of the variance."
    )


def headline(data: ReportData) -> list[tuple[str, str]]:
    """The numbers at the top, each with its name."""
    numbers = [("images", number(data.images)), ("features", number(data.features))]
    if data.variance_held is not None:
        numbers.append(("components", number(data.k)))
        numbers.append(("variance held", percent(data.variance_held)))
    if data.images_per_second is not None:
        numbers.append(("images a second", f"{data.images_per_second:,.0f}"))
    numbers.append(("rejected", number(data.rejects)))
    return numbers


def number(value: int) -> str:
    """An integer with its thousands set apart: ``67,692``."""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 image``, ``2 images``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """A share as per cent, rounded down so that only the whole is ever called 100 %."""
    tenths = int(share * 1000 + 1e-9) / 10
    return f"{tenths:.1f}{NARROW}%"


def seconds(value: float) -> str:
    """A duration: ``0.31 s``, ``42.0 s``, ``3 min 7 s``, ``2 h 5 min``."""
    if value < 60:
        return f"{value:.2f}{NARROW}s" if value < 10 else f"{value:.1f}{NARROW}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{NARROW}min {rest}{NARROW}s"
    return f"{minutes // 60}{NARROW}h {minutes % 60}{NARROW}min"


def _model(model: ModelFacts) -> list[tuple[str, str]]:
    return [
        ("name", model.name),
        ("weights", "trained" if model.trained else "untrained"),
        ("precision", model.precision),
        ("licence", model.licence),
        ("model id", model.model_id),
        ("weights SHA-256", model.weights_sha256),
    ]


def _figures(data: ReportData) -> dict[str, Figure]:
    if data.spectrum is None:
        return {}
    figures = {"variance": cumulative_variance(data.spectrum, data.k, data.marks())}
    if data.points:
        figures["plane"] = plane(data.points, _colours(data))
    return figures


def _colours(data: ReportData) -> Mapping[str, str]:
    labels = [label for label, _ in data.classes_by_size]
    return class_colours(dict.fromkeys([*labels, *(point.label for point in data.points)]))


def _environment() -> "Environment":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": number,
        "plural": plural,
        "percent": percent,
        "seconds": seconds,
        "plot_text": plot_text,
        "base64": lambda data: b64encode(data).decode("ascii"),
    }
    environment.filters.update(filters)
    return environment


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source


def _hash(source: str) -> str:
    """The source as a content security policy names an inline script that may run."""
    return "sha256-" + b64encode(sha256(source.encode()).digest()).decode("ascii")


def _text(name: str) -> str:
    return files("featuremill.report").joinpath(name).read_text(encoding="utf-8")
