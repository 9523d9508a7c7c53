"""Image files read again from where they lie, as long as they are what was embedded."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from featuremill.errors import ImageRejected, StorageError
from featuremill.search.embedded import Embedded

Used = TypeVar("Used")

GONE: Final = "cannot be read any more"
CHANGED: Final = "have changed since they were embedded"


class _UnusableError(Exception):
    """Why an image cannot be used."""


def read_again(
    embedded: Embedded,
    rows: Sequence[int],
    use: Callable[[bytes], Used],
) -> tuple[dict[int, Used], Counter[str]]:
    """What a function makes of the bytes of some images.

    Parameters
    ----------
    rows : sequence of int
    use : callable
        Called in threads; an image it rejects is left out.

    Returns
    -------
    used : dict
        Row → what the function made of it.
    unread : Counter
        How many images are not among them, by the reason.
    """
    used: dict[int, Used] = {}
    unread: Counter[str] = Counter()

    def one(row: int) -> Used | _UnusableError:
        try:
            return use(_same(embedded, row))
        except ImageRejected as rejected:
            return _UnusableError(rejected.reason)
        except (OSError, StorageError):
            return _UnusableError(GONE)
        except _UnusableError as why:
            return why

    if rows and (problem := _out_of_reach(embedded, rows[0])):
        return used, Counter({problem: len(rows)})
    ahead = embedded.store_of(embedded.image(rows[0]).path).read_ahead if rows else 1
    with ThreadPoolExecutor(ahead, "originals") as pool:
        for row, result in zip(rows, pool.map(one, rows), strict=True):
            if isinstance(result, _UnusableError):
                unread[str(result)] += 1
            else:
                used[row] = result
    return used, unread


def _same(embedded: Embedded, row: int) -> bytes:
    """Bytes of an image that has not changed."""
    image = embedded.image(row)
    fetched = embedded.store_of(image.path).fetch(image.path)
    if fetched.version != image.version:
        raise _UnusableError(CHANGED)
    return fetched.data


def _out_of_reach(embedded: Embedded, row: int) -> str:
    """Why no image can be read at all: asked once, since each would be waited for in vain."""
    try:
        _same(embedded, row)
    except StorageError as error:
        return error.problem
    except (OSError, _UnusableError):
        pass
    return ""
