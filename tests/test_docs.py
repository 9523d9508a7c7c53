"""What the documents say is what the program does."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

from featuremill.cli import main
from featuremill.dataset.csv_files import text_of
from featuremill.models import registry
from featuremill.storage import open_store
from featuremill.storage.ignored_files import (
    NEVER_IMAGES,
    NEVER_NAMES,
    SYSTEM_FOLDERS,
    SYSTEM_SUFFIXES,
)
from made_results import MadeResult

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fenced_commands() -> Iterator[tuple[str, str]]:
    """Every featuremill command line in a fenced block, with the page that shows it."""
    for page in PAGES:
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.removeprefix("$ ").strip()
                if command.startswith("featuremill ") and not command.endswith(": --help"):
                    yield page.name, command


def test_the_help_pages_are_the_programs_own() -> None:
    # In a process of its own: a command that was called without its group keeps other options.
    shown = [sys.executable, "-c", "import help_pages; print(help_pages.help_pages(), end='')"]
    pages = subprocess.run(shown, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    written = (ROOT / "docs" / "cli.md").read_text()
    assert written == pages.stdout, "run scripts/help_pages.py"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_tables_of_modules_are_those_of_the_code(page: str) -> None:
    written = load_script("module_tables").written(page)
    assert (ROOT / page).read_text() == written, "run scripts/module_tables.py"


def test_modules_that_the_documents_name_are_there() -> None:
    tables = load_script("module_tables")
    rooms = "|".join(room for room, *inside in tables.rooms() if inside)
    for page in ("architecture.md", "performance.md", "models.md"):
        text = (ROOT / "docs" / page).read_text()
        for name in re.findall(rf"`((?:{rooms})/[\w/]+)(?:\.\w+)?`", text):
            at = tables.PACKAGE / name
            assert at.is_dir() or at.with_suffix(".py").exists(), (page, name)


def test_what_is_promised_is_shown_by_tests_that_exist() -> None:
    named = re.findall(
        r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text()
    )
    for path, name in named:
        assert re.search(rf"def {name}\b|class {name}\b", (ROOT / path).read_text()), (path, name)


@pytest.mark.parametrize(("page", "command"), sorted(set(fenced_commands())))
def test_every_command_shown_is_one_the_program_accepts(page: str, command: str) -> None:
    arguments = shlex.split(command, comments=True)[1:]
    group: click.Command = main
    while isinstance(group, click.Group):
        context = click.Context(group)
        name = arguments.pop(0)
        found = group.get_command(context, name)
        assert found is not None, f"{page} shows the unknown command {name}"
        group = found
    group.make_context("shown", arguments)


@pytest.mark.slow
def test_the_readme_shows_what_the_quick_start_prints(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    transcript = re.search(r"```console\n\$ make demo\n(.*?)```", readme, re.DOTALL)
    assert transcript is not None
    runner = CliRunner()
    pictures, results = str(tmp_path / "pictures"), str(tmp_path / "results")
    drawn = runner.invoke(main, ["synth", pictures, "--classes", "2", "--per-class", "12"])
    options = ["--model", "embedded", "--components", "20"]
    ran = runner.invoke(main, ["run", pictures, results, *options])
    shown = [shape(line) for line in transcript[1].splitlines() if line]
    for line in [*drawn.stdout.splitlines(), *ran.stdout.splitlines()]:
        assert shape(line) in shown


def shape(line: str) -> str:
    """A line without its numbers and paths, which differ from run to run."""
    line = re.sub(r"\S*/\S+", "PATH", line)
    return re.sub(r"[\d,.]*\d", "N", line)


def test_the_models_page_has_the_facts_of_every_model() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    for spec in registry.MODELS.values():
        [row] = re.findall(rf"^\| `{spec.name}`.*$", page, re.MULTILINE)
        height, width = spec.input_size
        for fact in (f"{height}×{width}", str(spec.n_features), spec.licence):
            assert f"| {fact} |" in row


def test_the_model_card_names_every_source_of_photographs() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    sources = tomllib.loads((ROOT / "training" / "sources.toml").read_text())["source"]
    for each in sources:
        row = f"| {each['name']} | `{each['repository']}` | {each['photographs']:,} |"
        assert f"{row} {each['licence']}" in page
    total = sum(each["photographs"] for each in sources)
    assert f"{total:,} photographs of {len(sources)} public" in page


def test_the_architecture_lists_all_that_is_skipped() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition("## What is skipped")[2].partition("\n## ")[0]
    prose, _, extensions = section.rpartition("unfinished downloads\n")
    assert set(re.findall(r"`\.([^`]+)`", extensions)) == NEVER_IMAGES
    told = set(re.findall(r"`([^`]+)`", " ".join(prose.split())))
    assert set(SYSTEM_FOLDERS) <= told
    assert {suffix[1:] for suffix in SYSTEM_SUFFIXES} <= told
    assert NEVER_NAMES - {"icon%0d"} <= {name.lower() for name in told}


def test_the_advice_for_reading_the_csv_gives_every_label_back(tmp_path, monkeypatch) -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    advice = re.search(r"```python\n(.*?read_csv.*?)```", page, re.DOTALL)
    labels = {
        "NA",
        "null",
        "None",
        "nan",
        "001",
        "1e5",
        "True",
        "-",
        "1,5",
        "naïve",
        '"',
        "",
    }
    result = MadeResult(open_store(tmp_path / "results"), "/photos")
    result.commit(0, [f"/photos/{label}/{n}.jpg" for label in sorted(labels) for n in range(2)])
    result.reject(1, [f"/photos/{label}/rejected.jpg" for label in labels])
    result.reduce()
    monkeypatch.chdir(tmp_path)
    for name in ("csv/reduced.csv", "rejects.csv"):
        found: dict[str, Any] = {}
        exec(advice[1].replace("csv/reduced.csv", name), found)
        read = found["table"]
        assert {text_of(label) for label in read.label} == labels
        assert set(read.path.str.split("/").str[-2]) == labels


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_speed_is_the_measured_one() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "whole_job.json").read_text())
    rows = {row[0]: dict(zip(measured["columns"], row, strict=True)) for row in measured["rows"]}
    auto, notebook = rows["featuremill auto"], rows["usual notebook"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"{auto['times faster']:.1f} times as fast" in readme
    assert f"{rows['featuremill fp32']['times faster']:.1f} times in float32" in readme
    assert "a fifth of its memory" in readme
    assert auto["peak MB"] / notebook["peak MB"] == pytest.approx(0.2, abs=0.03)
    assert f"{auto['images']:,} images" in readme
