"""How the work is cut: references into chunks, a chunk into tasks.

A chunk is what one commit makes visible and what a crash can cost, so chunks start at about
two seconds of work and grow to a minute.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from featuremill.models.engines import BATCH
from featuremill.storage.listing import Reference, Rejection

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 60.0
LARGEST = 200_000
"""Images of a chunk at most, 50 MB of the driver's memory: on a large cluster a minute's work is
millions."""
_GROWTH = 2.0
_TASKS_PER_SLOT = 4
_SMALLEST_TASK = 2 * BATCH


@dataclass
class Chunk:
    """Work of one commit."""

    number: int
    references: list[Reference] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    """Paths whose older rows this commit removes."""

    def __len__(self) -> int:
        return len(self.references) + len(self.rejections)


class Cutter:
    """Cuts a stream into chunks whose size follows the speed seen so far.

    Parameters
    ----------
    images_per_second : float
        First guess for all slots together.
    """

    def __init__(self, images_per_second: float) -> None:
        self._rate = images_per_second
        self._seconds = FIRST_SECONDS

    @property
    def size(self) -> int:
        """Images of the next chunk."""
        return min(LARGEST, max(1, round(self._rate * self._seconds)))

    def observe(self, images: int, seconds: float) -> None:
        """Learn from all images so far and their time, and let the next chunks grow.

        The last chunk alone would mislead: commits can come close together.
        """
        if images and seconds > 0:
            self._rate = images / seconds
        self._seconds = min(LONGEST_SECONDS, self._seconds * _GROWTH)

    def cut(self, items: Iterable[tuple[Reference | Rejection, bool]]) -> Iterator[Chunk]:
        """Chunks of (what was listed, whether it replaces an older row)."""
        chunk = Chunk(0)
        for item, replaces in items:
            if isinstance(item, Rejection):
                chunk.rejections.append(item)
            else:
                chunk.references.append(item)
            if replaces:
                reference = item.reference if isinstance(item, Rejection) else item
                chunk.replaced.append(reference.path)
            if len(chunk) >= self.size:
                yield chunk
                chunk = Chunk(chunk.number + 1)
        if len(chunk):
            yield chunk


def task_count(references: int, slots: int) -> int:
    """How many tasks so many references are dealt out to."""
    return min(_TASKS_PER_SLOT * slots, -(-references // _SMALLEST_TASK))


def split(references: list[Reference], slots: int) -> list[list[Reference]]:
    """Deal references out to tasks of the same size, four for each slot.

    Whole batches are dealt, one task after the other: a padded batch costs as much as a full
    one, and neighbours in the listing tend to be alike in size.
    """
    tasks = task_count(len(references), slots)
    batches = [references[start : start + BATCH] for start in range(0, len(references), BATCH)]
    dealt = [batches[task::tasks] for task in range(tasks)]
    return [[reference for batch in share for reference in batch] for share in dealt]
