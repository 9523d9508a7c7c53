"""The options of a check, and the list of what it found."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from featuremill.config.option import at_least, share

OK = "ok"
FAILED = "failed"
SKIPPED = "skipped"

Value = int | float | str | None


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
        Stays the same from version to version.
    status : str
        ``ok``, ``failed``, or ``skipped`` where it could not or need not be looked at.
    value : int, float, str or None
        What was found.
    note : str
        What the value is, or why it was skipped.
    bound : str
        What the value had to be.
    """

    name: str
    status: str
    value: Value
    note: str
    bound: str


class Findings:
    """Checks in the order in which they are made."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks.values())

    def judge(self, name: str, passed: bool, value: Value, note: str, bound: str) -> bool:
        """Note what was found; tells whether it passed."""
        status = OK if passed else FAILED
        if isinstance(value, float) and not math.isfinite(value):
            # JSON has no such numbers
            value = str(value)
        self._checks[name] = Check(name, status, value, note, bound)
        return passed

    def equal(self, name: str, value: Value, expected: Value, note: str) -> bool:
        """Note a value that must be the expected one."""
        shown = f"{expected:,}" if isinstance(expected, int) else str(expected)
        return self.judge(name, value == expected, value, note, shown)

    def none_of(self, name: str, count: int, what: str, example: str = "") -> bool:
        """Note how many faults of a kind there are, of which there must be none."""
        note = f"{what}, such as {example}" if example else what
        return self.judge(name, count == 0, count, note, "0")

    def skip(self, names: str | Iterable[str], why: str) -> None:
        """Note what was not looked at."""
        for name in [names] if isinstance(names, str) else names:
            self._checks[name] = Check(name, SKIPPED, None, why, "")

    def blocked(self, names: str | Iterable[str], *by: str) -> bool:
        """Skip checks that mean nothing unless others have passed; tells whether that is so."""
        passed = {check.name for check in self if check.status == OK}
        missing = next((name for name in by if name not in passed), None)
        if missing is not None:
            self.skip(names, f"needs {missing}")
        return missing is not None


@dataclass(frozen=True)
class CheckConfig:
    """A result, and what is expected of it beyond being sound.

    Parameters
    ----------
    destination : str
        Destination of an earlier run: a folder or ``s3://bucket/prefix``.
    source : str, optional
        List this source, and compare its images and their versions with the rows.
    min_variance : float, optional
        Smallest share of the variance that the components may hold, in (0, 1].
    components : int, optional
        Number of components there must be.
    expect_count : int, optional
        Number of images with features there must be.
    endpoint_url, region : str, optional
        Endpoint and region of S3, or of a store that speaks it.

    Raises
    ------
    ConfigError
        If a value is out of its bounds.
    """

    destination: str
    source: str | None = None
    min_variance: float | None = None
    components: int | None = None
    expect_count: int | None = None
    endpoint_url: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        for flag, value, bound in (
            ("--min-variance", self.min_variance, share("For 90 % write --min-variance 0.9.")),
            ("--components", self.components, at_least(1, "Give the number of components.")),
            ("--expect-count", self.expect_count, at_least(0, "Give the number of images.")),
        ):
            bound.check(flag, value)
