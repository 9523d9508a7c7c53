"""Extrapolates what runs of a sample showed to a whole run."""

from collections.abc import Mapping
from dataclasses import dataclass

from featuremill.workflows.run.chunks import Cutter, task_count

_COPIES_IN_TASK = 3
"""A task's rows lie in memory as features, as a Parquet file and as the bytes that are written."""


@dataclass(frozen=True)
class Growth:
    """Something that grows with the images: ``amount`` for ``images``, ``each`` for one more.

    Above ``most`` images it grows no further.
    """

    images: int
    amount: float
    each: float
    most: int | None = None

    @classmethod
    def through(cls, small: tuple[int, float], large: tuple[int, float]) -> "Growth":
        """Line through two measurements of (images, amount); one that falls is taken as level."""
        further = large[0] - small[0]
        each = (large[1] - small[1]) / further if further > 0 else 0.0
        return cls(*small, max(0.0, each))

    def at(self, images: int) -> float:
        """The amount for so many images."""
        counted = images if self.most is None else min(images, self.most)
        return max(0.0, self.amount + (counted - self.images) * self.each)


def largest_task(images: int, seconds_each: float, slots: int) -> int:
    """Images of the largest task of a run, which are also the rows of its largest file."""
    cutter, largest = Cutter(1 / seconds_each if seconds_each else images), 0
    while images > 0:
        chunk = min(images, cutter.size)
        largest = max(largest, -(-chunk // task_count(chunk, slots)))
        images -= chunk
        # let the next chunk grow; the speed is known
        cutter.observe(0, 0.0)
    return largest


@dataclass(frozen=True)
class Measurement:
    """The measurements of the runs of a sample.

    Parameters
    ----------
    start, listing : float
        Seconds until Spark was there (and to stop it), and until everything was listed.
    stages : mapping of str to Growth
        Seconds of ``features``, ``reduce`` and ``write``.
    outputs : mapping of str to Growth
        Bytes of each output.
    peak_bytes : int
        Memory of this process and all it started while a few images were run, at its peak.
    reducing_bytes : int
        What the PCA and the outputs of many rows added to that.
    reference_bytes : float
        Bytes of one image that is listed and not yet sent to a worker.
    task_rows : int
        Rows of those few images in one task.
    slots : int
        Tasks at a time.
    """

    start: float
    listing: float
    stages: Mapping[str, Growth]
    outputs: Mapping[str, Growth]
    peak_bytes: int
    reducing_bytes: int
    reference_bytes: float
    task_rows: int
    slots: int

    def seconds(self, images: int) -> dict[str, float]:
        """Seconds of every stage and in total; images are listed while others are embedded."""
        stages = {name: line.at(images) for name, line in self.stages.items()}
        embedded = max(self.start + stages["features"], self.listing)
        total = embedded + stages["reduce"] + stages["write"]
        return {"start": self.start, "list": self.listing, **stages, "total": total}

    def output_bytes(self, images: int) -> dict[str, int]:
        """Bytes of every output and in total."""
        sizes = {name: round(line.at(images)) for name, line in self.outputs.items()}
        return {**sizes, "total": sum(sizes.values())}

    def memory_bytes(self, images: int) -> int:
        """The peak of a few images, and what more add to it, while embedding or afterwards.

        While some are embedded, those listed wait in memory.
        """
        largest = largest_task(images, self.stages["features"].each, self.slots)
        further_rows = max(0, largest - self.task_rows)
        tasks = self.slots * further_rows * _COPIES_IN_TASK * self.outputs["features"].each
        waiting = images * self.reference_bytes
        return self.peak_bytes + round(max(self.reducing_bytes, tasks + waiting))
