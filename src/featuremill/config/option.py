"""What an option of a run consists of: flag, help, bounds, and whether it goes to a cluster."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featuremill.errors import ConfigError

EVERY = ("run", "estimate", "transform")
"""The commands that are told what a run should be."""


@dataclass(frozen=True)
class RejectLimit:
    """How many rejected images a run may have, as a share or as a number."""

    share: float | None = None
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> "RejectLimit":
        """Read ``5%`` or ``100``.

        Raises
        ------
        ConfigError
            If the text is neither a percentage from 0 to 100 nor a whole number.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*|\s*(\d+)\s*", text)
        if match is None or (match[1] and float(match[1]) > 100):
            raise ConfigError(
                f"--max-rejects is {text!r}",
                "Give a percentage such as 5% or a number such as 100.",
            )
        if match[1]:
            return cls(share=float(match[1]) / 100)
        return cls(count=int(match[2]))

    def exceeded(self, rejected: int, total: int) -> bool:
        """Whether that many rejects among that many images are too many."""
        if self.count is not None:
            return rejected > self.count
        return self.share is not None and rejected > self.share * total

    def __str__(self) -> str:
        return str(self.count) if self.share is None else f"{100 * self.share:g}%"


@dataclass(frozen=True)
class Bound:
    """A condition that the value of an option must meet.

    Parameters
    ----------
    text : str
        Completes "it must be …".
    holds : callable
        Whether a value is within the bound; NaN never is.
    remedy : str
        What to do about one that is not.
    """

    text: str
    holds: Callable[[Any], bool]
    remedy: str

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is not within the bound; None stands for an option left out."""
        if value is not None and not self.holds(value):
            raise ConfigError(f"{name} is {value}, it must be {self.text}", self.remedy)


def at_least(least: int, remedy: str) -> Bound:
    """The bound of a number without an upper limit."""
    return Bound(f"at least {least}", lambda number: number >= least, remedy)


def above_zero(remedy: str) -> Bound:
    """The bound of a size."""
    return Bound("above 0", lambda size: size > 0, remedy)


def share(remedy: str) -> Bound:
    """The bound of a share of something."""
    return Bound("above 0 and at most 1", lambda part: 0 < part <= 1, remedy)


@dataclass(frozen=True)
class Option:
    """An option of the command line for a field of :class:`RunConfig`.

    Parameters
    ----------
    flag : str
        ``--name``, or ``--name/--no-name`` for a switch with both forms.
    help : str
        One sentence.
    kind : type
        Type of one value; ``bool`` for a switch.
    commands : tuple of str
        The commands that have it.
    metavar, choices, bound, optional
        The name of its value; all values it can have; what the value must be.
    separator : str
        Separates several values in one word; without it the option is repeated.
    not_on_cluster : str
        What to do instead where the run is submitted to a cluster; empty if it travels.
    """

    flag: str
    help: str
    kind: type = str
    commands: tuple[str, ...] = EVERY
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    bound: Bound | None = None
    separator: str = ""
    not_on_cluster: str = ""

    def words(self, value: Any) -> list[str]:
        """The arguments of a command line that set the field to a value other than its default."""
        if self.kind is bool:
            return [self.flag.rpartition("/")[2]]
        if self.separator:
            return [self.flag, self.separator.join(value)]
        each = value if isinstance(value, tuple) else (value,)
        return [word for one in each for word in (self.flag, str(one))]

    def check(self, value: Any) -> None:
        """Refuse a value that is not among the choices or not within the bound."""
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"{self.flag} is {value!r}", f"Choose one of {', '.join(self.choices)}."
            )
        if self.bound is not None:
            self.bound.check(self.flag, value)
