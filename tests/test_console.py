"""A wait of a minute is no silence: a line moves at a terminal, and a log gets one now and then."""

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from featuremill.cli import console
from featuremill.cli.console import ConsoleProgress


class Clock:
    """A clock that a test winds, in the place of `time` in the console's module alone."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=clock.monotonic))
    # the test looks itself
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_LOOKS", 1_000.0)
    return clock


def test_a_log_says_every_ten_seconds_what_goes_on(clock: Clock) -> None:
    log = io.StringIO()
    with ConsoleProgress(Console(file=log)) as progress:
        progress.say("starting Spark on local[2]")
        progress.doing("starting Spark")
        for _ in range(24):
            clock.now += 1
            progress._look()
        progress.advance(0, 60)
        clock.now += 11
        progress._look()
    told = [line.split("s  ", 1)[1] for line in log.getvalue().splitlines()]
    assert told == [
        "starting Spark on local[2]",
        "still starting Spark",
        "still starting Spark",
        "0 of 60 images",
    ]


def test_nothing_is_printed_within_ten_seconds(clock: Clock) -> None:
    log = io.StringIO()
    with ConsoleProgress(Console(file=log)) as progress:
        progress.doing("starting Spark")
        clock.now += 9
        progress._look()
        progress.say("done")
    assert log.getvalue().splitlines() == ["   9.0 s  done"]


def test_at_a_terminal_a_line_moves_until_there_is_a_bar() -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80)
    with ConsoleProgress(terminal) as progress:
        progress.doing("starting Spark")
        until = time.monotonic() + 20
        while screen.getvalue().count("starting Spark") < 2 and time.monotonic() < until:
            terminal.print("", end="")
        assert screen.getvalue().count("starting Spark") >= 2
        progress.advance(3, 60)
        progress.doing("writing the report")
    assert "3/60" in screen.getvalue()
    assert "writing the report" in screen.getvalue()
