"""Looks up the words of the slides, and writes numbers, in each language.

All text stands in ``texts/<language>.toml``, with the same keys in every language.
"""

import tomllib
from decimal import Decimal
from importlib import resources
from typing import Any

from featuremill._utils.formatting import tenths

_SYSTEM = {"en": "809", "fr": "40C"}
_SPACE = "\u00a0"
"""One that does not break a line."""


class Words:
    """Texts of a language.

    Parameters
    ----------
    language : str
        ``en`` or ``fr``.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        file = resources.files("featuremill.export.slides") / "texts" / f"{language}.toml"
        self._texts = tomllib.loads(file.read_text(encoding="utf-8"))

    def raw(self, key: str) -> Any:
        """The entry ``section.name``: a text, a list or a table; KeyError if there is none."""
        found: Any = self._texts
        for part in key.split("."):
            found = found[part]
        return found

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with its values in place."""
        return str(self.raw(key)).format(**values)

    def listed(self, key: str, **values: object) -> list[dict[str, str]]:
        """Entries of a list of tables, each text with its values in place."""
        return [
            {name: str(text).format(**values) for name, text in entry.items()}
            for entry in self.raw(key)
        ]

    def known(self, key: str, name: str) -> str:
        """A name in this language; itself where it has no other."""
        return str(self.raw(key).get(name, name))

    def reason(self, stage: str, reason: str) -> str:
        """Why images were rejected; what is known in English only is said by its stage."""
        if self.language == "en":
            return reason
        return self.known(
            "ledger.reasons", reason if reason in self.raw("ledger.reasons") else stage
        )

    def number(self, value: float | Decimal, digits: int = 0) -> str:
        """With so many digits after the point."""
        text = f"{value:,.{digits}f}"
        if self.language == "fr":
            return text.replace(",", _SPACE).replace(".", ",")
        return text

    def pattern(self, pattern: str) -> str:
        """A spreadsheet's number format that writes numbers as this language does."""
        # the language's number in Windows: else numbers are written as the reader's system does
        return f"[$-{_SYSTEM[self.language]}]{pattern}"

    def percent(self, share: float, digits: int = 1) -> str:
        """A share of 1, in percent, rounded as the report and the console round it."""
        value = tenths(share) if digits == 1 else 100 * share
        return f"{self.number(value, digits)}{_SPACE}%"

    def seconds(self, value: float) -> str:
        """A duration: to the tenth below a minute."""
        if value < 60:
            return f"{self.number(value, 1)}{_SPACE}s"
        minutes, rest = divmod(round(value), 60)
        return f"{self.number(minutes)}{_SPACE}min{_SPACE}{rest}{_SPACE}s"

    def size(self, count: float) -> str:
        """Bytes as megabytes or gigabytes."""
        unit, factor = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
        unit = {"GB": "Go", "MB": "Mo"}[unit] if self.language == "fr" else unit
        return f"{self.number(count / factor, 1)}{_SPACE}{unit}"

    def amount(self, usd: Decimal) -> str:
        """USD to the cent, or with two digits that matter below one."""
        return self.number(usd, 2 if usd >= 1 or not usd else max(2, 1 - usd.adjusted()))

    def money(self, usd: Decimal) -> str:
        """An amount with its currency."""
        return f"{self.amount(usd)}{_SPACE}USD"

    def price(self, usd: Decimal) -> str:
        """A price with all its digits."""
        return self.number(usd, max(2, -int(usd.normalize().as_tuple().exponent)))


def shortened(text: str, most: int) -> str:
    """At most so many characters, with an ellipsis in the middle of what is longer."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
