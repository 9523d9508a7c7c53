"""A real HTTP endpoint that behaves like AWS as far as moto can."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from featuremill.cloud import architecture
from featuremill.cloud.archive import Built, Recipe, build
from featuremill.cloud.aws import Aws

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Address of the server, for all tests of a session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.cloud.moto_server", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        assert server.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
        server.stdin.close()


@pytest.fixture
def aws(endpoint: str) -> Aws:
    """A connection to an account with nothing in it."""
    import urllib.request

    urllib.request.urlopen(
        urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    ).close()
    return Aws("eu-west-1", endpoint_url=endpoint)


@pytest.fixture(scope="session")
def archive_for(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Built]:
    """Builds the real archive for an architecture, once; without weights, which the model draws.

    Its compressed packages stay in pytest's cache until the locks or the rules of packing change.
    """
    built: dict[str, Built] = {}
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("archives") if cache else tmp_path_factory.mktemp("archives")

    def once(name: str) -> Built:
        if name not in built:
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("FEATUREMILL_CACHE", str(folder))
                built[name] = build(Recipe(architecture.get(name), "mobilenetv2-untrained"))
        return built[name]

    return once
