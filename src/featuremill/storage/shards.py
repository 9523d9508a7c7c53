"""Lists the members of shards: tar files, as WebDataset writes them, and zip files.

Only headers are looked at, by ranges, one after the other; what is damaged, hostile or cut off
becomes an entry with a problem, and what stands before it is listed all the same.
"""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Final, cast

from featuremill._utils import paths
from featuremill.errors import SourceError
from featuremill.storage import Listed, Store
from featuremill.storage.archive_bounds import (
    FROM_BYTES,
    MOST_TIMES,
    check_directory,
    member_of,
)
from featuremill.storage.base import NO_FILE, SECOND, Ranges
from featuremill.storage.member_places import DEFLATED, STORED, Place, read_range

_WHERE: Final = "the shard"
_BUFFER: Final = 4096
"""Bytes read at once: a header is 512 bytes long, and what follows it is skipped."""
_LARGEST_LABEL: Final = 1024
_OF_ONE_KEY: Final = 256
"""Members of one key that are held until their label is known; one to ten are usual."""
_TAIL: Final = 1 << 20
"""Bytes behind a tar's end mark that are looked at: tar fills them with zeros."""
_WRAPS: Final = 1 << 16
"""Where the number of a zip's members wraps, unless it is of the kind for more."""
_DAMAGED: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    OverflowError,
)
_UNPACK: Final = "Do not trust it; unpack it with care."


def members(store: Store, shard: Listed) -> Iterator[Listed]:
    """Members of a shard in the order in which they lie, streamed.

    Of a zip the table of contents is held meanwhile, at most
    :data:`~featuremill.storage.archive_bounds.LARGEST_DIRECTORY` bytes of it; of a tar, eight bytes
    a member, by which a second one of the same name is told.

    Yields
    ------
    Listed
        With the label that ``key.cls`` in a tar gives ``key.jpg``, and with a problem where a
        member cannot be read. The shard itself, with a problem, where its rest cannot be listed.
    """
    seen: set[int] = set()
    for entry in _with_labels(_all(store, shard)):
        if hash(entry.path) in seen:
            entry = entry._replace(problem=SECOND)
        seen.add(hash(entry.path))
        yield entry


def _all(store: Store, shard: Listed) -> Iterator[Listed]:
    read = partial(read_range, store, shard.path, shard.version)
    file = cast(BinaryIO, io.BufferedReader(Ranges(read, shard.size), _BUFFER))
    is_tar = shard.path.lower().endswith(".tar")
    try:
        yield from (_tar if is_tar else _zip)(file, shard)
    except SourceError as error:
        yield shard._replace(problem=error.problem)
    except OSError as error:
        yield shard._replace(problem=f"{_WHERE} cannot be read: {error.strerror or error}")
    except _DAMAGED as error:
        kind = "tar" if is_tar else "zip"
        why = f"{_WHERE} is damaged, cut off or no {kind} file: {error or 'it is empty'}"
        yield shard._replace(problem=why)


def _tar(file: BinaryIO, shard: Listed) -> Iterator[Listed]:
    with tarfile.open(fileobj=file, mode="r:", tarinfo=member_of(_WHERE), encoding="utf-8") as tar:
        while (member := tar.next()) is not None:
            # or it would keep a record of each of millions of files
            tar.members.clear()  # type: ignore[attr-defined]
            if member.isdir():
                continue
            if member.size < 0:
                raise tarfile.ReadError(f"a member of {member.size} bytes")
            place = Place("", member.offset_data, member.size, shard.version)
            entry = _listed(shard, member.name, member.size, place)
            if member.issparse():
                entry = entry._replace(problem="a sparse file")
            elif not member.isfile():
                entry = entry._replace(problem=NO_FILE)
            elif member.offset_data + member.size > shard.size:
                entry = entry._replace(problem=f"{_WHERE} is cut off within it")
            elif member.name.endswith(".cls") and member.size <= _LARGEST_LABEL:
                file.seek(member.offset_data)
                entry = entry._replace(label=_label(file.read(member.size)))
            yield entry
        _check_end(file, tar.offset)


def _check_end(file: BinaryIO, offset: int) -> None:
    """Refuse to take for the end what is none: tarfile ends at a damaged header too."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise SourceError(f"{_WHERE} has no end mark, so it may have been cut off", "")
    if any(block):
        raise SourceError(
            f"{_WHERE} is damaged at byte {offset:,}, and nothing behind that is read", ""
        )
    if any(file.read(_TAIL)):
        raise SourceError(
            f"{_WHERE} goes on behind its end mark at byte {offset:,}, and nothing there is read",
            "",
        )


def _zip(file: BinaryIO, shard: Listed) -> Iterator[Listed]:
    said = check_directory(file, _WHERE)
    with zipfile.ZipFile(file) as archive:
        found = sorted(archive.infolist(), key=lambda info: info.header_offset)
        # zipfile takes it to begin so far before its end as it is said to be long
        empty = not found and archive.start_dir > 0
    if empty or (said - len(found)) % _WRAPS:
        raise SourceError(
            f"{_WHERE} is damaged: its table of contents should list {said:,} members and lists"
            f" {len(found):,}",
            "",
        )
    if sum(info.compress_size for info in found) > shard.size:
        raise SourceError(f"{_WHERE} has members that overlap", _UNPACK)
    if sum(info.file_size for info in found) > max(FROM_BYTES, MOST_TIMES * shard.size):
        raise SourceError(
            f"{_WHERE} unpacks to more than {MOST_TIMES} times its {shard.size:,} bytes", _UNPACK
        )
    for info in found:
        if info.filename.endswith("/") and not info.file_size:
            continue
        checksum = f"{info.CRC:08x}-{info.file_size}"
        place = Place(checksum, info.header_offset, info.compress_size, shard.version)
        # some programs of Windows write its own separator
        entry = _listed(shard, info.filename.replace("\\", "/"), info.file_size, place)
        if problem := _problem_in_zip(info, shard):
            entry = entry._replace(problem=problem)
        yield entry


def _problem_in_zip(info: zipfile.ZipInfo, shard: Listed) -> str:
    if info.external_attr >> 28 == 0xA:
        return NO_FILE
    if info.flag_bits & 1:
        return "it is encrypted"
    if info.compress_type not in (STORED, DEFLATED):
        # of some methods, a few bytes unpack to gigabytes at once
        return f"it is compressed by method {info.compress_type}; pack it without, or with deflate"
    if info.header_offset + info.compress_size > shard.size:
        return f"{_WHERE} is cut off within it"
    if info.compress_size > 2 * info.file_size + _BUFFER:
        return f"its {info.file_size:,} bytes are said to take {info.compress_size:,} in the zip"
    return ""


def _listed(shard: Listed, name: str, size: int, place: Place) -> Listed:
    name = name.removeprefix("./")
    path = f"{shard.path}!/{paths.encode(name.encode('utf-8', 'surrogateescape'))}"
    leads_out = {"", ".", ".."} & set(name.split("/")) or "\0" in name
    return Listed(path, size, place.version, "a name that leads out of its shard" * bool(leads_out))


def _label(content: bytes) -> str:
    return paths.composed(paths.encode(content.strip()))


def _with_labels(entries: Iterator[Listed]) -> Iterator[Listed]:
    """Give each member the label that stands beside it: those of one key follow one another."""
    held: list[Listed] = []
    for entry in entries:
        if held and (_key(entry) != _key(held[0]) or len(held) == _OF_ONE_KEY):
            yield from _labelled(held)
            held = []
        held.append(entry)
    yield from _labelled(held)


def _key(entry: Listed) -> str:
    """What WebDataset groups by: the path up to the first dot of the name."""
    folder, _, name = entry.path.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


def _labelled(held: list[Listed]) -> Iterator[Listed]:
    label = next((entry.label for entry in held if entry.label), "")
    return (entry._replace(label=label) for entry in held)
