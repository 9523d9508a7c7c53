"""Shows the progress of a run at a terminal, or in plain lines where there is none."""

import threading
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.status import Status

from featuremill._utils.paths import visible
from featuremill._utils.progress import Progress

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_LOOKS = 0.5


class ConsoleProgress(Progress):
    """Shows a run's progress on standard error, so that standard output stays for results."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._started = time.monotonic()
        self._counting_since: tuple[float, int] | None = None
        self._last_line, self._last_count = self._started, 0.0
        self._bar = Bar(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._moving: Bar | Status | None = None
        self._doing = ""
        self._teller: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._teller is not None:
            self._teller.join()
        self._move(None)

    def say(self, message: str) -> None:
        """Print one line with the time since the start."""
        self._print(escape(visible(message)))

    def warn(self, message: str) -> None:
        """Print one line that stands out."""
        self._print(f"[yellow]warning:[/] {escape(visible(message))}")

    def doing(self, what: str) -> None:
        """Let a line move that says so, or print one whenever ten seconds brought none."""
        self._doing = what
        if self._teller is None and not self._console.is_terminal:
            self._teller = threading.Thread(target=self._say_what_goes_on, daemon=True)
            self._teller.start()
        self._move(self._console.status(escape(visible(what))))

    def advance(self, done: int, total: int | None) -> None:
        """Move the bar, or print a line every ten seconds."""
        self._doing = ""
        rate = self._rate(done)
        if self._console.is_terminal:
            self._move(self._bar)
            fields: dict[str, Any] = {"rate": f"{rate:,.0f}/s" if rate else ""}
            if self._task is None:
                self._task = self._bar.add_task("", total=total, rate="")
            self._bar.update(self._task, completed=done, total=total, **fields)
        elif time.monotonic() - self._last_count > _SECONDS_BETWEEN_LINES:
            self._last_count = time.monotonic()
            self._print(_line(done, total, rate))

    def _move(self, now: Bar | Status | None) -> None:
        """At a terminal one thing moves at a time."""
        if now is self._moving or not self._console.is_terminal:
            return
        if self._moving is not None:
            self._moving.stop()
        if now is not None:
            now.start()
        self._moving = now

    def _say_what_goes_on(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        if self._doing and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._print(f"still {escape(visible(self._doing))}")

    def _rate(self, done: int) -> float:
        now = time.monotonic()
        if self._counting_since is None:
            # images that an earlier run embedded are there at once and say nothing of the speed
            self._counting_since = now, done
        since, at_first = self._counting_since
        return (done - at_first) / (now - since) if now - since > 1 else 0.0

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        elapsed = self._last_line - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s[/]  {text}", soft_wrap=True)


def _line(done: int, total: int | None, rate: float) -> str:
    known = f"{done:,} of {total:,} images" if total is not None else f"{done:,} images"
    if not rate:
        return known
    left = f", {(total - done) / rate:,.0f} s left" if total is not None and total > done else ""
    return f"{known}, {rate:,.0f}/s{left}"
