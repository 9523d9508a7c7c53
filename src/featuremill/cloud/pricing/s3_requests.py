"""What a run asks of S3, since every request is billed.

The numbers were counted at a server that speaks S3, and follow from the code: one GET an image,
one file a task, one commit a chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from featuremill.workflows.run.chunks import Cutter, task_count
from featuremill.workflows.run.probe import SAMPLE_PER_SLOT

FEATURES_BYTES = 5_150
"""Bytes of an image's row in the features table: 1,280 float32 and what stands beside them."""

_LISTED_AT_ONCE = 1_000
_PART = 5 * 2**20
"""Larger objects are written in parts of this size."""
_LOG_UNREAD_AFTER = 100
"""Commits after which Delta sums its log up, so that earlier ones need not be read again."""
_READ_AGAIN = 3
_READS_PER_FILE = 5
_PASSES = 2
"""Over the features: to sum them up, and to project them."""
_THUMBNAILS = 600
_OUTPUTS = 50
"""Files of the reduced table, the PCA, the CSV, the report, the record, and their commits."""


@dataclass(frozen=True)
class Requests:
    """Numbers of requests, by what S3 charges for them.

    Parameters
    ----------
    puts : int
        PUT, COPY, POST and LIST.
    gets : int
        GET, HEAD and all others.
    """

    puts: int
    gets: int

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(self.puts + other.puts, self.gets + other.gets)


def of_commit(version: int, files: int) -> Requests:
    """Requests of a commit of so many files on a table of so many earlier commits.

    Delta's log is read anew each time: 3 times what has not been summed up, and 6 requests.
    Besides, the keys are tried before Delta gets them, and the lock is read.
    """
    unread = min(version, _LOG_UNREAD_AFTER)
    return Requests(puts=4 + 1, gets=files + 6 + 2 + _READ_AGAIN * unread)


def of_file(rows: int) -> Requests:
    """Requests to write a file of features, and to read it while the PCA is made."""
    parts = -(-rows * FEATURES_BYTES // _PART)
    # an upload in parts is begun and completed besides
    return Requests(puts=parts + 2 if parts > 1 else 1, gets=_PASSES * _READS_PER_FILE)


def of_run(images: int, slots: int, images_per_second: float, workers: int) -> Requests:
    """Requests of a run on a new destination.

    Parameters
    ----------
    images : int
        Number of images, all of them new.
    slots : int
        Tasks at a time.
    images_per_second : float
        Speed of all slots together.
    workers : int
        Machines or containers, which fetch archive and entry point.
    """
    total = Requests(
        puts=-(-images // _LISTED_AT_ONCE) + _OUTPUTS,
        gets=images + 2 * SAMPLE_PER_SLOT * slots + _THUMBNAILS + 2 * workers,
    )
    first = 0
    for chunk, count in _chunks(images, images_per_second):
        tasks = task_count(chunk, slots)
        file, commit = of_file(-(-chunk // tasks)), of_commit(0, tasks)
        unread = _unread_until(first + count) - _unread_until(first)
        puts = count * (commit.puts + tasks * file.puts)
        gets = count * (commit.gets + tasks * file.gets) + _READ_AGAIN * unread
        total += Requests(puts, gets)
        first += count
    return total


def _unread_until(version: int) -> int:
    """Entries of Delta's log that all commits before this one find, added up."""
    growing = min(version, _LOG_UNREAD_AFTER)
    return growing * (growing - 1) // 2 + (version - growing) * _LOG_UNREAD_AFTER


def _chunks(images: int, images_per_second: float) -> Iterator[tuple[int, int]]:
    """Sizes of chunks as the driver cuts them, and how many there are of each."""
    cutter, before = Cutter(images_per_second), 0
    while images:
        size = min(images, cutter.size)
        # the speed is known: once chunks have stopped growing, they are of one size
        count = images // size if size == before else 1
        yield size, count
        images, before = images - size * count, size
        cutter.observe(0, 0.0)
