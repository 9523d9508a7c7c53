"""The guide to AWS: what it names is there, and both languages say the same."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cloud.conftest import ROOT

ENGLISH, FRENCH = (ROOT / "docs" / name for name in ("aws.md", "aws.fr.md"))


def commands(page: str) -> list[str]:
    """Command lines of the fenced blocks, without what a translation may change."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return re.sub(r"(me|moi)@", "@", "".join(blocks)).splitlines()


def headings(page: str) -> list[str]:
    return re.findall(r"^(#+ (?:\d+)?)", page, re.MULTILINE)


def shown_by(page: str) -> list[list[str]]:
    """The tests that each row of a table names."""
    rows = (line for line in page.splitlines() if line.startswith("| ") and "test_" in line)
    return [re.findall(r"`(test_\w+\.py)`", row) for row in rows]


def rows(page: str) -> int:
    return sum(line.startswith("|") for line in page.splitlines())


def unverified(page: str) -> int:
    return sum(line.startswith("- ") for line in page.rpartition("\n## ")[2].splitlines())


@pytest.mark.parametrize("part", [commands, headings, shown_by, rows, unverified])
def test_both_languages_say_the_same(part: Callable[[str], object]) -> None:
    found = part(ENGLISH.read_text())
    assert found
    assert found == part(FRENCH.read_text())


@pytest.mark.parametrize("page", [ENGLISH, FRENCH], ids=lambda page: page.name)
def test_every_test_that_shows_something_is_there(page: Path) -> None:
    named = {name for row in shown_by(page.read_text()) for name in row}
    known = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert named <= known


@pytest.mark.parametrize("page", [ENGLISH, FRENCH], ids=lambda page: page.name)
def test_every_link_within_the_page_leads_to_a_heading(page: Path) -> None:
    text = page.read_text()
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
