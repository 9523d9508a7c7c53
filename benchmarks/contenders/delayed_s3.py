"""A stand-in for S3 that serves a folder, and lets every GET of an object wait.

It speaks just what reading needs: HeadBucket, ListObjectsV2 in pages of 1,000 keys, GetObject and
HeadObject, unsigned or signed, over connections that stay open. One process and one thread: what
it costs in CPU time it says when its input ends, together with how many GETs it served and how
many of them waited at the same time.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import time
from bisect import bisect_right
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
    """The objects there are, and what was asked of them."""

    folder: Path
    delay: float  # seconds
    keys: list[str] = field(init=False)
    gets: int = 0
    waiting: int = 0
    most_waiting: int = 0

    def __post_init__(self) -> None:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        self.keys = sorted(path.relative_to(self.folder).as_posix() for path in files)
        self._etags = {key: self._etag(key) for key in self.keys}

    def answer(self, method: str, target: str) -> tuple[bytes, bool]:
        """Answer of HTTP to a request, and whether it has to wait."""
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
        data = (self.folder / key).read_bytes()
        headers = {"ETag": self._etags[key], "Last-Modified": _LAST_MODIFIED}
        if method == "HEAD":
            return _http("200 OK", {**headers, "Content-Length": str(len(data))}), False
        self.gets += 1
        return _http("200 OK", headers, data), self.delay > 0

    def _page(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        start = bisect_right(self.keys, after)
        matching = [key for key in self.keys[start:] if key.startswith(prefix)]
        keys = matching[:PAGE]
        truncated = len(matching) > PAGE
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{(self.folder / key).stat().st_size}</Size>"
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

    def _etag(self, key: str) -> str:
        data = (self.folder / key).read_bytes()
        return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


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
            if not waits:
                self._transport.write(answer)
                continue
            self._bucket.waiting += 1
            self._bucket.most_waiting = max(self._bucket.most_waiting, self._bucket.waiting)
            asyncio.get_running_loop().call_later(self._bucket.delay, self._late, answer)

    def _late(self, answer: bytes) -> None:
        self._bucket.waiting -= 1
        self._transport.write(answer)


def _http(status: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    # HEAD's answer has no body, but the length of one
    headers = {"Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def main() -> None:
    """Print the address, serve until standard input ends, then print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a GET waits")
    options = parser.parse_args()
    bucket = Bucket(options.folder, options.delay)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(bucket), "127.0.0.1", 0)
    ready = time.process_time()
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    answer = {
        "gets": bucket.gets,
        "most_waiting": bucket.most_waiting,
        "bucket_cpu_seconds": time.process_time() - ready,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
