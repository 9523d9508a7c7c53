"""Draws a sample: checks what was asked, chooses images, copies them, and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from featuremill._utils import paths
from featuremill._utils.formatting import plural
from featuremill._utils.progress import Progress
from featuremill.errors import ConfigError, DestinationError
from featuremill.storage import Store, open_store
from featuremill.storage.local import LocalStore
from featuremill.workflows.sample.choice import Candidate, Choice, choose
from featuremill.workflows.sample.config import SampleConfig
from featuremill.workflows.sample.transfer import Transfer, left_by_interrupted, require_part_of

_NAMED = 3
"""Classes that a warning names."""

UNHELD = "a name that the destination cannot hold"


@dataclass(frozen=True)
class ClassSample:
    """A class of the sample: ``taken`` of its ``available`` images."""

    label: str
    available: int
    taken: int
    bytes: int


@dataclass(frozen=True)
class Sampled:
    """The result of a sample.

    Attributes
    ----------
    classes : tuple of ClassSample
        By label; also classes that gave nothing.
    left_out : mapping
        Reason → entries of the source that were no candidates.
    already_there : int
        Images that an interrupted sample had brought before.
    """

    source: str
    destination: str
    classes: tuple[ClassSample, ...]
    left_out: Mapping[str, int]
    already_there: int
    dry_run: bool
    warnings: tuple[str, ...]

    @property
    def images(self) -> int:
        """Images of the sample."""
        return sum(one.taken for one in self.classes)

    @property
    def bytes(self) -> int:
        """Their size."""
        return sum(one.bytes for one in self.classes)


def sample(config: SampleConfig, *, progress: Progress | None = None) -> Sampled:
    """Bring a seeded, stratified sample of a source to a new folder or prefix.

    Images keep their paths below the source, and so their labels. The same seed chooses the same
    images wherever the source lies and in whatever order it is listed, and a larger sample of the
    same seed holds the smaller one. What was interrupted goes on when it is called again.

    Parameters
    ----------
    config : SampleConfig
        What to choose, from where, to where.
    progress : Progress, optional
        Is told how far it is.

    Raises
    ------
    InputError
        If something was refused before anything was written.
    RunError
        If images could not be brought; those that were stay there.
    """
    progress = progress or Progress()
    source, destination = (
        open_store(url, endpoint_url=config.endpoint_url, region=config.region)
        for url in (config.source, config.destination)
    )
    if isinstance(source, LocalStore):
        source = replace(source, follow_links=config.follow_links)
    _require_places(config, source, destination)
    there = left_by_interrupted(destination)
    progress.say(f"listing {source.url}")
    choice = choose(source, config, progress.say)
    images = choice.images
    require_part_of(destination, there, images)
    warnings = _warnings(config, choice, source, destination)
    for warning in warnings:
        progress.warn(warning)
    if not config.dry_run:
        unheld = Transfer(config, source, destination, progress).bring(images, there)
        if unheld:
            warnings.append(_go_without(choice, unheld, destination))
            progress.warn(warnings[-1])
    return Sampled(
        source=source.url,
        destination=destination.url,
        classes=tuple(
            ClassSample(name, choice.available[name], len(taken), sum(one.size for one in taken))
            for name, taken in choice.taken.items()
        ),
        left_out=dict(choice.left_out),
        already_there=len(there),
        dry_run=config.dry_run,
        warnings=tuple(warnings),
    )


def _go_without(choice: Choice, unheld: Sequence[Candidate], destination: Store) -> str:
    """Count images as left out whose names the destination refused; tells what is to be said."""
    gone = set(unheld)
    for label, taken in choice.taken.items():
        choice.taken[label] = [image for image in taken if image not in gone]
    choice.left_out[UNHELD] += len(unheld)
    return (
        f"{plural(len(unheld), 'image was', 'images were')} left out, since {destination.url}"
        f" cannot hold the name, such as {unheld[0].below}"
    )


def _require_places(config: SampleConfig, source: Store, destination: Store) -> None:
    if source.contains(destination):
        raise DestinationError(
            f"destination {destination.url} lies inside source {source.url}",
            "Choose a destination outside: the sample must not be listed with its source.",
        )
    if config.mode == "copy":
        return
    if not (isinstance(source, LocalStore) and isinstance(destination, LocalStore)):
        raise ConfigError(
            f"--mode is {config.mode}, but {source.url} and {destination.url} are not both folders",
            "Give --mode copy.",
        )
    if config.mode == "hardlink" and _device(source) not in (None, _device(destination)):
        raise DestinationError(
            f"{source.url} and {destination.url} lie on different file systems,"
            " between which there are no hard links",
            "Give --mode copy or --mode symlink.",
        )


def _device(store: LocalStore) -> int | None:
    """File system of a folder, or of where it will be made."""
    path = Path(store.url)
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), None)
    return existing.stat().st_dev if existing else None


def _warnings(config: SampleConfig, choice: Choice, source: Store, destination: Store) -> list[str]:
    said = []
    small = [name for name, count in choice.available.items() if count < (config.per_class or 0)]
    if small:
        said.append(f"{_classes(small)} fewer than {config.per_class:,} images: all were taken")
    images, classes = sum(choice.available.values()), len(choice.available)
    if config.total and images < config.total:
        said.append(f"there are {images:,} images, fewer than {config.total:,}: all were taken")
    elif config.total and config.total < classes:
        said.append(f"{classes - config.total:,} of {classes:,} classes gave no image")
    if config.random_classes and classes < config.random_classes:
        said.append(
            f"there are {classes:,} classes, fewer than {config.random_classes:,}: all were taken"
        )
    direct = sum("/" not in image.below for image in choice.images)
    old, new = (paths.label(f"{store.url}/x") for store in (source, destination))
    if direct and old != new:
        said.append(
            f"{direct:,} images lie directly in {source.url}:"
            f" there their label is {old}, in the sample it is {new}"
        )
    return said


def _classes(labels: list[str]) -> str:
    some = ", ".join(labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")
    return f"{len(labels):,} {'class holds' if len(labels) == 1 else 'classes hold'} ({some})"
