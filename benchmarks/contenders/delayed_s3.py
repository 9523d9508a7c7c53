"""A stand-in for S3 that serves a folder, and lets GETs of objects wait, fail or break off.

It speaks just what reading needs: HeadBucket, ListObjectsV2 in pages of 1,000 keys, GetObject and
HeadObject, unsigned or signed, over connections that stay open. One process and one thread: what
it costs in CPU time it says when its input ends, together with how many GETs it served, how many
of them waited at the same time, and how many faults it answered with. Which GETs meet a fault
depends on the key and on how often it was asked for, so that it is the same each time.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import socket
import struct
import sys
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "pictures"
REGION = "eu-west-3"

PAGE = 1000
_NEVER_CHANGED = "2024-01-01T00:00:00.000Z"
_LAST_MODIFIED = formatdate(1704067200, usegmt=True)  # the same moment


@dataclass
class Bucket:
    """The objects there are, and what was asked of them.

    Parameters
    ----------
    folder : Path
    delay : float
        Seconds that a GET waits.
    busy, resets : float
        Share of GETs that are answered with 503 or end in an RST.
    objects : int
        How many there are to be, several with the same content if need be; 0 for one each.
    """

    folder: Path
    delay: float = 0.0
    busy: float = 0.0
    resets: float = 0.0
    objects: int = 0
    keys: list[str] = field(init=False)
    gets: int = 0
    waiting: int = 0
    most_waiting: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        content = {path: self._etag(path) for path in files}
        copies = (
            (f"{path.parent.relative_to(self.folder)}/{copy}-{path.name}" if copy else "", path)
            for copy in itertools.count()
            for path in files
        )
        found = itertools.islice(copies, self.objects or len(files))
        self._files = {key or path.relative_to(self.folder).as_posix(): path for key, path in found}
        self._etags = {key: content[path] for key, path in self._files.items()}
        self._asked: Counter[str] = Counter()
        self.keys = sorted(self._files)

    def answer(self, method: str, target: str) -> tuple[bytes, bool]:
        """Answer of HTTP to a request, empty for an RST, and whether it has to wait."""
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != BUCKET or method not in ("GET", "HEAD"):
            return _http("501 Not Implemented", {}), False
        if not key:
            page = b"" if method == "HEAD" else self._page(parse_qs(url.query))
            return _http("200 OK", {"x-amz-bucket-region": REGION}, page), False
        if key not in self._etags:
            error = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
            return _http("404 Not Found", {}, error if method == "GET" else b""), False
        data = self._files[key].read_bytes()
        headers = {"ETag": self._etags[key], "Last-Modified": _LAST_MODIFIED}
        if method == "HEAD":
            return _http("200 OK", {**headers, "Content-Length": str(len(data))}), False
        self.gets += 1
        fault = self._fault(key)
        if fault:
            self.faults[fault] += 1
            return (b"" if fault == "reset" else _SLOW_DOWN), False
        return _http("200 OK", headers, data), self.delay > 0

    def _fault(self, key: str) -> str:
        self._asked[key] += 1
        digest = hashlib.blake2b(f"{key} {self._asked[key]}".encode(), digest_size=8).digest()
        drawn = int.from_bytes(digest) / 2**64
        if drawn < self.busy:
            return "busy"
        return "reset" if drawn < self.busy + self.resets else ""

    def _page(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        start = bisect_right(self.keys, after)
        matching = [key for key in self.keys[start:] if key.startswith(prefix)]
        keys = matching[:PAGE]
        truncated = len(matching) > PAGE
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{self._files[key].stat().st_size}</Size>"
            f"<ETag>{escape(self._etags[key])}</ETag>"
            f"<LastModified>{_NEVER_CHANGED}</LastModified></Contents>"
            for key in keys
        )
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>"
        return (
            "<ListBucketResult><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(truncated).lower()}</IsTruncated><KeyCount>{len(keys)}</KeyCount>"
            f"{token if truncated else ''}{contents}</ListBucketResult>"
        ).encode()

    def _etag(self, path: Path) -> str:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return f'"{digest}"'


class Connection(asyncio.Protocol):
    """One client's connection: a request, its answer, the next request.

    Parameters
    ----------
    bucket : Bucket
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete; none has a body."""
        *heads, self._received = (self._received + data).split(b"\r\n\r\n")
        for head in heads:
            method, target, _ = head.decode().split(" ", 2)
            answer, waits = self._bucket.answer(method, target)
            if not answer:
                self._reset()
                return
            if not waits:
                self._transport.write(answer)
                continue
            self._bucket.waiting += 1
            self._bucket.most_waiting = max(self._bucket.most_waiting, self._bucket.waiting)
            asyncio.get_running_loop().call_later(self._bucket.delay, self._late, answer)

    def _reset(self) -> None:
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _late(self, answer: bytes) -> None:
        self._bucket.waiting -= 1
        self._transport.write(answer)


def _http(status: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    # HEAD's answer has no body, but the length of one
    headers = {"Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


_SLOW_DOWN = _http(
    "503 Slow Down", {}, b"<Error><Code>SlowDown</Code><Message>busy</Message></Error>"
)


async def main() -> None:
    """Print the address, serve until standard input ends, then print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a GET waits")
    parser.add_argument("--busy", type=float, default=0.0, help="share of GETs that get a 503")
    parser.add_argument("--resets", type=float, default=0.0, help="share of GETs that are reset")
    parser.add_argument("--objects", type=int, default=0, help="objects, if not one for each file")
    bucket = Bucket(**vars(parser.parse_args()))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(bucket), "127.0.0.1", 0)
    ready = time.process_time()
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    answer = {
        "gets": bucket.gets,
        "most_waiting": bucket.most_waiting,
        "busy": bucket.faults["busy"],
        "resets": bucket.faults["reset"],
        "bucket_cpu_seconds": time.process_time() - ready,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
