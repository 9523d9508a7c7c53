"""A stand-in for S3 that answers over HTTP, from a process of its own."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

REGION = "eu-west-3"

# Delta holds the interpreter's lock while it waits, so that S3 cannot answer from this process
_SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_server(page: int = 1000) -> Iterator[str]:
    """Address of an empty S3 that lives as long as the block, with so many keys in a listing."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(page)},
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.communicate()  # the end of its input is the end of the server


def maker_of_buckets(client: Any) -> Callable[[], str]:
    """Function that makes an empty bucket and gives its name, another each time."""
    numbers = itertools.count(1)

    def make() -> str:
        name = f"bucket-{next(numbers)}"
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    return make
