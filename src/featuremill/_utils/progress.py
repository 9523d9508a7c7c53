"""How a run says how far it is; the command line shows it, a library user may ignore it."""

from typing import Protocol


class Progress(Protocol):
    """Told about the run as it goes; every method must return quickly."""

    def say(self, message: str) -> None:
        """One thing worth knowing."""

    def warn(self, message: str) -> None:
        """Something that went another way than asked."""

    def doing(self, what: str) -> None:
        """What goes on from now on, maybe for a minute, as in "starting Spark"."""

    def advance(self, done: int, total: int | None) -> None:
        """So many images of so many (unknown while the listing goes on) are accounted for."""


class Silent:
    """Says nothing."""

    def say(self, message: str) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Warn of nothing."""

    def doing(self, what: str) -> None:
        """Tell nobody."""

    def advance(self, done: int, total: int | None) -> None:
        """Show nothing."""
