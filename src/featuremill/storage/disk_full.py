"""Why there is no room for a file, in words."""

import errno
import os
import re
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def no_room(error: BaseException, place: Path) -> tuple[str, str] | None:
    """Problem and remedy where a write failed for want of room, else None.

    Parameters
    ----------
    error : BaseException
        Also one of a library that only quotes the system's number, as in ``(os error 28)``.
    place : Path
        What was to be written; it need not be there.
    """
    quoted = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(quoted[1]) if quoted else None
    if number not in _NO_ROOM:
        return None
    if number == errno.EDQUOT:
        return (
            "the quota of this user or folder is used up",
            "See `quota -s`, or what the file system calls it; remove files or have it raised,"
            " or write to another file system.",
        )
    there = next(path for path in (place, *place.parents) if path.exists())
    try:
        room = os.statvfs(there)
    except OSError:
        return os.strerror(errno.ENOSPC), "Remove files there, or write to another file system."
    free = room.f_bavail * room.f_frsize
    if free and room.f_files and not room.f_favail:
        return (
            f"the file system has no inode left for another file (0 of {room.f_files:,} are free;"
            f" {free / 2**30:.1f} GiB are)",
            "Remove files there, many small ones first, or write to another file system.",
        )
    return (
        f"{os.strerror(errno.ENOSPC)} ({free / 2**20:,.0f} MiB are free)",
        "Remove files there, or write to another file system.",
    )
