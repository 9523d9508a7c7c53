"""The benchmarks measure what they say, and their page shows what was measured."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import BENCHMARKS
from benchmarks.__main__ import main
from benchmarks.datasets import CLASSES, fruits, subset
from benchmarks.measure import BenchmarkError, Measured, run_measured
from benchmarks.options import HERE, Options, parse
from benchmarks.results import Result, publish, write_page
from test_project import PACKAGE, imports_of, pins_of

REQUIREMENTS = HERE / "requirements"
OUR_PINS = pins_of(HERE.parent / "requirements" / "dev.lock")

# The child only waits; its own child holds 100 MB while it fills them, again and again.
FAMILY = """
import subprocess, sys
filling = "held = bytearray(10**8)\\nfor n in range(8): held[:] = bytes([n]) * 10**8"
subprocess.run([sys.executable, "-c", filling], check=True)
"""


def python(program: str, **arguments: float) -> Measured:
    return run_measured([sys.executable, "-c", program], **arguments)  # type: ignore[arg-type]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(tmp_path / "data", tmp_path / "results", images=140, subset=135)


def result(**changes: object) -> Result:
    fields = {
        "name": "whole_job",
        "title": "How fast",
        "columns": ("contender", "images/s", "cosine", "peak MB"),
        "rows": (("ours", 512.25, 0.9993417, 1834), ("theirs", 51.5, None, 2950)),
    }
    return Result(**(fields | changes))  # type: ignore[arg-type]


def test_memory_and_time_are_of_the_whole_process_tree() -> None:
    measured = python(FAMILY, samples_per_second=20)
    assert measured.peak_bytes > 10**8
    assert measured.cpu_seconds > 0
    assert measured.seconds > 0


def test_a_command_that_fails_shows_its_output() -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)ended with 3 .*no such fruit"):
        python("import sys; print('no such fruit'); sys.exit(3)")


def test_a_failure_may_be_what_is_measured() -> None:
    assert python("raise SystemExit(3)", check=False).exit_code == 3


def test_a_contender_answers_on_its_last_line_of_json() -> None:
    output = 'starting\n{"images": 1}\n{"images": 2}\n{broken\ngood bye'
    assert Measured(1, 1, 1, output, 0).answer == {"images": 2}
    with pytest.raises(BenchmarkError, match="no line of JSON"):
        _ = Measured(1, 1, 1, "nothing to say", 0).answer


@pytest.mark.slow
def test_the_whole_set_and_its_subset_have_every_class(options: Options) -> None:
    options.data.mkdir()
    whole = {path.relative_to(fruits(options)) for path in fruits(options).rglob("*.jpg")}
    some = {path.relative_to(subset(options, 135)) for path in subset(options, 135).rglob("*.jpg")}
    assert (len(whole), len(some)) == (140, 135)
    assert some < whole
    assert len({path.parent for path in some}) == CLASSES
    with pytest.raises(BenchmarkError, match="from 131"):
        subset(options, 130)


def test_every_figure_of_the_page_is_from_the_json(options: Options) -> None:
    publish(result(), options, "python -m benchmarks whole_job")
    page = options.results.parent / "RESULTS.md"
    for shown in ("512.2", "0.999342", "1,834", "–", "python -m benchmarks whole_job"):
        assert shown in page.read_text()
    json_file = options.results / "whole_job.json"
    written = json.loads(json_file.read_text())
    assert written["rows"][0] == ["ours", 512.25, 0.9993417, 1834]
    assert {"date", "hardware", "versions", "command"} <= set(written)
    json_file.write_text(json_file.read_text().replace("512.25", "777.75"))
    write_page(options.results)
    assert "777.8" in page.read_text()
    assert "512" not in page.read_text()


def test_the_page_has_the_order_of_the_benchmarks(options: Options) -> None:
    for name in ("pca", "whole_job"):
        publish(result(name=name, title=f"About {name}"), options, "")
    page = (options.results.parent / "RESULTS.md").read_text()
    assert page.index("About whole_job") < page.index("About pca")


def test_quick_results_do_not_replace_real_ones() -> None:
    names, quick = parse(["pca", "--quick"], BENCHMARKS)
    assert names == ["pca"]
    assert quick.results != Options().results
    assert quick.images < Options().images


def test_the_command_on_the_page_has_no_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.h5"
    weights.touch()
    flags = ["--quick", "--rounds", "2", f"--data={tmp_path}", "--weights", str(weights)]
    monkeypatch.setattr("benchmarks.frameworks.measure", lambda _: result(name="frameworks"))
    assert main(["frameworks", *flags]) == 0
    page = (tmp_path / "quick" / "RESULTS.md").read_text()
    assert "python -m benchmarks frameworks --quick --rounds 2 --weights weights.h5\n" in page
    assert str(tmp_path) not in page


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["whole_jobs"])
    assert "whole_jobs" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_there_and_explained(name: str) -> None:
    benchmark = import_module(f"benchmarks.{name}")
    assert name == benchmark.NAME
    assert benchmark.TITLE
    assert callable(benchmark.measure)
    assert f"| `{name}` |" in (HERE / "README.md").read_text()


@pytest.mark.parametrize("name", ["ray", "daft", "torch"])
def test_contenders_compute_with_our_packages_at_our_versions(name: str) -> None:
    pins = pins_of(REQUIREMENTS / f"{name}.lock")
    sources = [*(PACKAGE / "images").glob("*.py"), *(PACKAGE / "models").glob("*.py")]
    used = {module.partition(".")[0] for source in sources for module in imports_of(source)}
    used = {"pillow" if module == "PIL" else module for module in used} & set(OUR_PINS)
    assert used
    assert used <= set(pins)
    assert {package: pins[package] for package in used} == {
        package: OUR_PINS[package] for package in used
    }


def test_the_notebook_runs_on_the_same_spark() -> None:
    assert pins_of(REQUIREMENTS / "keras.lock")["pyspark"] == OUR_PINS["pyspark"]
