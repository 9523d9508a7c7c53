"""Servers between a test and AWS: one gives recorded answers, one counts and passes on."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    """A request that came: operation, or method and path; its content; for which region."""

    operation: str
    content: Any
    region: str


@contextmanager
def answering(answers: Mapping[str, Any]) -> Iterator[tuple[str, list[Request]]]:
    """An endpoint that answers by operation (or by method and path), and what came to it.

    A value may be a function of the request's content; an operation that is not there is answered
    with AccessDeniedException.
    """
    came: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(f"GET {self.path}", None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "X-Amz-Target" in self.headers:
                self._answer(self.headers["X-Amz-Target"].rpartition(".")[2], json.loads(body))
                return
            # services of an older kind, asked as forms are, which answer in XML
            operation = parse_qs(body.decode())["Action"][0]
            self._send(200, answers[operation].encode())

        def _answer(self, operation: str, content: Any) -> None:
            region = self.headers["Authorization"].split("/")[2]
            came.append(Request(operation, content, region))
            denied = {"__type": "AccessDeniedException", "message": "not allowed"}
            answer = answers.get(operation, denied)
            body = json.dumps(answer(content) if callable(answer) else answer).encode()
            self._send(400 if answer is denied else 200, body)

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _serving(Handler) as endpoint:
        yield endpoint, came


@contextmanager
def counting(to: str) -> Iterator[tuple[str, Counter[str]]]:
    """An endpoint that passes S3 requests on, and how many of each method came, LIST apart."""
    came: Counter[str] = Counter()
    host = urlsplit(to).netloc

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _pass_on(self) -> None:
            came["LIST" if "list-type=" in self.path else self.command] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            onward = http.client.HTTPConnection(host)
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            onward.close()

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._pass_on)

    with _serving(Handler) as endpoint:
        yield endpoint, came


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
