"""What a check of the surroundings found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    level : {'ok', 'warn', 'fail'}
        Whether it stands in the way.
    what : str
        What was looked at.
    said : str
        What was found.
    remedy : str
        What to do about it.
    """

    level: Literal["ok", "warn", "fail"]
    what: str
    said: str
    remedy: str = ""
