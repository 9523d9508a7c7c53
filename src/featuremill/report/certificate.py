"""Renders a certificate of a network as one HTML file, which needs no network."""

from collections.abc import Mapping
from typing import Any

from featuremill.report.page import environment, text


def render(made: Mapping[str, Any]) -> str:
    """Lay out what ``featuremill models certify`` found.

    Returns
    -------
    str
        One HTML document that fetches and runs nothing; every value is escaped.
    """
    from markupsafe import Markup

    template = environment().get_template("certificate.html.j2")
    style = "\n".join(text("style", name) for name in ("page.css", "sections.css"))
    return template.render(made=made, style=Markup(style))
