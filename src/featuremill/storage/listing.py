"""Lists the images of a source; files that cannot be images are skipped and counted.

The content decides what an image is, not its name; so only what cannot be meant as one is
skipped, and everything else is fetched and examined.
"""

import fnmatch
import pickle
import queue
import re
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple

from featuremill._utils import paths
from featuremill.storage import NOTHING_LOST, Listed, Store
from featuremill.storage.ignored_files import is_of_system, why_no_image
from featuremill.storage.member_places import is_member, is_shard
from featuremill.storage.shards import members


class Reference(NamedTuple):
    """One image as listed.

    Its path (percent-encoded where it is not plain text), the name of its parent folder, a string
    that changes when the content does, and its size in bytes.
    """

    path: str
    label: str
    version: str
    bytes: int


class Rejection(NamedTuple):
    """An image that did not become features, the stage where it failed and why."""

    reference: Reference
    stage: str
    reason: str


def pack(items: Sequence[Reference | Rejection]) -> bytes:
    """Small, picklable form for queues and tasks (about 100 bytes a reference)."""
    return pickle.dumps([tuple(item) for item in items], protocol=pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> list[Reference | Rejection]:
    """Inverse of :func:`pack`."""
    return [
        Reference(*fields) if len(fields) == len(Reference._fields) else Rejection(*fields)
        for fields in pickle.loads(data)
    ]


_BATCH = 1024
_MOST_NAMED = 10
"""Classes that a message names."""


@dataclass(frozen=True)
class Selection:
    """A selection of the images of a source.

    Parameters
    ----------
    include, exclude : tuple of str
        Globs over the path below the source; ``*`` also crosses folders. Case counts.
    classes : tuple of str
        Names of parent folders; all if empty.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def chooser(self) -> Callable[[str, str], bool]:
        """Function of (path below the source, label) that tells whether an image is meant."""
        include = _any_glob(self.include) if self.include else None
        exclude = _any_glob(self.exclude) if self.exclude else None
        classes = frozenset(paths.of_class(name) for name in self.classes)

        def chosen(below: str, label: str) -> bool:
            below = paths.composed(below)
            return (
                (include is None or include.match(below) is not None)
                and (exclude is None or exclude.match(below) is None)
                and (not classes or label in classes)
            )

        return chosen

    def without_images(self, labels: Container[str]) -> list[str]:
        """Those of the classes that are none of the labels, for people."""
        return [paths.shown(name) for name in self.classes if paths.of_class(name) not in labels]


class Listing:
    """Lists a source in a thread of its own, so that Spark can start meanwhile.

    Iterate over it once for the references and for what could not even be listed
    (:class:`~featuremill.storage.listing.Rejection` of stage ``list``). An error of the source
    is raised to whoever iterates.

    Parameters
    ----------
    shards : bool
        Whether the members of shards are listed, or shards are skipped like other archives.
    """

    def __init__(self, source: Store, selection: Selection, *, shards: bool = True) -> None:
        self.listed = 0
        self.skipped: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.other_labels: set[str] = set()
        """Classes of images that are not selected."""
        self.finished = False
        self.selection = selection
        self._source = source
        self._root = paths.prefix_of(source.url)
        self._start = len(self._root)
        self._name = self._root[:-1].rpartition("/")[2]
        self._unreachable: set[str] = set()
        self._chosen = selection.chooser()
        # of a shard that cannot be listed, it is not known what of it would have been selected
        self._chosen_shard = replace(selection, include=(), classes=()).chooser()
        self._shards = shards
        self._stop = threading.Event()
        # packed, since a million references as tuples would fill half a gigabyte
        self._batches: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._first: list[bytes | None] = []
        self._thread = threading.Thread(target=self._run, name="listing", daemon=True)
        self._thread.start()

    @property
    def selected(self) -> int:
        """Images found so far; all of them once ``finished``."""
        return self.listed - self.skipped.total()

    def would_list(self, path: str) -> bool:
        """Whether an image of this path would have been listed and selected, were it there.

        Not so for one outside the source, or below a folder that could not be read. To be asked
        once ``finished``.
        """
        return self.selects(path) and self._unreachable.isdisjoint(_with_parents(path))

    def selects(self, path: str) -> bool:
        """Whether an image of this path lies in the source and is selected; at any time."""
        below = path[self._start :]
        if self.selection.classes and is_member(path):
            # its label may stand in the shard
            return False
        return (
            path.startswith(self._root)
            and not self._skip_reason(Listed(path, 0, ""), below)
            and self._is_chosen(path, below, paths.label(path))
        )

    @property
    def complete(self) -> bool:
        """Whether all of the source was listed: no error, and no folder that cannot be read."""
        return self.finished and not self._unreachable

    def peek(self) -> Reference | Rejection | None:
        """First item, waited for, or None if there is none; iteration still gives it."""
        if not self._first:
            batch = self._batches.get()
            if isinstance(batch, BaseException):
                # whoever asks again must not wait for more
                self._batches.put(batch)
                raise batch
            self._first = [batch]
        return unpack(self._first[0])[0] if self._first[0] is not None else None

    def __iter__(self) -> Iterator[Reference | Rejection]:
        if self.peek() is None:
            return
        yield from unpack(self._first[0] or b"")
        while (batch := self._batches.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield from unpack(batch)

    def missing_classes(self) -> str:
        """The selection's classes without an image, and those that are there, for people."""
        missing = self.selection.without_images(self.labels)
        if not missing:
            return ""
        there = sorted(map(paths.shown, self.other_labels.union(self.labels)))
        nearest = [found for name in missing for found in get_close_matches(name, there)]
        named = list(dict.fromkeys([*nearest, *there]))[:_MOST_NAMED]
        more = "" if len(named) == len(there) else f" and {len(there) - len(named):,} more"
        known = f"; there are {', '.join(named)}{more}" if there else ""
        return f"no image of class {', '.join(missing)} in {self._source.url}{known}"

    def close(self) -> None:
        """End the thread, also before everything is listed."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            references = self._references()
            while batch := list(islice(references, _BATCH)):
                self._batches.put(pack(batch))
                if self._stop.is_set():
                    break
            else:
                self.finished = True
            self._batches.put(None)
        except BaseException as error:
            self._batches.put(error)

    def _references(self) -> Iterator[Reference | Rejection]:
        for entry in self._entries():
            self.listed += 1
            if entry.problem:
                # what could lie below it is not known, whether or not it is selected itself
                self._unreachable.add(entry.path)
            below, label = entry.path[self._start :], entry.label or paths.label(entry.path)
            reason = self._skip_reason(entry, below)
            if not reason and not self._is_chosen(entry.path, below, label):
                reason = "not selected"
                self.other_labels.add(label)
            if not reason and entry.problem in NOTHING_LOST:
                reason = entry.problem
            if reason:
                self.skipped[reason] += 1
                continue
            self.labels[label] += 1
            reference = Reference(entry.path, label, entry.version, entry.size)
            yield Rejection(reference, "list", entry.problem) if entry.problem else reference

    def _entries(self) -> Iterator[Listed]:
        for entry in self._source.list():
            if entry.problem or not self._is_shard(entry.path):
                yield entry
            else:
                yield from members(self._source, entry)

    def _is_shard(self, path: str) -> bool:
        return self._shards and is_shard(path) and not is_of_system(path[self._start :], self._name)

    def _is_chosen(self, path: str, below: str, label: str) -> bool:
        chosen = self._chosen_shard if self._is_shard(path) else self._chosen
        return chosen(below, label)

    def _skip_reason(self, entry: Listed, below: str) -> str:
        # the S3 console marks a folder by a name that ends in a slash, Hadoop by one in _$folder$
        if entry.size == 0 and entry.path.endswith(("/", "_$folder$")):
            return "folder marker"
        return "" if self._is_shard(entry.path) else why_no_image(below, self._name)


def _with_parents(path: str) -> Iterator[str]:
    """A path, and every folder that it lies in."""
    while path:
        yield path
        if path.endswith("!"):
            # a shard, of which the rest could not be listed
            yield path[:-1]
        path = path.rpartition("/")[0]


def _any_glob(globs: Iterable[str]) -> re.Pattern[str]:
    # as the paths are that they are compared with
    encoded = (paths.of_class(glob) for glob in globs)
    return re.compile("|".join(fnmatch.translate(glob) for glob in encoded))
