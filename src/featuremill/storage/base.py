"""What every storage can do."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, NamedTuple, Protocol

LOOP: Final = "a link back to a folder that holds it"
REACHED_ALREADY: Final = "a folder that an earlier link leads to"
LEADS_OUT: Final = "a link out of the source"
NOTHING_LOST: Final = frozenset({LOOP, REACHED_ALREADY, LEADS_OUT})
"""Problems of what is left alone on purpose."""


class Listed(NamedTuple):
    """One thing found by listing.

    ``path`` is absolute and percent-encoded (see :mod:`featuremill._utils.paths`); ``version``
    changes when the content does; ``problem`` says why it cannot be fetched at all, or is empty.
    """

    path: str
    size: int
    version: str
    problem: str = ""


class Fetched(NamedTuple):
    """The bytes of an image and the version they were read at."""

    data: bytes
    version: str


class Store(Protocol):
    """A folder or a bucket prefix; small and free of secrets when pickled.

    ``path`` is the absolute, percent-encoded path of an image; ``name`` is a plain name below
    the store's root, with ``/`` between its parts. Failures that concern the whole store are
    :class:`~featuremill.errors.SourceError` while listing and
    :class:`~featuremill.errors.StorageError` elsewhere; a missing name is ``FileNotFoundError``.
    """

    @property
    def url(self) -> str:
        """Root, as a person would write it, with no slash at the end."""

    @property
    def read_ahead(self) -> int:
        """How many images are worth fetching at the same time."""

    def list(self) -> Iterator[Listed]:
        """Everything below the root, streamed, in an order that does not change."""

    def fetch(self, path: str) -> Fetched:
        """Bytes of one image.

        Raises ``OSError`` with a reason for people if this image cannot be had.
        """

    def contains(self, other: "Store") -> bool:
        """Whether the root of the other store is this root or lies below it."""

    def read(self, name: str) -> bytes:
        """Whole content of a name."""

    def open(self, name: str) -> BinaryIO:
        """Seekable reader of a name."""

    def size(self, name: str) -> int | None:
        """Bytes of a name, or None where there is none."""

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all files below a folder of the store; none where it is missing."""

    def write(self, name: str, data: bytes) -> None:
        """Write a name whole or not at all, over what was there."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a name only if it is not there yet; tells whether it was written.

        Writers that may meet have to bring different data, by which they know their own again
        after an answer was lost.
        """

    def writer(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Stream into a name that appears when the block ends without an error."""

    def remove(self, name: str) -> None:
        """Remove a name; one that is not there is no error."""

    def keeps_versions(self) -> bool:
        """Whether what is overwritten or removed stays there as an earlier version.

        Raises :class:`~featuremill.errors.StorageError` if that cannot be told.
        """

    def half_written(self, folder: str) -> Iterator[str]:
        """Names of what writers that were killed had begun to write in a folder."""

    def purge(self, prefix: str) -> int:
        """Remove earlier versions of all names that begin so; tells how many there were."""

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """URI and fresh storage options for a Delta table below the root."""
