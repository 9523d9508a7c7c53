"""What needs packages that the base leaves out, and how this very installation gets them."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType
from urllib.parse import urlsplit
from urllib.request import url2pathname

from featuremill.errors import MissingExtraError

EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aws": ("boto3", "jmespath", "obstore"),
        "explore": ("embedding_atlas",),
        "heif": ("pi_heif",),
        "onnxruntime": ("onnxruntime",),
        "pandas": ("pandas",),
        "slides": ("pptx",),
        "spark": ("pyspark",),
    }
)
"""Extra, as pyproject.toml names it → the modules it brings that are imported here."""


def require(extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed; nothing of it is imported.

    Parameters
    ----------
    extra : str
        One of :data:`EXTRAS`.
    what : str
        What needs it, as the subject of the error.

    Raises
    ------
    MissingExtraError
        If a module of it is missing; it says how to install the extra.
    """
    for module in EXTRAS[extra]:
        if not is_installed(module):
            raise MissingExtraError(
                f"{what} needs {module}, which is not installed",
                f"Install the extra {extra!r}: {install_command(extra)}",
            )


def is_installed(module: str) -> bool:
    """Whether a top-level module is there, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # the latter of a module that stands in for another
        return False


def install_command(extra: str) -> str:
    """What one types to add an extra to this installation, wherever it came from.

    >>> install_command("aws")  # doctest: +SKIP
    "/home/me/featuremill/.venv/bin/python -m pip install -e '/home/me/featuremill[aws]'"
    """
    return f"{shlex.quote(sys.executable)} -m pip install {_requirement(extra)}"


def _requirement(extra: str) -> str:
    """The package with the extra, as pip finds it where it was installed from (PEP 610)."""
    named = f"featuremill[{extra}]"
    try:
        text = metadata.distribution("featuremill").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        return shlex.quote(named)
    origin = json.loads(text)
    address = urlsplit(origin["url"])
    if address.scheme != "file" or "vcs_info" in origin:
        kind = f"{origin['vcs_info']['vcs']}+" if "vcs_info" in origin else ""
        return shlex.quote(f"{named} @ {kind}{origin['url']}")
    folder_or_wheel = shlex.quote(f"{url2pathname(address.path)}[{extra}]")
    editable = origin.get("dir_info", {}).get("editable", False)
    return f"-e {folder_or_wheel}" if editable else folder_or_wheel
