"""Writes an export: a file, or some files of a folder, local or on S3."""

import fnmatch
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from featuremill.errors import ConfigError, DestinationError, FeaturemillError, StorageError
from featuremill.storage import Store, open_store


@dataclass
class Output:
    """A place to write to.

    Attributes
    ----------
    store : Store
        The folder.
    file : str or None
        Name of the only file, if the export is one file.
    written : list of str
        Names written so far.
    """

    store: Store
    file: str | None
    written: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The file or the folder, as a person would write it."""
        return f"{self.store.url}/{self.file}" if self.file else self.store.url

    def check(self, results: Store, names: Sequence[str], *, overwrite: bool) -> None:
        """Refuse to write over anything that nobody said may be replaced.

        Parameters
        ----------
        results : Store
            That the output must stay out of: its folder is that of runs and of forget.
        names : sequence of str
            What will be written; globs where the number of files is open.

        Raises
        ------
        DestinationError
            If it lies in the results, or with the first name that is there.
        """
        if results.contains(self.store):
            raise DestinationError(
                f"output {self.url} lies in the results at {results.url}",
                "Choose an output outside: `featuremill forget` would not reach it.",
            )
        try:
            found = next(self._existing(names), None)
        except StorageError as error:
            raise DestinationError(error.problem, error.remedy) from error
        if found is not None and not overwrite:
            raise DestinationError(
                f"{self.store.url}/{found} is there already",
                "Choose another output, or give --overwrite to replace it.",
            )

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Stream into a file that appears when the block ends without an error."""
        with self.store.writer(name) as file:
            yield file
        self.written.append(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        with self.writer(name) as file:
            file.write(data)

    @contextmanager
    def cleared_on_failure(self) -> Iterator[None]:
        """Leave nothing behind of an export that does not end well."""
        try:
            yield
        except BaseException:
            # where storage is what failed, the first failure is the one to hear of
            with suppress(FeaturemillError):
                for name in self.written:
                    self.store.remove(name)
            raise

    def remove_leftovers(self, names: Sequence[str]) -> None:
        """Remove what an earlier export of the same form wrote and this one did not."""
        for name in list(self._existing(names)):
            if name not in self.written:
                self.store.remove(name)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file written."""
        return {name: self.store.size(name) or 0 for name in self.written}

    def _existing(self, names: Sequence[str]) -> Iterator[str]:
        for name in [self.file] if self.file else names:
            if "*" not in name:
                if self.store.size(name) is not None:
                    yield name
                continue
            folder = name.rpartition("/")[0]
            yield from (n for n in self.store.names(folder) if fnmatch.fnmatchcase(n, name))


def open_output(
    url: str | os.PathLike[str], *, is_file: bool, endpoint_url: str | None, region: str | None
) -> Output:
    """Find the folder that is meant, and the file in it if the export is one.

    Raises
    ------
    ConfigError
        If no file is named, or the URL is none.
    DestinationError
        If there is a folder where a file is to be, or the other way round.
    """
    text = os.fspath(url)
    path = None if "://" in text else Path(text)
    if not is_file:
        if path is not None and path.exists() and not path.is_dir():
            raise DestinationError(f"output {text} is a file", "Name a folder.")
        return Output(open_store(text, endpoint_url=endpoint_url, region=region), None)
    if path is not None and path.is_dir():
        raise DestinationError(f"output {text} is a folder", "Name a file in it.")
    folder, _, name = text.rpartition("/") if path is None else (path.parent, "", path.name)
    if not name or str(folder).endswith(":/"):
        raise ConfigError(f"output {text!r} names no file", "Name a file, such as model.onnx.")
    return Output(open_store(folder, endpoint_url=endpoint_url, region=region), name)
