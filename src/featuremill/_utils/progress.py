"""How a run reports its progress: the command line shows it, a library user may ignore it."""


class Progress:
    """Is told about a run as it goes; every method returns quickly, and here does nothing."""

    def say(self, message: str) -> None:
        """Report one thing worth knowing."""

    def warn(self, message: str) -> None:
        """Report something that went another way than asked."""

    def doing(self, what: str) -> None:
        """Report what begins now and may take a minute, as in "starting Spark"."""

    def advance(self, done: int, total: int | None) -> None:
        """Report how many images are accounted for; the total is unknown while they are listed."""
