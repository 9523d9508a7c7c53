"""What the driver asks of Spark in threads of its own."""

import threading

import pyspark
import pytest

from featuremill.session import Background


def test_a_call_gives_its_outcome_or_its_error() -> None:
    class Plain(threading.Thread):
        """As `InheritableThread`, but without a session behind it."""

    def fail() -> None:
        raise KeyError("value")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyspark, "InheritableThread", Plain)
        assert Background(lambda: 5).result() == 5
        with pytest.raises(KeyError, match="value"):
            Background(fail).result()


def test_a_java_that_dies_before_the_call_begins_is_no_call_that_never_ends() -> None:
    class WithoutJava(threading.Thread):
        def run(self) -> None:
            """Fail as `InheritableThread` does where it cannot hand on its properties."""
            raise ConnectionRefusedError("no Java")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyspark, "InheritableThread", WithoutJava)
        waiting = Background(lambda: 5)
        waiting.join(10)
        with pytest.raises(ConnectionRefusedError, match="no Java"):
            waiting.result()
