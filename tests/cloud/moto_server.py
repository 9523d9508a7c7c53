"""The server of moto, with what the tests need beyond moto, in a process of its own.

A Delta table waits for S3 with the interpreter's lock held. As a program it takes a port, and a
file if calls are to be written down there.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(log: Path | None = None) -> Iterator[str]:
    """Address of a server that is there for the block.

    Parameters
    ----------
    log : Path, optional
        Where to write down calls, for :mod:`tests.cloud.recorder`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.cloud.moto_server", str(port), *([log] if log else [])]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        assert server.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
        server.stdin.close()


def main(port: str, log: str = "") -> None:
    """Serve until standard input is closed."""
    from moto.server import ThreadedMotoServer

    from tests.cloud import moto_more, recorder

    moto_more.install()
    if log:
        recorder.install(Path(log))
    server = ThreadedMotoServer("127.0.0.1", int(port), verbose=False)
    server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
