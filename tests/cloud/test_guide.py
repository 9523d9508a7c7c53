"""The guide to AWS: what it names is there, and both languages say the same."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from featuremill.cli import main
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


@pytest.mark.parametrize("page", [ENGLISH, FRENCH], ids=lambda page: page.name)
def test_every_file_that_is_linked_is_there(page: Path) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert "../src/featuremill/cloud/stack/templates/featuremill.yaml" in linked
    assert [name for name in linked if not (page.parent / name).exists()] == []


def parsed(line: str) -> tuple[str, ...]:
    """The command that a line calls; an error if it has no such options."""
    words, command, name = shlex.split(line)[1:], main, ()
    while isinstance(command, click.Group):
        found: Any = command.get_command(click.Context(command), words[0])
        assert found is not None, line
        command, name, words = found, (*name, words[0]), words[1:]
    command.make_context(name[-1], list(words), parent=click.Context(main))
    return name


def test_every_command_line_can_be_given_and_no_command_is_left_out() -> None:
    shown = {parsed(line) for line in commands(ENGLISH.read_text())}
    group: Any = main.get_command(click.Context(main), "cloud")
    every = group.list_commands(click.Context(group))
    assert {name[1] for name in shown} == set(every)


@pytest.mark.parametrize("page", [ENGLISH, FRENCH], ids=lambda page: page.name)
def test_every_symptom_is_in_the_words_of_the_commands(page: Path) -> None:
    known = "".join(file.read_text() for file in (ROOT / "src" / "featuremill").rglob("*.py"))
    first = (line.split("|")[1] for line in page.read_text().splitlines() if line[:3] == "| `")
    symptoms = [said for cell in first for said in re.findall(r"`([^`]+)`", cell)]
    # with a value in them they stand nowhere
    plain = [said for said in symptoms if not re.search(r"\d|'", said)]
    assert len(plain) > 10
    parts = [part.strip() for said in plain for part in said.split("…")]
    assert [part for part in parts if part not in known] == []
