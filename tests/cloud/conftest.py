"""A real HTTP endpoint that behaves like AWS as far as moto can."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.packaging import architecture
from featuremill.cloud.packaging.archive import Built, Recipe, build
from tests.cloud.moto_server import serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def service_models_are_read_once() -> Iterator[None]:
    """botocore reads megabytes of JSON for a new session's clients, and each test has one."""
    from botocore.loaders import JSONFileLoader

    read = JSONFileLoader.load_file
    known: dict[str, Any] = {}

    def once(loader: JSONFileLoader, path: str) -> Any:
        if path not in known:
            known[path] = read(loader, path)
        return known[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", once)
        yield


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Address of the server, for all tests of a session."""
    with serving() as address:
        yield address


@pytest.fixture
def aws(endpoint: str) -> Aws:
    """A connection to an account with nothing in it."""
    import urllib.request

    urllib.request.urlopen(
        urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    ).close()
    return Aws("eu-west-1", endpoint_url=endpoint, sleep=lambda _: None)


@pytest.fixture(scope="session")
def packages_kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for `cloud package`, which keeps what it fetched and compressed.

    It is pytest's, so it stays until the locks or the rules of packing change.
    """
    cache = getattr(request.config, "cache", None)
    return cache.mkdir("archives") if cache else tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="session")
def archive_for(packages_kept: Path) -> Callable[[str], Built]:
    """Builds the real archive for an architecture, once; without weights, which the model draws."""
    built: dict[str, Built] = {}

    def once(name: str) -> Built:
        if name not in built:
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("FEATUREMILL_CACHE", str(packages_kept))
                built[name] = build(Recipe(architecture.get(name), "mobilenetv2-untrained"))
        return built[name]

    return once
