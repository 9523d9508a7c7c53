"""Turns what a run left into one HTML file that opens from disk, with no network.

Importing this package loads neither plotly nor jinja2: :func:`render` does when called.
"""

from featuremill.report.data import ReportData
from featuremill.report.page import render

__all__ = ["ReportData", "render"]
