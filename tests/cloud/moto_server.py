"""The server of moto, with what the tests need beyond moto; run as a program with a port.

In a process of its own: a Delta table waits for S3 with the interpreter's lock held.
"""

import sys

from moto.server import ThreadedMotoServer

from tests.cloud import moto_more


def main() -> None:
    """Serve until standard input is closed."""
    moto_more.install()
    server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
    server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
