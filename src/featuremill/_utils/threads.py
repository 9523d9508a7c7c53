"""Runs many small transfers at the same time, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 32
"""Requests at the same time: each waits for the network nearly all of its time."""
IN_FLIGHT = 256 << 20
"""Bytes held at most by jobs begun and not done, beyond which no other begins."""


def each(
    jobs: Iterable[T],
    do: Callable[[T], R],
    size: Callable[[T], int],
    alone: Callable[[T], bool] = lambda _: False,
    threads: int = THREADS,
) -> Iterator[R]:
    """Do something with every job, in threads.

    Parameters
    ----------
    jobs : iterable
        Taken in this thread, no faster than they are done.
    do : callable
        Called in another thread.
    size : callable
        Bytes a job holds in memory.
    alone : callable
        Whether a job must wait until all earlier ones are done; asked once for each.
    threads : int
        How many jobs are done at the same time.

    Yields
    ------
    object
        What ``do`` returned, in the order in which jobs end. If one fails, or whoever iterates
        stops, no other begins; if the jobs themselves end in an error, it is raised after
        everything that had begun.
    """
    pool = ThreadPoolExecutor(threads)
    pending: dict[Future[R], int] = {}
    broken: Exception | None = None
    try:
        source = iter(jobs)
        while True:
            try:
                job = next(source)
            except StopIteration:
                break
            except Exception as error:
                broken = error
                break
            waits = alone(job)
            while pending and (waits or _full(pending, size(job), threads)):
                yield from _ended(pending)
            pending[pool.submit(do, job)] = size(job)
        while pending:
            yield from _ended(pending)
    finally:
        pool.shutdown(cancel_futures=True)
    if broken:
        raise broken


def _full(pending: dict[Future[R], int], more: int, threads: int) -> bool:
    return len(pending) >= 2 * threads or sum(pending.values()) + more > IN_FLIGHT


def _ended(pending: dict[Future[R], int]) -> Iterator[R]:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        del pending[future]
        yield future.result()
