"""What a person at a terminal sees of a run: a bar, or plain lines where it is no terminal."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from featuremill.names import visible

_SECONDS_BETWEEN_LINES = 10.0


class ConsoleProgress:
    """Shows a run's progress on standard error, so that standard output stays for results."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._started = time.monotonic()
        self._counting_since: tuple[float, int] | None = None
        self._last_line = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("images"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, message: str) -> None:
        """Print one line with the time since the start."""
        self._print(escape(visible(message)))

    def warn(self, message: str) -> None:
        """Print one line that stands out."""
        self._print(f"[yellow]warning:[/] {escape(visible(message))}")

    def advance(self, done: int, total: int | None) -> None:
        """Move the bar, or print a line every ten seconds."""
        rate = self._rate(done)
        if self._bar is not None:
            fields: dict[str, Any] = {"rate": f"{rate:,.0f}/s" if rate else ""}
            if self._task is None:
                self._task = self._bar.add_task("", total=total, rate="")
            self._bar.update(self._task, completed=done, total=total, **fields)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print(_line(done, total, rate))

    def _rate(self, done: int) -> float:
        now = time.monotonic()
        if self._counting_since is None:
            # images that an earlier run embedded are there at once and say nothing of the speed
            self._counting_since = now, done
        since, at_first = self._counting_since
        return (done - at_first) / (now - since) if now - since > 1 else 0.0

    def _print(self, text: str) -> None:
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s[/]  {text}", soft_wrap=True)


def _line(done: int, total: int | None, rate: float) -> str:
    known = f"{done:,} of {total:,} images" if total is not None else f"{done:,} images"
    if not rate:
        return known
    left = f", {(total - done) / rate:,.0f} s left" if total is not None and total > done else ""
    return f"{known}, {rate:,.0f}/s{left}"
