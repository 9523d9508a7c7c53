"""Copies the chosen images to the destination, each whole or not at all, and verifies them.

A marker lies at the destination from before the first image until after the last was verified.
Where it is found, the sample was interrupted, and the same command resumes it.
"""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featuremill._utils import paths
from featuremill._utils.progress import Progress
from featuremill._utils.threads import each
from featuremill.errors import DestinationError, RunError, SourceError, StorageError
from featuremill.storage import Store
from featuremill.storage.destination import sizes_at
from featuremill.storage.local import BEGUN, make_folders
from featuremill.workflows.sample.choice import Candidate
from featuremill.workflows.sample.config import SampleConfig

MARKER = ".featuremill-sample-unfinished.json"


def left_by_interrupted(destination: Store) -> dict[str, int]:
    """Names and sizes of what an interrupted sample left; empty where nothing is there.

    Raises
    ------
    DestinationError
        If something else is there, or the destination cannot be read.
    """
    try:
        there = list(destination.names(""))
    except StorageError as error:
        raise DestinationError(error.problem, error.remedy) from error
    seen = [name for name in there if not _hidden(name)]
    if MARKER in there:
        return _sizes(destination)
    if seen:
        raise DestinationError(
            f"destination {destination.url} is not empty: it holds {seen[0]}"
            + (f" and {len(seen) - 1:,} more files" if len(seen) > 1 else ""),
            "Choose a new folder or prefix.",
        )
    return {}


def require_part_of(
    destination: Store, there: Mapping[str, int], images: Sequence[Candidate]
) -> None:
    """Refuse to go on where something is there that is not of this sample."""
    wanted = {_name(image): image.size for image in images}
    foreign = [name for name, size in there.items() if wanted.get(name) != size]
    if foreign:
        raise DestinationError(
            f"destination {destination.url} holds an unfinished sample, and {len(foreign):,} files"
            f" that are not part of this one, such as {foreign[0]}",
            "Give the same command as then, or choose a new folder or prefix.",
        )


@dataclass(frozen=True)
class Transfer:
    """One sample on its way."""

    config: SampleConfig
    source: Store
    destination: Store
    progress: Progress

    def bring(self, images: Sequence[Candidate], there: Mapping[str, int]) -> list[Candidate]:
        """Bring what is missing, verify everything, and take the marker away.

        Gives the images whose names the destination cannot hold, which it goes without.

        With S3 on a side 32 images are under way at once; those held have 256 MiB together, or one
        has more.

        Raises
        ------
        DestinationError
            If the destination cannot be written or takes two of the names for one.
        RunError
            If images could not be brought; the others were.
        """
        self._mark(images)
        missing = [image for image in images if _name(image) not in there]
        expected = dict(there)
        unread: dict[Candidate, OSError] = {}
        unheld: dict[Candidate, StorageError] = {}
        threads = max(self.source.read_ahead, self.destination.read_ahead)
        for image, outcome in each(missing, self._one, lambda image: image.size, threads=threads):
            if isinstance(outcome, int):
                expected[_name(image)] = outcome
            elif isinstance(outcome, StorageError):
                unheld[image] = outcome
            else:
                unread[image] = outcome
            self.progress.advance(len(expected) + len(unread) + len(unheld), len(images))
        if unheld and not expected:
            # it is hardly the names
            raise next(iter(unheld.values()))
        if unread:
            image, reason = next(iter(unread.items()))
            raise RunError(
                f"{len(unread):,} of {len(images):,} images could not be read, such as"
                f" {image.below}: {reason.strerror or reason}",
                "The others are at the destination; run the same command again to resume.",
            )
        self._verify(expected)
        self.destination.remove(MARKER)
        return list(unheld)

    def _mark(self, images: Sequence[Candidate]) -> None:
        note = {
            "unfinished sample of": self.source.url,
            "what to do": "give the same command again, or remove this folder",
        }
        try:
            new = self.destination.create(MARKER, json.dumps(note, indent=2).encode())
        except StorageError as error:
            remedy = "Choose a destination you may write to."
            raise DestinationError(error.problem, remedy) from error
        if not new:
            # what a process that was killed had begun to write
            for name in list(self.destination.names("")):
                if BEGUN.fullmatch(name.rpartition("/")[2]):
                    self.destination.remove(name)
        twins = _twins(images)
        # only a file system that ignores case finds the marker by this name
        if twins and self.destination.size(MARKER.upper()) is not None:
            if new:
                self.destination.remove(MARKER)
            raise DestinationError(
                f"{twins[0]} and {twins[1]} would be one file at {self.destination.url},"
                " which ignores case",
                "Leave one of them out with --exclude, or choose another destination.",
            )

    def _one(self, image: Candidate) -> tuple[Candidate, int | OSError | StorageError]:
        """Bring an image; tells its bytes, or why it cannot be read or its name not be held."""
        path = paths.prefix_of(self.source.url) + image.below
        try:
            return image, self._bring(path, _name(image))
        except OSError as error:
            return image, error
        except StorageError as error:
            if _refuses_name(error):
                return image, error
            raise

    def _bring(self, path: str, name: str) -> int:
        if self.config.mode != "copy":
            return self._link(path, name)
        data = self.source.fetch(path).data
        if not self.destination.create(name, data):
            raise self._taken(name)
        return len(data)

    def _link(self, path: str, name: str) -> int:
        # what a link in the source leads to, since a hard link to a link would be one too
        target = Path(os.fsdecode(paths.decode(path))).resolve()
        link = Path(self.destination.url, name)
        if not target.is_file():
            raise FileNotFoundError(errno.ENOENT, "gone since it was listed")
        try:
            make_folders(link.parent)
            if self.config.mode == "symlink":
                link.symlink_to(target)
            else:
                link.hardlink_to(target)
        except FileExistsError as error:
            raise self._taken(name) from error
        except OSError as error:
            raise StorageError(
                f"cannot link {link} to {target}: {error.strerror or error}",
                "Give --mode copy.",
            ) from error
        return link.stat().st_size

    def _taken(self, name: str) -> StorageError:
        return StorageError(
            f"{self.destination.url}/{name} has appeared meanwhile; it was not overwritten",
            "Make sure that nothing else writes there, remove the folder and sample again.",
        )

    def _verify(self, expected: Mapping[str, int]) -> None:
        found = _sizes(self.destination)
        wrong = [name for name, size in expected.items() if found.get(name) != size]
        if wrong:
            raise StorageError(
                f"{len(wrong):,} of {len(expected):,} files are missing at {self.destination.url}"
                f" or have another size, such as {wrong[0]}",
                "Make sure that nothing else writes there, remove these files and try again.",
            )


def _name(image: Candidate) -> str:
    return paths.decode(image.below).decode()


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _sizes(destination: Store) -> dict[str, int]:
    """Names of the files at the destination, but for hidden ones, and their sizes."""
    try:
        listed = sizes_at(destination)
    except SourceError as error:
        # there it is called a source, which here would mislead
        raise StorageError(error.problem, error.remedy) from error
    return {name: size for name, size in listed.items() if not _hidden(name)}


def _refuses_name(error: StorageError) -> bool:
    """Whether it is this name that cannot be written, as one too long or with a colon."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is not None:
        return cause.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
    return "KeyTooLong" in str(cause)


def _twins(images: Sequence[Candidate]) -> tuple[str, str] | None:
    """Two names that differ by case only, if there are such."""
    known: dict[str, str] = {}
    for image in images:
        other = known.setdefault(image.below.casefold(), image.below)
        if other != image.below:
            return other, image.below
    return None
