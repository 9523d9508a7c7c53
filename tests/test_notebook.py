"""The notebooks: as the source makes them, clean, the same code in both, and it runs offline."""

import importlib.util
import json
import os
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


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_notebooks_are_what_the_source_makes(generator: ModuleType, language: str) -> None:
    made = generator.notebook(generator.SOURCE.read_text("utf-8"), language)
    committed = generator.NOTEBOOKS[language].read_text("utf-8")
    assert committed == made, "run: python scripts/notebooks.py"


def test_no_output_is_committed(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_both_have_the_same_code_and_other_words(generator: ModuleType) -> None:
    english, french = (nbformat.read(path, 4) for path in generator.NOTEBOOKS.values())
    assert code_of(english) == code_of(french)
    assert [cell.id for cell in english.cells] == [cell.id for cell in french.cells]
    for one, other in zip(english.cells, french.cells, strict=True):
        assert (one.source == other.source) == (one.cell_type != "markdown")


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


def test_it_runs_offline_in_any_folder(generator: ModuleType, tmp_path: Path) -> None:
    if not JUPYTER.exists():
        pytest.skip("nbclient is not installed")
    [name] = [path.name for language, path in generator.NOTEBOOKS.items() if language == "en"]
    (tmp_path / name).write_bytes(generator.NOTEBOOKS["en"].read_bytes())
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    subprocess.run(
        [JUPYTER, "--inplace", name],
        cwd=tmp_path,
        env=os.environ | nowhere | {"IPYTHONDIR": str(tmp_path / "ipython")},
        check=True,
        capture_output=True,
        timeout=240,
    )
    executed = nbformat.read(tmp_path / name, 4)
    outputs = {cell.id: cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    figures = [
        name
        for name, some in outputs.items()
        if any("image/png" in output.get("data", {}) for output in some)
    ]
    assert figures == ["pictures", "maps", "standardise", "scree", "plane", "neighbours"]
    assert "320 listed" in outputs["ledger"][0].text
    assert "320 already done" in outputs["again"][0].text
    assert len(list((tmp_path / "featuremill-notebook").glob("*/steps/report.html"))) == 1
