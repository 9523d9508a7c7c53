"""What the driver asks of Spark, and what it makes of answers that do not come."""

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from featuremill.errors import RunError
from featuremill.workers.failures import AnswersLostError
from featuremill.workers.launch import _gateway_process
from featuremill.workers.protocol import Attempt, Background
from featuremill.workers.spark import FAN_IN, SparkWorkers

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.conftest import SharedSpark


@pytest.fixture
def same() -> Callable[[bytes, Attempt], bytes]:
    return lambda payload, _: payload


@pytest.fixture
def joined() -> Callable[[Iterable[bytes]], bytes]:
    return lambda answers: bytes(sorted(b"".join(answers)))


def collecting(
    spark: "SharedSpark", monkeypatch: pytest.MonkeyPatch, keep: Callable[[list], list]
) -> None:
    """Let a part of the rows be all that comes of what Spark collects."""
    frame = type(spark.range(1))
    collect = frame.collect
    monkeypatch.setattr(frame, "collect", lambda self: keep(collect(self)))


@pytest.mark.parametrize("kept", [0, 1])
def test_answers_that_do_not_come_are_a_failure_of_its_own_name(
    spark: "SharedSpark", monkeypatch: pytest.MonkeyPatch, same, joined, kept: int
) -> None:
    payloads = [bytes([number]) for number in range(FAN_IN + 1)]
    assert SparkWorkers(spark).map(payloads, same, "map") == payloads
    assert SparkWorkers(spark).reduce(payloads, same, joined, "reduce") == b"".join(payloads)
    collecting(spark, monkeypatch, lambda rows: rows[:kept])
    with pytest.raises(AnswersLostError, match=f"map had 17 tasks and gave {kept} answers"):
        SparkWorkers(spark).map(payloads, same, "map")
    with pytest.raises(AnswersLostError, match=r"reduce had 17 tasks and gave \d+ answers"):
        SparkWorkers(spark).reduce(payloads, same, joined, "reduce")


def test_a_java_that_dies_while_it_sends_answers_is_what_the_failure_says(
    spark: "SharedSpark", monkeypatch: pytest.MonkeyPatch, same, joined
) -> None:
    def die(_: list) -> list:
        java = _gateway_process()
        java.kill()
        java.wait()
        return []

    collecting(spark, monkeypatch, die)
    with pytest.raises(RunError, match="Spark's Java process died"):
        SparkWorkers(spark).reduce([b"a", b"b"], same, joined, "reduce")
    assert "SIGKILL" in spark.renewed()


def test_a_call_gives_its_outcome_or_its_error() -> None:
    def fail() -> None:
        raise KeyError("value")

    assert Background(lambda: 5).result() == 5
    with pytest.raises(KeyError, match="value"):
        Background(fail).result()


def test_a_call_ends_if_java_dies_before_it_begins() -> None:
    class WithoutJava(threading.Thread):
        def run(self) -> None:
            """Fail as `InheritableThread` does where it cannot hand on its properties."""
            raise ConnectionRefusedError("no Java")

    waiting = Background(lambda: 5, WithoutJava)
    waiting.join(10)
    with pytest.raises(ConnectionRefusedError, match="no Java"):
        waiting.result()
