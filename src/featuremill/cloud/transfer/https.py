"""Reads a file at an https address: from beginning to end, or by ranges.

Standard library only: urllib honours ``HTTPS_PROXY``.
"""

import http.client
import io
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit

from featuremill._utils.paths import without_secrets
from featuremill.errors import SourceError
from featuremill.storage.base import Ranges

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TIMEOUT_S = 60.0
_BLOCK = 4 << 20
"""Bytes of one range: some hundred pictures, so that requests cost little."""


def is_address(where: str) -> bool:
    """Whether this is an https address; plain http only of this machine itself.

    None with a password in it: that would stand in the shell's history and in every message.
    """
    try:
        parts = urlsplit(where)
        host = parts.hostname
    except ValueError:
        return False
    local = host in ("127.0.0.1", "localhost")
    encrypted = parts.scheme == "https" or (local and parts.scheme == "http")
    return bool(host) and encrypted and "@" not in parts.netloc


@contextmanager
def opened(address: str) -> Iterator[tuple[io.BufferedReader, int | None]]:
    """The content of an address, as a stream that fails where it ends too early, and its size.

    Raises
    ------
    SourceError
        If the server refuses, or redirects to where nothing is encrypted.
    OSError
        If the connection breaks.
    """
    with _asked(address) as response:
        yield io.BufferedReader(_Whole(response), _BLOCK), response.length


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Judges where a server leads to before anything is asked there."""

    def redirect_request(
        self,
        request: urllib.request.Request,
        file: IO[bytes],
        code: int,
        message: str,
        headers: http.client.HTTPMessage,
        to: str,
    ) -> urllib.request.Request | None:
        """The next request; refused where it would be read by others, or read what is private."""
        try:
            _check_redirect(request.full_url, to)
        except SourceError:
            file.close()
            raise
        return super().redirect_request(request, file, code, message, headers, to)


def _check_redirect(asked: str, to: str) -> None:
    said = f"{without_secrets(asked)} leads to {without_secrets(to)}"
    if not is_address(to):
        raise SourceError(f"{said}, which is not encrypted", "Take another address of it.")
    if _is_private(to) and not _is_private(asked):
        raise SourceError(
            f"{said}, which only this machine or its own network can reach",
            "Do not trust that server. If it is right, give that address itself.",
        )


def _is_private(address: str) -> bool:
    """Whether an address names this machine or a private network."""
    host = (urlsplit(address).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # a name; digits alone are an address to the system's resolver, as in 0x7f.1 or 2130706433
        last = host.rpartition(".")[2]
        numeric = last.isdigit() or last.startswith("0x")
        return "." not in host or numeric or last in ("localhost", "local", "internal")


@contextmanager
def _asked(address: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    request = urllib.request.Request(address, headers={"User-Agent": "featuremill", **headers})
    address = without_secrets(address)
    try:
        opener = urllib.request.build_opener(_Redirects)
        with opener.open(request, timeout=TIMEOUT_S) as response:
            yield response
    except urllib.error.HTTPError as error:
        with error:
            raise SourceError(
                f"{address} cannot be read: the server answered {error.code} {error.reason}",
                "Check the address in a browser.",
            ) from error
    except urllib.error.URLError as error:
        raise SourceError(
            f"{address} cannot be reached: {error.reason}",
            "Check the address, the network and HTTPS_PROXY.",
        ) from error


class _Whole(io.RawIOBase):
    """A response that raises where the connection closes before the declared end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._declared = response.length
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        try:
            count = self._response.readinto(buffer)
        except http.client.HTTPException as error:
            raise OSError(f"the connection broke after {self._received:,} bytes") from error
        if not count and self._declared is not None and self._received < self._declared:
            raise OSError(
                f"the connection closed at {self._received:,} of {self._declared:,} bytes"
            )
        self._received += count
        return count


@contextmanager
def ranged(address: str) -> Iterator[BinaryIO]:
    """The content of an address as a seekable file, of which each read fetches a range.

    Raises
    ------
    SourceError
        If the server gives no ranges.
    OSError
        If the connection breaks.
    """
    with _asked(address, Range="bytes=0-0") as response:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status != http.HTTPStatus.PARTIAL_CONTENT or not total.isdigit():
            raise SourceError(
                f"{without_secrets(address)} is a zip that its server gives only as a whole, while"
                " the table of contents of a zip stands at its end",
                "Take a .tar.gz of it where there is one (GitHub: /tar.gz/ in place of /zip/),"
                " or download it and name the file.",
            )
    with io.BufferedReader(Ranges(partial(_range, address), int(total)), _BLOCK) as file:
        yield cast(BinaryIO, file)


def _range(address: str, start: int, length: int) -> bytes:
    with _asked(address, Range=f"bytes={start}-{start + length - 1}") as response:
        try:
            data = response.read(length)
        except http.client.HTTPException as error:
            raise OSError(f"the connection broke: {error}") from error
    if response.status != http.HTTPStatus.PARTIAL_CONTENT or len(data) != length:
        raise OSError(f"the server gave {len(data):,} of {length:,} bytes of a range")
    return data
