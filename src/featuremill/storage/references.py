"""What is known of an image before its pixels: its reference, or why it has none."""

import pickle
from collections.abc import Sequence
from typing import NamedTuple


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
