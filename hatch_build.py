"""Packs plotly.js into the package while it is built, so that nobody needs Plotly's 70 MB for it.

The report is drawn by this one file. It comes out of the Python package `plotly`, which is needed
to build and not to run; its licence (MIT) stands at the head of the file.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKED = "src/featuremill/report/script/plotly.min.js"


class PlotlyJs(BuildHookInterface[Any]):
    """Copies the file into the checkout, where wheels and editable installations find it."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Before each build; without Plotly the file of an earlier build stays."""
        plotly = importlib.util.find_spec("plotly")
        target = Path(self.root, PACKED)
        if plotly is not None and plotly.origin is not None:
            source = Path(plotly.origin).with_name("package_data") / target.name
            shutil.copyfile(source, target)
        elif not target.exists():
            raise FileNotFoundError(f"{target} comes from the package plotly, which is missing")
        build_data["artifacts"].append(PACKED)
