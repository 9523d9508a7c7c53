"""Keeps forgotten images, which no later run may embed, as salted hashes of their paths.

A destination keeps a salted hash of every forgotten path. Without knowing a path nobody can read
it from there; somebody who guesses it can have the guess confirmed.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from featuremill.errors import DestinationError
from featuremill.storage import Store, open_store

FORGOTTEN = "forgotten.json"
"""Salt and hashes; removing this file lifts all that was forgotten."""

UNFINISHED = "forgetting.json"
"""The paths of a forget that has not ended; its last act is to remove them."""

REASON = "forgotten"
"""Why a listed image was skipped, as the ledger says it."""

_SALT_BYTES = 32
_HASH_BYTES = 16
"""128 bits: among a billion paths, a chance of 1e-21 that a strange one is taken for forgotten."""


@dataclass(frozen=True)
class Forgotten:
    """Hashes of forgotten paths, as the tables would have them.

    Attributes
    ----------
    salt : bytes
        Random, of this destination alone: hashes of two destinations tell nothing of each other.
    hashes : frozenset of bytes
        BLAKE2b of each path, keyed with the salt (RFC 7693).
    """

    salt: bytes = field(default_factory=lambda: secrets.token_bytes(_SALT_BYTES))
    hashes: frozenset[bytes] = frozenset()

    def __contains__(self, path: str) -> bool:
        return bool(self.hashes) and self._hash(path) in self.hashes

    def __len__(self) -> int:
        return len(self.hashes)

    def adding(self, paths: Iterable[str]) -> "Forgotten":
        """A copy with some more paths."""
        return replace(self, hashes=self.hashes.union(map(self._hash, paths)))

    def to_bytes(self) -> bytes:
        """JSON form."""
        hashes = sorted(one.hex() for one in self.hashes)
        return json.dumps({"salt": self.salt.hex(), "hashes": hashes}, indent=1).encode()

    def _hash(self, path: str) -> bytes:
        return hashlib.blake2b(path.encode(), key=self.salt, digest_size=_HASH_BYTES).digest()


def read_forgotten(destination: Store) -> Forgotten:
    """Read which images a destination was made to forget.

    Raises
    ------
    DestinationError
        If that cannot be understood: embedding what was forgotten could not be undone.
    """
    try:
        found = json.loads(destination.read(FORGOTTEN))
        return Forgotten(
            bytes.fromhex(found["salt"]), frozenset(map(bytes.fromhex, found["hashes"]))
        )
    except FileNotFoundError:
        return Forgotten()
    except (ValueError, TypeError, KeyError) as error:
        raise DestinationError(
            f"{destination.url}/{FORGOTTEN} cannot be understood: {error!r}",
            "Bring that file back, or remove it to let forgotten images in again.",
        ) from error


def read_all_forgotten(
    destination: Store, pca_from: str | None, endpoint_url: str | None, region: str | None
) -> tuple[Forgotten, ...]:
    """Read what a destination was made to forget, and also the one whose PCA it uses.

    Raises
    ------
    DestinationError
        If one cannot be understood.
    """
    stores = [destination]
    if pca_from is not None:
        stores.append(open_store(pca_from, endpoint_url=endpoint_url, region=region))
    return tuple(map(read_forgotten, stores))


def require_finished(destination: Store) -> None:
    """Refuse a destination where a forget was interrupted.

    Raises
    ------
    DestinationError
        With how to go on.
    """
    if destination.size(UNFINISHED) is not None:
        raise DestinationError(
            f"{destination.url} still holds images that were to be forgotten: the forget was"
            " interrupted",
            f"Run `featuremill forget {destination.url}` to finish it.",
        )
