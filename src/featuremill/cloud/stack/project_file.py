"""Which stack belongs to this folder: one small file, safe to commit, without secrets."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from featuremill.cloud.aws.regions import check_region
from featuremill.errors import ConfigError, DestinationError

FILE = "featuremill-cloud.json"
ESTIMATE_FILE = "featuremill-estimate.json"
"""What is kept beside it: see :mod:`featuremill.cloud.pricing.cost`."""

# as AWS has them: they become part of names, addresses and commands
_FORMS = {
    "stack": re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}"),
    "region": re.compile(r"[a-z0-9-]+"),
    "account": re.compile(r"\d{12}"),
}


@dataclass(frozen=True)
class Place:
    """A deployed stack, as later commands need to know it.

    Parameters
    ----------
    stack : str
        Name of the CloudFormation stack.
    region : str
        Where it is.
    account : str
        Twelve digits.
    outputs : mapping
        The stack's outputs: names of bucket, application, roles and so on.
    allowed_regions : tuple of str
        Regions outside the EU that were allowed on purpose.
    last_job : mapping
        What the newest submitted job was: kind, identifiers, destination.
    """

    stack: str
    region: str
    account: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    allowed_regions: tuple[str, ...] = ()
    last_job: Mapping[str, Any] = field(default_factory=dict)

    def output(self, name: str) -> str:
        """One of the stack's outputs.

        Raises
        ------
        ConfigError
            If the stack has no such output: it was deployed by another version or without a part.
        """
        if name not in self.outputs:
            known = ", ".join(self.outputs) or "none"
            raise ConfigError(
                f"stack {self.stack} has no output {name}; it has {known}",
                "Deploy it again: `featuremill cloud deploy`.",
            )
        return self.outputs[name]


def save(place: Place, folder: Path) -> Path:
    """Write the file of a folder, whole or not at all."""
    file = folder / FILE
    try:
        # a name that nobody can guess: in a shared folder a link might wait under another one
        with tempfile.TemporaryDirectory(prefix=f".{FILE}-", dir=folder) as own:
            partial = Path(own, FILE)
            partial.write_text(json.dumps(asdict(place), indent=2) + "\n", encoding="utf-8")
            partial.replace(file)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return file


def check_writable(folder: Path) -> None:
    """Refuse a folder where :func:`save` could not write, before anything is made.

    Raises
    ------
    DestinationError
        If nothing can be written there.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> DestinationError:
    return DestinationError(
        f"{folder.absolute()} cannot be written: {error.strerror or error}",
        f"Go to a folder of your own: {FILE} says there which stack belongs to it.",
    )


def load(folder: Path) -> Place:
    """Read the file of a folder.

    Raises
    ------
    ConfigError
        If there is none, or it is not what :func:`save` writes.
    """
    file = folder / FILE
    if not file.exists():
        raise ConfigError(
            f"{folder.absolute()} belongs to no stack: it has no {FILE}",
            "Run `featuremill cloud deploy` here first, or go to the folder where you did.",
        )
    try:
        place = _read(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} is damaged: {error}",
            "Delete it and run `featuremill cloud deploy` again, which finds the stack.",
        ) from error
    check_region(place.region, place.allowed_regions)
    return place


def _read(content: Any) -> Place:
    allowed = tuple(content.pop("allowed_regions", ()))
    place = Place(**content, allowed_regions=allowed)
    for name, form in _FORMS.items():
        if not form.fullmatch(getattr(place, name)):
            raise ValueError(f"{name} is {getattr(place, name)!r}")
    for name in ("outputs", "last_job"):
        found = getattr(place, name)
        if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
            raise ValueError(f"{name} is no object of texts")
    return place


def forget(folder: Path) -> None:
    """Remove the file, after the stack is gone."""
    (folder / FILE).unlink(missing_ok=True)
