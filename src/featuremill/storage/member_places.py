"""Where a member of a shard lies: written into its version, and read from there by a range.

A shard is an archive whose members are images of their own. A member's path is that of its shard,
``!/`` and its name, as in ``s3://fruits/train-0.tar!/kiwi/1.jpg``; its version is
``CHECKSUM@OFFSET+LENGTH@SHARD``. So whoever has path and version reads just these bytes, and no
table of contents travels to workers.
"""

import re
import struct
import threading
import zlib
from collections import OrderedDict
from concurrent.futures import Future
from typing import Final, NamedTuple

from featuremill._utils.paths import SHARDS
from featuremill.storage import FetchedImage, Store

_MEMBER = re.compile(r"\.(?:tar|zip)!/", re.IGNORECASE)
_VERSION = re.compile(r"(|[0-9a-f]{8}-\d+)@(\d+)\+(\d+)@(.*)", re.DOTALL)

STORED: Final = 0
DEFLATED: Final = 8
_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")
"""Of a zip's member: signature, flags, method, and how long its name and its extra field are."""


class Place(NamedTuple):
    """Where a member lies, and what is known of its content.

    ``checksum`` is CRC-32 and size of a zip's member, and empty in a tar, which has none;
    ``offset`` is where a zip's local header or a tar's content begins; ``length`` counts the bytes
    of the content as they lie there; ``shard`` is the version of the whole shard.
    """

    checksum: str
    offset: int
    length: int
    shard: str

    @property
    def version(self) -> str:
        """The version of the member."""
        return f"{self.checksum}@{self.offset}+{self.length}@{self.shard}"


def is_shard(path: str) -> bool:
    """Whether a path is that of a shard, by its name; an archive in a shard is none."""
    return path[-4:].lower() in SHARDS and not is_member(path)


def is_member(path: str) -> bool:
    """Whether a path is that of a member of a shard."""
    return _MEMBER.search(path) is not None


def content_of(version: str) -> str:
    """The part of a version that changes only when the content does.

    A member of a zip keeps it when the zip is made anew around it. A tar holds no checksums, so
    that each member of a changed tar counts as changed.

    >>> content_of("0000002a-7@512+7@v1"), content_of("@512+7@v1"), content_of("7-1700000000")
    ('0000002a-7', '@512+7@v1', '7-1700000000')
    """
    found = _VERSION.fullmatch(version)
    return found[1] if found and found[1] else version


def fetch(store: Store, path: str, version: str | None) -> FetchedImage:
    """Bytes of an image: of a file or an object, or of a member of a shard.

    Raises
    ------
    OSError
        If this image cannot be had, also because its shard has changed or is damaged.
    StorageError
        If none can.
    """
    found = _VERSION.fullmatch(version or "")
    member = _MEMBER.search(path)
    if found is None or member is None or version is None:
        return store.fetch(path)
    place = Place(found[1], int(found[2]), int(found[3]), found[4])
    shard = path[: member.end() - len("!/")]
    if not place.checksum:
        data = read_range(store, shard, place.shard, place.offset, place.length)
        return FetchedImage(data, version)
    return FetchedImage(_unpacked(store, shard, place), version)


def read_range(store: Store, path: str, version: str, start: int, length: int) -> bytes:
    """Some bytes of a shard of exactly this version.

    Raises
    ------
    OSError
        If the shard has changed, or ends before them.
    """
    if length == 0:
        return b""
    if store.block == 0 or length > store.block:
        return _checked(store.fetch(path, (start, start + length)), version, length)
    size, parts = store.block, []
    for number in range(start // size, (start + length - 1) // size + 1):
        key = (store, path, version, number)
        block = _blocks.get(key)
        begin = max(start - number * size, 0)
        end = min(start + length - number * size, size)
        parts.append(_checked(block, version, end)[begin:end])
    return b"".join(parts)


def _checked(found: FetchedImage, version: str, length: int) -> bytes:
    if found.version != version:
        raise OSError("its shard has changed since it was listed")
    if len(found.data) < length:
        raise OSError("its shard ends before it does")
    return found.data


def _unpacked(store: Store, shard: str, place: Place) -> bytes:
    """Content of a zip's member; never more than its table of contents says, plus one byte."""
    crc, size = int(place.checksum[:8], 16), int(place.checksum[9:])
    header = read_range(store, shard, place.shard, place.offset, _LOCAL_HEADER.size)
    signature, _, method, name, extra = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\3\4" or method not in (STORED, DEFLATED):
        raise OSError("the zip is damaged where it begins")
    start = place.offset + _LOCAL_HEADER.size + name + extra
    data = read_range(store, shard, place.shard, start, place.length)
    if method == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error as error:
            raise OSError(f"the zip is damaged there ({error})") from error
    if len(data) != size:
        raise OSError(f"it unpacks to {'more' if len(data) > size else 'less'} than {size:,} bytes")
    if zlib.crc32(data) != crc:
        raise OSError("its checksum in the zip is another")
    return data


_Key = tuple[Store, str, str, int]


class _Blocks:
    """The blocks of shards that were read last; each is read once, however many threads want it.

    Images of 5 KB in shards on S3 so take one request for 1,600 of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[_Key, Future[FetchedImage]] = OrderedDict()

    def get(self, key: _Key) -> FetchedImage:
        with self._lock:
            future = self._held.get(key)
            if waits := future is not None:
                self._held.move_to_end(key)
            else:
                future = self._held[key] = Future()
                while len(self._held) > self._most:
                    self._held.popitem(last=False)
        if not waits:
            store, path, _, number = key
            try:
                start = number * store.block
                future.set_result(store.fetch(path, (start, start + store.block)))
            except BaseException as error:
                # the next one tries again
                with self._lock:
                    self._held.pop(key, None)
                future.set_exception(error)
        return future.result()


_blocks = _Blocks(4)
