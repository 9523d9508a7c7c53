"""The forms of an export, one module each.

To add a form, write a module with what :class:`Form` asks for, and name it in :data:`FORMS`.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from featuremill._utils.progress import Progress
from featuremill.errors import ConfigError

if TYPE_CHECKING:
    from featuremill.export.output import Output
    from featuremill.export.results import Results

FORMS = ("onnx", "numpy", "pandas", "huggingface", "projector")
"""What an export can be; each is a module of this package."""


class Form(Protocol):
    """The interface of a form, which a module such as ``numpy`` has."""

    IS_FILE: bool
    """Whether the export is one file; else it is a folder."""
    NAMES: tuple[str, ...]
    """What is written below the folder; globs where the number of files is open."""

    def write(self, results: "Results", output: "Output", progress: Progress) -> Mapping[str, str]:
        """Write the export; returns remarks for people, by topic."""


def form_named(name: str) -> Form:
    """The form of a name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in FORMS:
        raise ConfigError(f"--to is {name!r}", f"Choose one of {', '.join(FORMS)}.")
    return cast("Form", importlib.import_module(f"featuremill.export.forms.{name}"))
