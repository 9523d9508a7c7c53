"""Fetches a file of known size and checksum, once, into the user's cache.

Standard library only: urllib honours ``HTTPS_PROXY`` and brings nothing to install.
"""

import fcntl
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from featuremill._utils.paths import without_secrets
from featuremill._utils.progress import Progress as RunProgress
from featuremill.errors import ModelError

MIRROR_VARIABLE = "FEATUREMILL_WEIGHTS_URL"
CACHE_VARIABLE = "FEATUREMILL_CACHE"

TIMEOUT_S = 30.0
BACKOFF_S = (0.5, 1.0, 2.0)
"""Pauses before the second, third and fourth attempt."""

_BLOCK = 1 << 18
_TRANSIENT_STATUS = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_OFFLINE_REMEDY = (
    f"Without a network: choose --model embedded, which ships in the package, give a copy of the "
    f"file with --weights FILE, or name a mirror's folder in {MIRROR_VARIABLE}."
)
_WRONG_FILE_REMEDY = (
    f"Try again; if it stays so, see what {MIRROR_VARIABLE} or a proxy serves, "
    f"or give the right file with --weights FILE."
)

ByteProgress = Callable[[int, int], None]
"""Called with the bytes on disk and the bytes expected."""


class _TransientError(Exception):
    """Worth another attempt."""


def cache_dir() -> Path:
    """Folder of downloaded files.

    Returns
    -------
    Path
        ``$FEATUREMILL_CACHE``, else ``$XDG_CACHE_HOME/featuremill``, else ``~/.cache/featuremill``;
        not necessarily there yet.
    """
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "featuremill"


def mirrored(url: str, name: str | None = None) -> str:
    """Where to fetch a file from.

    Parameters
    ----------
    url : str
        Its public address.
    name : str, optional
        What the mirror calls the file, where the address ends in a name that others have too.

    Returns
    -------
    str
        The same file name, or ``name``, in the folder that ``$FEATUREMILL_WEIGHTS_URL`` names, if
        it names one.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    return f"{mirror.rstrip('/')}/{name or url.rsplit('/', 1)[-1]}" if mirror else url


def fetch(
    url: str, destination: Path, sha256: str, size: int, progress: ByteProgress | None = None
) -> Path:
    """Download a file, unless it is there already.

    What arrives is kept beside the destination with the suffix ``.part``, so that an interrupted
    download goes on where it stopped. The destination appears only when the checksum is right.

    Parameters
    ----------
    url : str
        Address, http or https.
    destination : Path
        File to write.
    sha256 : str
        Expected checksum, hexadecimal.
    size : int
        Expected size, bytes.
    progress : callable, optional
        Told after every block.

    Returns
    -------
    Path
        ``destination``.

    Raises
    ------
    ModelError
        If the file cannot be had, or is not the one expected.
    """
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https"):
        raise ModelError(f"Address {url!r} is neither http nor https.", _OFFLINE_REMEDY)
    if "@" in address.netloc:
        raise ModelError(
            f"Address {without_secrets(url)} holds a password, which is not sent.", _OFFLINE_REMEDY
        )
    if _holds(destination, sha256):
        return destination
    with _locked(destination):
        if not _holds(destination, sha256):
            part = destination.with_name(destination.name + ".part")
            _complete(url, part, size, progress)
            _check(url, part, sha256)
            part.replace(destination)
    return destination


@contextmanager
def _locked(destination: Path) -> Iterator[None]:
    """Let only one process at a time write the part file."""
    lock = destination.with_name(destination.name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise ModelError(
            f"Cannot write to {destination.parent}: {error.strerror}.",
            f"Name another folder in {CACHE_VARIABLE}.",
        ) from error
    with open(lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _holds(path: Path, sha256: str) -> bool:
    return path.exists() and _sha256(path) == sha256


def _check(url: str, part: Path, sha256: str) -> None:
    """Throw away what is not the file expected, or the next attempt would resume it."""
    found = _sha256(part)
    if found != sha256:
        part.unlink()
        raise ModelError(
            f"{without_secrets(url)} is not the file expected: SHA-256 {found}, expected {sha256}.",
            _WRONG_FILE_REMEDY,
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(url: str, part: Path, size: int, progress: ByteProgress | None) -> None:
    """Bring the part file to its full size, with retries."""
    for pause in (*BACKOFF_S, None):
        try:
            _resume(url, part, size, progress)
        except _TransientError as error:
            if pause is None:
                attempts = len(BACKOFF_S) + 1
                raise ModelError(
                    f"Cannot download {without_secrets(url)}, tried {attempts} times: {error}.",
                    _OFFLINE_REMEDY,
                ) from error
            time.sleep(pause)
        else:
            return


def _resume(url: str, part: Path, size: int, progress: ByteProgress | None) -> None:
    """Ask once for what is missing, and append it."""
    start = part.stat().st_size if part.exists() else 0
    if start == size:
        return
    headers = {"User-Agent": "featuremill"}
    if 0 < start < size:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            _receive(response, part, size, progress)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                part.unlink(missing_ok=True)
            if error.code not in _TRANSIENT_STATUS:
                raise ModelError(
                    f"Cannot download {without_secrets(url)}: {error}.", _OFFLINE_REMEDY
                ) from error
        raise _TransientError(str(error)) from error
    except urllib.error.URLError as error:
        raise _TransientError(str(error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise _TransientError(str(error) or type(error).__name__) from error
    if part.stat().st_size < size:
        raise _TransientError(f"the connection closed at {part.stat().st_size:,} of {size:,} bytes")


def _receive(
    response: http.client.HTTPResponse, part: Path, size: int, progress: ByteProgress | None
) -> None:
    """Write a response to disk, from its start where the server ignored the range."""
    resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
    declared = response.length
    start = part.stat().st_size if resumed else 0
    if declared is not None and start + declared != size:
        # A login page of the network, say: found out before it overwrites what was received.
        raise ModelError(
            f"{response.url} offers {start + declared:,} bytes, expected {size:,}.",
            _WRONG_FILE_REMEDY,
        )
    with open(part, "ab" if resumed else "wb") as file:
        # Where no length is declared, one byte too many is enough to fail the checksum.
        while block := response.read(min(_BLOCK, size + 1 - file.tell())):
            file.write(block)
            if progress:
                progress(file.tell(), size)


def download_progress(progress: RunProgress) -> ByteProgress:
    """Function that tells a run's progress how a download goes."""
    said = -1

    def report(done: int, total: int) -> None:
        nonlocal said
        tenth = 10 * done // max(1, total)
        if tenth != said:
            said = tenth
            progress.say(f"weights: {done / 1e6:.1f} of {total / 1e6:.1f} MB")

    return report
