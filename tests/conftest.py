"""What several tests need."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from featuremill import RunConfig
    from featuremill.workflows.run.pipeline import RunResult

# A busy machine is no defect: a test that hangs is ended by its timeout.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what starts Java or a browser."""
    for item in items:
        on = getattr(item, "callspec", None)
        names = {*getattr(item, "fixturenames", ()), on and on.params.get("workers")}
        if {"spark", "chromium"} & names:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs, real weights and reference features that are not part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    data = Path(os.environ.get("FEATUREMILL_TEST_DATA", beside))
    if not (data / "reference" / "keras_features.npz").exists():
        pytest.skip(f"no reference data in {data} (set FEATUREMILL_TEST_DATA)")
    return data


@pytest.fixture(autouse=True)
def pillows_own_limit() -> Iterator[None]:
    """Decoding sets Pillow's limit, a global: a small one would refuse the next test's pictures."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = limit


@pytest.fixture(scope="session", autouse=True)
def no_aws_account() -> Iterator[None]:
    """Credentials that mean nothing, so that no test reaches a real account.

    They are set before Spark starts, whose workers inherit them.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            environment.setenv(name, os.devnull)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield


class SharedSpark:
    """One local Spark for all tests, started the way a run starts its own.

    It is used like the session that it holds. Where Java dies, the next test has another one.
    """

    of_all_tests: ClassVar["SharedSpark | None"] = None

    def __init__(self) -> None:
        self._ending = ExitStack()
        self._start()

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    def renewed(self) -> str:
        """Start another session where Java died; how it did, and its own last words."""
        from featuremill.workers.launch import is_alive, last_words

        if is_alive(self._session.sparkContext):
            return ""
        words = last_words()
        self.stop()
        self._start()
        return words

    def stop(self) -> None:
        """End the session, whether its Java is there or not."""
        self._ending.close()

    def _start(self) -> None:
        from featuremill.workers.spark import spark_session

        self._session = self._ending.enter_context(spark_session("local[2]"))


@pytest.fixture(scope="session")
def spark() -> Iterator[SharedSpark]:
    """One local Spark for all tests."""
    shared = SharedSpark.of_all_tests = SharedSpark()
    yield shared
    SharedSpark.of_all_tests = None
    shared.stop()


@dataclass(frozen=True)
class WorkersOfATest:
    """One kind of workers: processes of this machine, or the Spark of all tests."""

    spark: SharedSpark | None

    @property
    def words(self) -> list[str]:
        """How the command line asks for two of them."""
        return ["--master", "local[2]"] if self.spark else ["--workers", "2"]

    def run(self, config: "RunConfig") -> "RunResult":
        """Run with two of them."""
        from featuremill.workflows.run.pipeline import run

        if self.spark:
            return run(config, spark=self.spark)  # type: ignore[arg-type]
        return run(replace(config, workers=2))

    def lend(self, file: str) -> None:
        """Let them import a module of the tests; processes import from where this one does."""
        if self.spark:
            self.spark.sparkContext.addPyFile(file)  # type: ignore[attr-defined]


@pytest.fixture(scope="session", params=["local", pytest.param("spark", marks=pytest.mark.long)])
def workers(request: pytest.FixtureRequest) -> WorkersOfATest:
    """Workers of each kind, for what has to hold with both."""
    on_spark = request.param == "spark"
    return WorkersOfATest(request.getfixturevalue("spark") if on_spark else None)


@pytest.fixture(autouse=True)
def fail_the_test_in_which_java_dies() -> Iterator[None]:
    """Blame this test: later ones would fail because of it, each in another way."""
    yield
    if SharedSpark.of_all_tests is not None and (words := SharedSpark.of_all_tests.renewed()):
        pytest.fail(f"the Java of the tests' Spark died during this test: {words}")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 drawn pictures of 4 classes; not to be changed."""
    from featuremill.images.synth import SynthConfig, write

    folder = tmp_path_factory.mktemp("pictures") / "pictures"
    write(folder, SynthConfig(classes=4, per_class=15, seed=1))
    return folder


@pytest.fixture(scope="session")
def weights(shared_data: Path) -> str:
    """Real ImageNet weights."""
    return str(shared_data / "weights" / "mobilenet_v2_imagenet_dequantised_no_top.h5")
