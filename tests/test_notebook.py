"""The notebooks: as the source makes them, with the outputs of this code, in both languages."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from featuremill.cloud.jobs import serverless

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
JUPYTER = Path(sys.executable).with_name("jupyter-execute")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "scripts" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["en", "fr"])
def notebook(generator: ModuleType, request: pytest.FixtureRequest) -> Any:
    return nbformat.reads(generator.NOTEBOOKS[request.param].read_text("utf-8"), 4)


def code_of(book: Any) -> list[tuple[str, str]]:
    return [(cell.id, cell.source) for cell in book.cells if cell.cell_type == "code"]


def outputs_of(book: Any) -> dict[str, list[Any]]:
    return {cell.id: cell.outputs for cell in book.cells if cell.cell_type == "code"}


def printed(book: Any) -> str:
    outputs = [output for some in outputs_of(book).values() for output in some]
    return "".join(output.get("text", "") for output in outputs)


def figures_of(book: Any) -> list[str]:
    return [
        name
        for name, outputs in outputs_of(book).items()
        if any("image/png" in output.get("data", {}) for output in outputs)
    ]


FIGURES = ["pictures", "standardise", "scree", "plane"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_notebooks_are_what_the_source_makes(generator: ModuleType, language: str) -> None:
    made = generator.notebook(generator.SOURCE.read_text("utf-8"), language)
    committed = nbformat.read(generator.NOTEBOOKS[language], 4)
    for book in (made, committed):
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    assert committed.cells == made.cells, "run: make notebook"


def test_the_stored_outputs_are_those_of_this_code(generator: ModuleType, notebook: Any) -> None:
    assert notebook.metadata.get("executed") == generator.digest(notebook), "run: make notebook"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert figures_of(notebook) == FIGURES
    assert not [
        output
        for some in outputs_of(notebook).values()
        for output in some
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def test_stored_outputs_say_nothing_of_the_machine_they_were_made_on(notebook: Any) -> None:
    assert not re.search(r"/(tmp|home|root|work|Users)/", printed(notebook))


def test_both_have_the_same_code_and_other_words(generator: ModuleType) -> None:
    english, french = (nbformat.read(path, 4) for path in generator.NOTEBOOKS.values())
    assert [cell.id for cell in english.cells] == [cell.id for cell in french.cells]
    for one, other in zip(english.cells, french.cells, strict=True):
        assert (one.source != other.source) == (one.cell_type == "markdown" or one.id == "say")


def test_only_public_names_are_imported(notebook: Any) -> None:
    imports = [line for _, code in code_of(notebook) for line in code.splitlines()]
    from_package = [line.strip() for line in imports if re.match(r"\s*from featuremill", line)]
    assert from_package == ["from featuremill.cli import main as command"]


def test_a_change_of_code_drops_the_outputs_and_a_change_of_words_keeps_them(
    generator: ModuleType,
) -> None:
    earlier = generator.notebook("# %% [code] one\n1 + 1\n", "en")
    earlier.cells[0].outputs = [nbformat.v4.new_output("stream", text="2")]
    earlier.metadata["executed"] = generator.digest(earlier)
    both = "# %% [markdown] words en\n# A\n# %% [markdown] words fr\n# B\n"
    for code, kept in (("1 + 1", True), ("1 + 2", False)):
        book = generator.notebook(f"{both}# %% [code] one\n{code}\n", "en")
        generator.keep_outputs(book, earlier)
        assert bool(outputs_of(book)["one"]) == kept


def test_a_text_without_its_twin_is_refused(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match="not in both languages: alone"):
        generator.cells("# %% [markdown] alone en\n# A text.\n")


def test_livy_is_told_what_a_job_on_serverless_is_told(notebook: Any) -> None:
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "raw"]
    magic, _, settings = cell.source.partition("\n")
    assert magic == "%%configure -f"
    told = json.loads(settings)["conf"]
    archive = "s3://BUCKET/code/ARCHIVE.tar.gz"
    of_a_job = serverless.spark_properties(serverless.JobLimits(), archive)
    assert told.items() <= of_a_job.items()
    needed = [name for name in of_a_job if name.endswith(("archives", "PYTHONPATH", "_PYTHON"))]
    assert set(needed) <= told.keys()


@pytest.mark.long
def test_it_runs_offline_in_any_folder(generator: ModuleType, tmp_path: Path) -> None:
    if not JUPYTER.exists():
        pytest.skip("nbclient is not installed")
    [name] = [path.name for language, path in generator.NOTEBOOKS.items() if language == "en"]
    (tmp_path / name).write_bytes(generator.NOTEBOOKS["en"].read_bytes())
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    subprocess.run(
        [JUPYTER, "--inplace", name],
        cwd=tmp_path,
        env=os.environ | nowhere | {"IPYTHONDIR": str(tmp_path / "ipython"), "WEIGHTS": ""},
        check=True,
        capture_output=True,
        timeout=400,
    )
    executed = nbformat.read(tmp_path / name, 4)
    assert figures_of(executed) == FIGURES
    assert "320 images, 0 unreadable" in outputs_of(executed)["extract"][0].text
    assert "Parquet and CSV: 320 images x 50 components, equal" in printed(executed)
    assert "320 listed" in printed(executed)
    assert len(list((tmp_path / "featuremill-notebook").glob("*/run/report.html"))) == 1
