"""Stand-ins for AWS: answers by script, and an endpoint that only counts what it is asked."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from featuremill.cloud.aws.client import Aws


class Scripted(Aws):
    """Answers what it is told to, in turn; the last answer stays. An error is raised."""

    asked: list[tuple[str, Any]]
    _answers: dict[str, list[Any]]

    def __init__(self, **answers: list[Any]) -> None:
        super().__init__("eu-west-1", sleep=lambda _: None)
        self.asked = []
        self._answers = {name: [*each] for name, each in answers.items()}

    def call(
        self,
        service: str,
        operation: str,
        /,
        *,
        why: str = "",
        forgives: Any = (),
        **parameters: Any,
    ) -> Any:
        return self._next(operation, parameters)

    def pages(self, service: str, operation: str, **parameters: Any) -> Iterator[Any]:
        yield self._next(operation, parameters)

    def _next(self, operation: str, parameters: Any) -> Any:
        self.asked.append((operation, parameters))
        left = self._answers[operation]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def operations(self) -> list[str]:
        """What was asked, in order."""
        return [operation for operation, _ in self.asked]


class Endpoint:
    """An address that answers every request alike and keeps count."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.requests: list[str] = []


@contextmanager
def answering(status: int = 500, body: str = "") -> Iterator[Endpoint]:
    """Serve one answer to everything."""
    endpoint = Endpoint("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            endpoint.requests.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    for method in ("GET", "POST", "PUT", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        endpoint.address = f"http://127.0.0.1:{server.server_port}"
        yield endpoint
        server.shutdown()
        thread.join()
