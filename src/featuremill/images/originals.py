"""Reads image files again, if they have not changed since they were embedded."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from featuremill.errors import ImageRejected, StorageError
from featuremill.storage import Store, member_places

Used = TypeVar("Used")

GONE: Final = "cannot be read any more"
_CHANGED: Final = "have changed since they were embedded"


class ChangedError(ImageRejected):
    """The file is not the one that was embedded any more."""

    def __init__(self) -> None:
        super().__init__("fetch", _CHANGED)


class UnusedError(Exception):
    """An image cannot be used; the message says why."""


def read_original(source: Store, path: str, version: str | None) -> bytes:
    """Bytes of an image that has not changed.

    Raises
    ------
    ChangedError
        If it has.
    OSError
        If this image cannot be had.
    StorageError
        If none can.
    """
    fetched = member_places.fetch(source, path, version)
    if fetched.version != version:
        raise ChangedError
    return fetched.data


def out_of_reach(source: Store, path: str) -> str:
    """Say why no image can be read at all, or nothing; checked once, since each would time out."""
    try:
        source.fetch(path)
    except StorageError as error:
        return error.problem
    except OSError:
        # the source is there, this image is not
        pass
    return ""


def read_again(
    store_of: Callable[[str], Store],
    images: Mapping[int, tuple[str, str]],
    use: Callable[[bytes], Used],
) -> tuple[dict[int, Used], Counter[str]]:
    """Read some images again, and pass their bytes to a function.

    Parameters
    ----------
    store_of : callable
        The store that a path can be fetched from.
    images : mapping of int to (path, version)
        By any number, such as that of a row; the version is that of the bytes that were embedded.
    use : callable
        Called in threads; an image it rejects is left out.

    Returns
    -------
    used : dict
        Number of the image → what the function made of it.
    unread : Counter
        How many images are not among them, by the reason.
    """
    if not images:
        return {}, Counter()
    first, _ = next(iter(images.values()))
    source = store_of(first)
    if problem := out_of_reach(source, first):
        return {}, Counter({problem: len(images)})

    def one(number: int) -> Used:
        path, version = images[number]
        try:
            return use(read_original(store_of(path), path, version))
        except ImageRejected as rejected:
            raise UnusedError(rejected.reason) from rejected
        except (OSError, StorageError) as error:
            raise UnusedError(GONE) from error

    return use_each(list(images), one, source.read_ahead)


def use_each(
    rows: Sequence[int], use: Callable[[int], Used], threads: int = 1
) -> tuple[dict[int, Used], Counter[str]]:
    """Call a function for each row, and count the reasons of those that cannot be used.

    Parameters
    ----------
    use : callable
        Raises :class:`UnusedError` with the reason.
    """
    used: dict[int, Used] = {}
    unused: Counter[str] = Counter()

    def one(row: int) -> Used | UnusedError:
        try:
            return use(row)
        except UnusedError as why:
            # anew, since the traceback of the first holds the bytes of the image
            return UnusedError(str(why))

    with ThreadPoolExecutor(threads, "originals") as pool:
        for row, result in zip(rows, pool.map(one, rows), strict=True):
            if isinstance(result, UnusedError):
                unused[str(result)] += 1
            else:
                used[row] = result
    return used, unused
