"""Chooses the images of a sample.

Every image has a rank, a keyed hash of its path below the source, and a class gives its images
in the order of their ranks. So the choice hangs on the seed and the names alone: not on the order
of a listing, nor on where the source lies. A larger sample of the same seed holds the smaller one,
and where so many images of each class are taken, added ones displace at most as many.
"""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from featuremill._utils import paths
from featuremill.errors import SourceError
from featuremill.storage import Store
from featuremill.storage.listing import Listing, Reference, Rejection
from featuremill.workflows.sample.config import SampleConfig

_PRUNED_FROM = 4096
"""Candidates of a class that are held before those that cannot be taken any more are dropped."""
_SAID_EVERY = 100_000

NOT_PORTABLE = "a name that not every storage can hold"
_LONGEST, _LONGEST_PART = 1024, 255
"""Bytes of an S3 key, and of a name in every common file system."""


class Candidate(NamedTuple):
    """An image that may be taken; the smallest ranks are."""

    rank: bytes
    below: str
    """Path below the source, percent-encoded where it is not plain text."""
    size: int


@dataclass
class Choice:
    """The images of a source, and those of them that make the sample.

    Attributes
    ----------
    available : dict
        Class → images there are.
    taken : dict
        Class → images of the sample, by rank.
    left_out : counter
        Reason → entries of the source that are no candidates.
    """

    available: dict[str, int]
    taken: dict[str, list[Candidate]]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def images(self) -> list[Candidate]:
        """All images of the sample."""
        return [image for taken in self.taken.values() for image in taken]


def choose(source: Store, config: SampleConfig, say: Callable[[str], None]) -> Choice:
    """List a source and choose.

    About 250 bytes an image are held, with ``per_class`` only of those that may be taken.

    Raises
    ------
    SourceError
        If the source holds no image, or none of a class that was named.
    """
    listing = Listing(source, config.selection, shards=False)
    try:
        choice, pools = _collect(listing, source, config, say)
    finally:
        listing.close()
    choice.left_out.update(listing.skipped)
    _require(source, config, choice, set(listing.labels))
    if config.random_classes is not None:
        drawn = heapq.nsmallest(
            config.random_classes,
            choice.available,
            key=lambda name: rank(name, config.seed, "class"),
        )
        for name in choice.available.keys() - drawn:
            choice.left_out["not selected"] += choice.available.pop(name)
    wanted = quotas(choice.available, config)
    for name in sorted(choice.available):
        choice.taken[name] = sorted(pools[name])[: wanted[name]]
    return choice


def quotas(available: Mapping[str, int], config: SampleConfig) -> dict[str, int]:
    """How many images each class gives.

    Parameters
    ----------
    available : mapping
        Class → images there are, at least one.
    """
    if config.per_class is not None:
        return {name: min(count, config.per_class) for name, count in available.items()}
    if config.fraction is not None:
        share = config.fraction
        return {name: max(1, int(share * count + 0.5)) for name, count in available.items()}
    return _proportional(available, config.total or 0, config.seed)


def rank(text: str, seed: int, what: str) -> bytes:
    """Rank of a name in the order of a seed, the same everywhere and for ever."""
    key, person = seed.to_bytes(8, "little"), what.encode()
    return hashlib.blake2b(text.encode(), digest_size=8, key=key, person=person).digest()


def _proportional(available: Mapping[str, int], total: int, seed: int) -> dict[str, int]:
    """Deal out a total by Webster's method, after one image for each class, largest first.

    With largest remainders a class could lose an image when the total grows by one (the Alabama
    paradox), and a larger sample would not hold the smaller one. See Balinski and Young, "Fair
    Representation", 2nd ed., Brookings 2001.
    """
    if total >= sum(available.values()):
        return dict(available)
    dealt = dict.fromkeys(available, 0)
    # (has one already, -priority, tie-break, name): the smallest is next
    queue = [(False, -float(n), rank(name, seed, "class"), name) for name, n in available.items()]
    heapq.heapify(queue)
    for _ in range(total):
        _, _, tie, name = queue[0]
        dealt[name] += 1
        priority = available[name] / (dealt[name] + 0.5)
        heapq.heapreplace(queue, (True, -priority, tie, name))
    return dealt


def _collect(
    listing: Listing, source: Store, config: SampleConfig, say: Callable[[str], None]
) -> tuple[Choice, Mapping[str, list[Candidate]]]:
    choice = Choice({}, {})
    available: Counter[str] = Counter()
    pools: defaultdict[str, list[Candidate]] = defaultdict(list)
    start = len(paths.prefix_of(source.url))
    candidates = _candidates(listing, choice.left_out, start, _encoded(config), say)
    for item, is_folder in _with_folders(candidates):
        if is_folder:
            choice.left_out[NOT_PORTABLE] += 1
            continue
        below, label = item.path[start:], item.label
        available[label] += 1
        pool = pools[label]
        pool.append(Candidate(rank(below, config.seed, "image"), below, item.bytes))
        if config.per_class and len(pool) >= 2 * config.per_class + _PRUNED_FROM:
            pool.sort()
            del pool[config.per_class :]
    choice.available = dict(available)
    return choice, pools


def _candidates(
    listing: Listing,
    left_out: Counter[str],
    start: int,
    classes: frozenset[str],
    say: Callable[[str], None],
) -> Iterator[Reference]:
    for count, item in enumerate(listing, 1):
        if count % _SAID_EVERY == 0:
            say(f"{count:,} images listed")
        reason = _reason(item, start, classes)
        if reason or isinstance(item, Rejection):
            left_out[reason] += 1
        else:
            yield item


def _reason(item: Reference | Rejection, start: int, classes: frozenset[str]) -> str:
    """Say why an entry cannot be taken; empty if it can."""
    reference = item.reference if isinstance(item, Rejection) else item
    if classes and reference.label not in classes:
        return "not selected"
    if isinstance(item, Rejection):
        return item.reason
    if not _portable(reference.path[start:]):
        return NOT_PORTABLE
    return ""


def _with_folders(candidates: Iterable[Reference]) -> Iterator[tuple[Reference, bool]]:
    """Each candidate, and whether others lie below it, as only keys of a bucket can.

    Keys come sorted: between ``a`` and ``a/b`` there is nothing but what begins with ``a``.
    """
    waiting: list[tuple[Reference, list[str]]] = []
    for item in candidates:
        while waiting and not item.path.startswith(waiting[-1][0].path):
            done, below = waiting.pop()
            yield done, bool(below)
        for other, below in waiting:
            if not below and item.path.startswith(f"{other.path}/"):
                below.append(item.path)
        waiting.append((item, []))
    for done, below in waiting:
        yield done, bool(below)


def _portable(below: str) -> bool:
    """Whether a folder and a bucket can both hold this name, and mean the same by it.

    Where it could not be, a key such as ``a/../../b.jpg`` would even leave the destination. The
    rule asks nothing of the destination, so that the choice does not hang on it.
    """
    plain = below.replace("%25", "")
    parts = below.replace("%25", "%").split("/")
    sizes = [len(part.encode()) for part in parts]
    return (
        "%" not in plain
        and not {"", ".", ".."} & set(parts)
        and max(sizes) <= _LONGEST_PART
        and sum(sizes) + len(parts) - 1 <= _LONGEST
    )


def _encoded(config: SampleConfig) -> frozenset[str]:
    return frozenset(paths.of_class(name) for name in config.classes)


def _require(source: Store, config: SampleConfig, choice: Choice, there: set[str]) -> None:
    """Refuse a source without images, or without those of a class that was named."""
    for name in config.classes:
        encoded = paths.of_class(name)
        if encoded not in choice.available:
            close = get_close_matches(encoded, there, 1) or sorted(there)[:3]
            some = ", ".join(paths.shown(paths.place(one)) for one in close)
            hint = f"Classes are names of folders, here such as {some}."
            raise SourceError(f"no image of class {paths.shown(name)} in {source.url}", hint)
    if not choice.available:
        why = ", ".join(f"{count:,} {reason}" for reason, count in choice.left_out.items())
        raise SourceError(
            f"source {source.url} holds no image" + (f" to choose from: {why}" if why else ""),
            "Name a folder of images, and check --include and --exclude.",
        )
