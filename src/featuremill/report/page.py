"""Renders a report as one HTML file, with its styles, scripts and data inside."""

import importlib.util
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from featuremill._utils import formatting
from featuremill.errors import RunError
from featuremill.report.data import LEDGER_PARTS, ModelFacts, ReportData
from featuremill.report.explorer import COLOURS, SHAPES, Look, places
from featuremill.report.figures import MOST_CLASSES, Figure, confusion, cumulative_variance

if TYPE_CHECKING:
    from jinja2 import Environment

CLASSES_OPEN: Final = 24
"""Classes shown at once; the others are folded away."""

REJECTS_OPEN: Final = 10
MISTAKES_OPEN: Final = 12
GROUP_OPEN: Final = 6
"""Pictures of a group of images that are alike."""

STYLES: Final = ("page.css", "sections.css", "explorer.css", "print.css")
SCRIPTS: Final = (
    "data.js",
    "pictures.js",
    "neighbours.js",
    "search.js",
    "state.js",
    "figures.js",
    "geometry.js",
    "plane.js",
    "space.js",
    "panel.js",
    "grid.js",
    "pointer.js",
    "keyboard.js",
    "stage.js",
    "choice.js",
    "controls.js",
    "tables.js",
)
"""In the order in which they are read; those of a page without an explorer are fewer."""

_ALWAYS: Final = ("figures.js", "tables.js")


def render(data: ReportData) -> str:
    """Lay out a report.

    Returns
    -------
    str
        One HTML document. It fetches nothing: scripts, styles, plots and pictures are inside, a
        content security policy forbids the rest, and every value is escaped for where it stands.
    """
    from markupsafe import Markup

    figures = _figures(data)
    scripts = _scripts(data) if figures else []
    explorer, sheets = data.explorer, data.sheets
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            data=data,
            found=data.found,
            parts=LEDGER_PARTS,
            model=_model(data.model),
            sentence=sentence(data),
            headline=headline(data),
            marks=data.marks(),
            points=formatting.points,
            classes=data.found.classes,
            mistakes=data.found.mistakes(),
            labels_of=lambda rows: list(dict.fromkeys(data.pictures[row].label for row in rows)),
            looks=_looks(data),
            colours=COLOURS,
            shapes=SHAPES,
            figures=figures,
            explorer=explorer,
            explorer_data=None if explorer is None else explorer.description(),
            scores={} if explorer is None else _inert(upper=explorer.upper, lower=explorer.lower),
            sheets_data=None if explorer is None or not sheets else places(sheets, explorer.images),
            sheets=[Markup(b64encode(image).decode("ascii")) for image in sheets.images]
            if sheets
            else [],
            reasons=_without_thumbnail(data),
            scripts=[Markup(script) for script in scripts],
            hashes=[_hash(script) for script in scripts],
            style=Markup("\n".join(text("style", name) for name in STYLES)),
            limits={
                "classes": CLASSES_OPEN,
                "rejects": REJECTS_OPEN,
                "mistakes": MISTAKES_OPEN,
                "group": GROUP_OPEN,
                "confusion": MOST_CLASSES,
            },
        )
    )


def sentence(data: ReportData) -> str:
    """The result of the run, in one sentence."""
    made = (
        f"{formatting.plural(data.images, 'image')} in"
        f" {formatting.plural(data.found.labels, 'class', 'classes')} became"
        f" {formatting.number(data.features)} features each"
    )
    if data.variance_held is None:
        return f"{made}; no components were computed."
    hold = "holds" if data.k == 1 else "hold"
    return (
        f"{made}, reduced to {formatting.plural(data.k, 'component')} that {hold}"
        f" {formatting.percent(data.variance_held)} of the variance."
    )


def headline(data: ReportData) -> list[tuple[str, str]]:
    """The numbers at the top, each with its name."""
    numbers = [
        ("images", formatting.number(data.images)),
        ("features", formatting.number(data.features)),
    ]
    if data.variance_held is not None:
        numbers.append(("components", formatting.number(data.k)))
        numbers.append(("variance held", formatting.percent(data.variance_held)))
    if data.found.accuracy:
        numbers.append(("k-NN accuracy", formatting.percent(data.found.accuracy[-1].share)))
    if data.images_per_second is not None:
        numbers.append(("images a second", f"{data.images_per_second:,.0f}"))
    numbers.append(("rejected", formatting.number(data.rejects)))
    return numbers


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
    labels = sorted({label for pair in data.found.confusion for label in pair})
    if 1 < len(labels) <= MOST_CLASSES:
        figures["confusion"] = confusion(data.found.confusion, labels)
    return figures


def _looks(data: ReportData) -> Mapping[str, Look]:
    if data.explorer is None:
        return {}
    return dict(zip(data.explorer.labels, data.explorer.looks, strict=True))


def _without_thumbnail(data: ReportData) -> Mapping[str, int]:
    if data.sheets is None:
        return {}
    left_out = {"no room in this file": data.sheets.left_out} if data.sheets.left_out else {}
    return {**data.sheets.missing, **left_out}


def _scripts(data: ReportData) -> Sequence[str]:
    names = SCRIPTS if data.explorer else _ALWAYS
    return [plotly_js().read_text("utf-8"), *(text("script", name) for name in names)]


def plotly_js() -> Path:
    """The script that draws: packed when this package was built, by ``hatch_build.py``.

    In a checkout that was never built it is that of the package plotly.

    Raises
    ------
    RunError
        If it is in neither.
    """
    packed = Path(__file__).with_name("script") / "plotly.min.js"
    if packed.exists():
        return packed
    plotly = importlib.util.find_spec("plotly")
    if plotly is None or plotly.origin is None:
        raise RunError(
            f"{packed} is missing: this checkout was never installed",
            "Install it: `make demo`, or `pip install --editable .` in it.",
        )
    return Path(plotly.origin).with_name("package_data") / packed.name


def _inert(**texts: str) -> Mapping[str, str]:
    """Base64, which needs no escaping, and is too long to be looked through for it."""
    from markupsafe import Markup

    return {name: Markup(text) for name, text in texts.items()}


def environment() -> "Environment":
    """Where the templates of this package are, with what they may call."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: text("templates", name)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": formatting.number,
        "plural": formatting.plural,
        "percent": formatting.percent,
        "cosine": formatting.cosine,
        "seconds": formatting.seconds,
        "hours": formatting.hours,
        "base64": lambda data: b64encode(data).decode("ascii"),
    }
    environment.filters.update(filters)
    return environment


def _hash(source: str) -> str:
    """The source as a content security policy names an inline script that may run."""
    return "sha256-" + b64encode(sha256(source.encode()).digest()).decode("ascii")


def text(folder: str, name: str) -> str:
    """A file of this package: its folder, and its name."""
    return files("featuremill.report").joinpath(folder, name).read_text(encoding="utf-8")
