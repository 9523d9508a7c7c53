"""The notebooks that come with featuremill, and how a notebook gets into the bucket."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from featuremill.cloud.aws.plan import Call
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import ConfigError


def own_notebooks() -> list[Path]:
    """The step-by-step notebook in each language; none where an installation lacks them."""
    package = Path(str(resources.files("featuremill")))
    # in a checkout they stand beside src
    for folder in (package / "notebooks", package.parents[1] / "notebooks"):
        if found := sorted(folder.glob("featuremill*.ipynb")):
            return found
    return []


def put_notebooks(place: Place, folder: str, given: Iterable[Path] = ()) -> list[Call]:
    """Steps that put notebooks into a folder of the bucket: those given, and our own.

    Parameters
    ----------
    place : Place
        Whose bucket.
    folder : str
        Where in it; what is there already under the same name is left as it is.
    given : iterable of Path
        They come before our own of the same name.

    Raises
    ------
    ConfigError
        If one of those given is no file.
    """
    wanted = {path.name: path for path in (*own_notebooks(), *given)}
    return [_put(place, folder, path) for path in wanted.values()]


def _put(place: Place, folder: str, notebook: Path) -> Call:
    if not notebook.is_file():
        raise ConfigError(f"--notebook {notebook} is no file", "Name an .ipynb file.")
    return Call(
        "s3",
        "put_object",
        {
            "Bucket": place.output("Bucket"),
            "Key": f"{folder}/{notebook.name}",
            "Body": notebook.read_bytes(),
            # what somebody worked on there must not be lost
            "IfNoneMatch": "*",
        },
        f"put {notebook.name} in the bucket, unless it is there",
        forgives=("PreconditionFailed",),
    )
