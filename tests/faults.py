"""A proxy in front of a server that speaks HTTP, which answers some requests with faults.

It runs in a process of its own, as the server does: Delta holds the interpreter's lock while it
waits. Which requests of an object meet a fault depends on the seed, on the request's name and on
how often that was asked for, not on the order in which requests arrive.
"""

import asyncio
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Fault:
    """What happens to some requests.

    Parameters
    ----------
    kind : str
        ``answer``: an answer with ``status`` and S3's ``code``; ``reset``: the connection ends in
        an RST; ``silence``: no answer; ``cut``: half of the body, then an RST; ``short``: half of
        the body, then the end; ``trickle``: the body at a byte each ``pace`` seconds; ``other``:
        what the name ``other`` gives; ``unconditional``: the server never sees If-None-Match.
    method : str
        Regular expression of the method; a listing's is LIST.
    name : str
        Regular expression found in ``bucket/key``.
    key_id : str
        Access key that the request is signed with; any if empty.
    share : float
        Of the requests that match.
    first : int
        Only so many requests of each name; 0 means all.
    arrives : bool
        Whether the server gets the request although its answer is lost (``answer``, ``reset``).
    condition : bool
        Only requests with If-None-Match.
    """

    kind: str
    method: str = "GET"
    name: str = ""
    key_id: str = ""
    share: float = 1.0
    first: int = 0
    arrives: bool = False
    condition: bool = False
    status: int = 503
    code: str = "SlowDown"
    pace: float = 0.001
    other: str = ""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """``bucket/key``."""
        return unquote(urlsplit(self.target).path).lstrip("/")

    @property
    def kind(self) -> str:
        """Method, or LIST."""
        return "LIST" if "list-type=2" in urlsplit(self.target).query else self.method

    @property
    def key_id(self) -> str:
        """Access key that signed it."""
        match = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
        return match[1] if match else ""

    def to_bytes(self, host: str) -> bytes:
        """As the server is to get it: alone on its connection."""
        headers = {**self.headers, "host": host, "connection": "close"}
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class Plan:
    """The faults in force and what was asked."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.seed = 0
        self.asked: list[dict[str, str]] = []
        self._times: Counter[tuple[int, str, str]] = Counter()

    def change(self, faults: list[dict[str, Any]], seed: int) -> None:
        """Put other faults in force and forget what was asked."""
        self.faults = [Fault(**fault) for fault in faults]
        self.seed = seed
        self.asked.clear()
        self._times.clear()

    def fault_of(self, request: Request) -> Fault | None:
        """The first fault that concerns a request."""
        found = next(
            (fault for n, fault in enumerate(self.faults) if self._meets(n, request)), None
        )
        self.asked.append(
            {
                "method": request.kind,
                "name": request.name,
                "key_id": request.key_id,
                "token": request.headers.get("x-amz-security-token", ""),
                "fault": found.kind if found else "",
            }
        )
        return found

    def _meets(self, number: int, request: Request) -> bool:
        fault = self.faults[number]
        if not (
            re.fullmatch(fault.method, request.kind)
            and re.search(fault.name, request.name)
            and fault.key_id in ("", request.key_id)
            and (not fault.condition or "if-none-match" in request.headers)
        ):
            return False
        which = number, request.kind, request.target
        self._times[which] += 1
        times = self._times[which]
        if fault.first and times > fault.first:
            return False
        text = f"{self.seed} {number} {request.kind} {request.target} {times}"
        drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
        return drawn < fault.share


class Proxy:
    """Serves one client's connection after the other's request."""

    def __init__(self, host: str, port: int, plan: Plan) -> None:
        self._host, self._port, self._plan = host, port, plan

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until it ends."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await _request(reader)) is not None:
                if not await self._answer(request, writer):
                    break
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; tells whether the connection goes on."""
        fault = self._plan.fault_of(request)
        if fault is None:
            writer.write(await self._ask(request))
            await writer.drain()
            return True
        if fault.kind == "other":
            writer.write(await self._ask(replace(request, target=quote(f"/{fault.other}"))))
            return True
        if fault.kind == "unconditional":
            del request.headers["if-none-match"]
            writer.write(await self._ask(request))
            return True
        if fault.kind in ("answer", "reset", "silence"):
            if fault.arrives:
                await self._ask(request)
            return await _without_its_answer(fault, request, writer)
        return await _broken(fault, await self._ask(request), writer)

    async def _ask(self, request: Request) -> bytes:
        """The server's whole answer, for a connection that stays open."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(request.to_bytes(f"{self._host}:{self._port}"))
        head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if request.method == "HEAD":
            body = b""
        else:
            body = await (reader.readexactly(int(length[1])) if length else reader.read())
        writer.close()
        status, *lines = head.split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(b"connection:")]
        _, _, words = status.partition(b" ")
        if length is None:
            kept.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([b"HTTP/1.1 " + words, *kept, b"", body])


async def _request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


async def _without_its_answer(fault: Fault, request: Request, writer: asyncio.StreamWriter) -> bool:
    if fault.kind == "silence":
        # until the client gives up, or the test has ended
        await asyncio.sleep(_WAIT_SECONDS)
        return False
    if fault.kind == "reset":
        _reset(writer)
        return False
    text = f"<Error><Code>{fault.code}</Code><Message>made up by a test</Message></Error>"
    body = b"" if request.method == "HEAD" else text.encode()
    head = f"HTTP/1.1 {fault.status} Fault\r\nContent-Type: application/xml\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return True


async def _broken(fault: Fault, answer: bytes, writer: asyncio.StreamWriter) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if fault.kind == "trickle":
        writer.write(head + separator)
        for position in range(len(body)):
            writer.write(body[position : position + 1])
            await writer.drain()
            await asyncio.sleep(fault.pace)
        return True
    writer.write(head + separator + body[: len(body) // 2])
    await writer.drain()
    if fault.kind == "cut":
        # or the RST overtakes what was sent before it
        await asyncio.sleep(0.01)
        _reset(writer)
    return False


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


class FaultyServer:
    """The proxy as a test sees it."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self._process = process
        self.url = url

    def plan(self, *faults: Fault, seed: int = 0) -> None:
        """Put other faults in force and forget what was asked."""
        self._order({"faults": [asdict(fault) for fault in faults], "seed": seed})

    def asked(self, method: str = ".*", name: str = "") -> list[dict[str, str]]:
        """Requests since the last plan: method, name, key_id, token and fault of each."""
        return [
            request
            for request in self._order({})
            if re.fullmatch(method, request["method"]) and re.search(name, request["name"])
        ]

    def faults(self) -> Counter[str]:
        """How many faults of each kind there were since the last plan."""
        return Counter(request["fault"] for request in self.asked() if request["fault"])

    def _order(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def faulty(server: str) -> Iterator[FaultyServer]:
    """A proxy in front of a server's address, with no faults yet, for as long as the block."""
    with subprocess.Popen(
        [sys.executable, __file__, server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield FaultyServer(process, process.stdout.readline().strip())
        process.communicate()  # the end of its input is the end of the proxy


async def main(server: str) -> None:
    """Print the address, then obey a line of JSON at a time and answer with one."""
    upstream = urlsplit(server)
    assert upstream.hostname is not None
    assert upstream.port is not None
    plan = Plan()
    proxy = Proxy(upstream.hostname, upstream.port, plan)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        if order:
            plan.change(order["faults"], order["seed"])
        print(json.dumps(None if order else plan.asked), flush=True)  # noqa: T201
    # at once, whatever still waits for an answer
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
