"""What holds for the project as a whole: its layers, the cost of an import, its locks."""

import ast
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import featuremill

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "featuremill"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LOCKS = sorted(ROOT.glob("**/requirements/*.lock"))

PLOTLY = Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))

ROOMS: list[list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "featuremill"
]["rooms"]

HEAVY = [
    "boto3",
    "botocore",
    "deltalake",
    "obstore",
    "numba",
    "onnx",
    "onnxruntime",
    "openvino",
    "pandas",
    "plotly",
    "pptx",
    "pyarrow",
    "pyspark",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def dotted(source: Path) -> str:
    """Name of a module below the package: ``models.engines``; of a package, ``models.__init__``."""
    return ".".join(source.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {dotted(source): source for source in SOURCES}


def module_named(name: str) -> str | None:
    """The module of the package that a dotted name is, or is something in."""
    parts = name.split(".")
    if parts[0] != "featuremill":
        return None
    for end in range(len(parts), 0, -1):
        for found in (".".join(parts[1:end]), ".".join([*parts[1:end], "__init__"])):
            if found in MODULES:
                return found
    return None


def imports_of(source: Path) -> Iterator[str]:
    """Every module that a source file imports, as a dotted name; also in functions, by string."""
    package = ["featuremill", *source.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            # the name imported may be a module itself, as in `from featuremill import images`
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # a package is named for the data that lie in it
            name = node.value.partition(":")[0]
            if name.removeprefix("featuremill.") in MODULES and name.startswith("featuremill."):
                yield name


def imported_modules(source: Path) -> set[str]:
    """The other modules of the package that a source file imports from."""
    # the version alone may be asked for from anywhere
    names = (name for name in imports_of(source) if name != "featuremill.__version__")
    return {module for module in map(module_named, names) if module} - {dotted(source)}


def rank(module: str) -> tuple[int, int]:
    """Where a module stands: its room, and its place in that room."""
    parts = module.split(".")
    if parts == ["__init__"]:
        return len(ROOMS), 0
    for at, (room, *inside) in enumerate(ROOMS):
        if parts[0] == room:
            return at, inside.index(parts[1]) if len(parts) > 1 and inside else 0
    raise ValueError(f"{module} stands in no room")


def lines_of(function: Function) -> int:
    """The lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def calls_in(source: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Every call of a source file: its name, and what stands there for each argument."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            arguments: dict[str, str] = {str(at): ast.unparse(a) for at, a in enumerate(node.args)}
            arguments |= {word.arg or "**": ast.unparse(word.value) for word in node.keywords}
            yield name, arguments


def pins_of(lock: Path) -> dict[str, list[str]]:
    """The versions that a lock file holds of each package (several where they depend on Python)."""
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)", lock.read_text(), re.M):
        pins.setdefault(canonicalize_name(name), []).append(version)
    return pins


def modules_loaded_by(statement: str) -> set[str]:
    """The top-level modules in memory after a statement in a fresh interpreter."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name.partition(".")[0] for name in loaded.split()}


def test_the_rooms_are_the_package() -> None:
    found = {tuple(module.split(".")[:2]) for module in MODULES if module != "__init__"}
    listed = {(room, name) for room, *inside in ROOMS for name in inside or ["__init__"]}
    assert {pair if len(pair) == 2 else (*pair, "__init__") for pair in found} == listed
    assert len(list(PACKAGE.glob("[!_]*"))) + len(list(PACKAGE.glob("_[!_]*"))) <= 17  # py.typed


@pytest.mark.parametrize("source", SOURCES, ids=dotted)
def test_imports_point_to_what_stands_before(source: Path) -> None:
    own = dotted(source).split(".")
    others = (module for module in imported_modules(source) if module.split(".")[:2] != own[:2])
    assert [module for module in others if rank(module) >= rank(dotted(source))] == []


@pytest.mark.parametrize("module", ["workflows.run.task", "pca.components"])
def test_the_work_itself_knows_no_spark(module: str) -> None:
    imported = {name.partition(".")[0] for name in imports_of(MODULES[module])}
    assert "pyspark" not in imported
    assert "pyspark" not in modules_loaded_by(f"import featuremill.{module}")


@pytest.mark.parametrize("source", SOURCES, ids=dotted)
def test_only_the_workers_import_spark(source: Path) -> None:
    """But for type checkers, which know the sessions and data frames that users hand in and get."""
    if dotted(source).startswith("workers."):
        return
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert "pyspark" not in {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] != "pyspark"


@pytest.mark.parametrize("module", ["featuremill", "featuremill.cli"])
def test_imports_stay_light(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not written yet")
    assert modules_loaded_by(f"import {module}").isdisjoint(HEAVY)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_short(source: Path) -> None:
    text = source.read_text()
    assert len(text.splitlines()) <= 400
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, Function))
    assert [function.name for function in functions if lines_of(function) > 60] == []


# What Arrow is told so that no thread of it works ahead on a file that Python has opened: it may
# let go of that file only while Python ends, and then the process aborts with exit code 134.
ARROW_READERS: dict[str, dict[str, str]] = {
    "read_csv": {"0": "pa.BufferReader(memory.getvalue())"},
    "ParquetFile": {"pre_buffer": "False"},
    "iter_batches": {"use_threads": "False"},
    "read_row_group": {"use_threads": "False"},
    "read_row_groups": {"use_threads": "False"},
}
ALWAYS_AHEAD = {
    *("open_csv", "read_json", "open_json", "read_feather", "read_table", "read_pandas"),
    *("dataset", "ParquetDataset", "to_pyarrow_table", "to_pyarrow_dataset"),
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_reader_of_arrow_works_ahead_on_a_python_file(source: Path) -> None:
    for name, arguments in calls_in(source):
        assert name not in ALWAYS_AHEAD
        assert ARROW_READERS.get(name, {}).items() <= arguments.items(), name


def test_the_changelog_begins_with_this_version() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[0] == featuremill.__version__


def test_the_lock_holds_every_dependency_in_the_range_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = pins_of(ROOT / "requirements" / "dev.lock")
    for requirement in map(Requirement, project["dependencies"]):
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is not locked: run make lock"
        assert all(map(requirement.specifier.contains, versions)), requirement


def test_the_second_lock_is_spark_3_5_alone() -> None:
    pins = pins_of(ROOT / "requirements" / "spark35.lock")
    assert set(pins) == {"pyspark", "py4j"}
    assert pins["pyspark"] == ["3.5.8"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_by_hash_and_name_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[\w.-]+(\[.*?\])?==", entry), entry
        assert "--hash=sha256:" in entry, entry
        assert not set(re.findall(r"--(\w+)", entry)) - {"hash"}, entry


@pytest.mark.slow
def test_what_is_installed_has_the_embedded_weights_and_stays_small(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    [wheel], [archive] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    weights = PACKAGE / "models" / "embedded.safetensors"
    with zipfile.ZipFile(wheel) as packed:
        inside = str(weights.relative_to(PACKAGE.parent))
        assert packed.read(inside) == weights.read_bytes()
        for notebook in (ROOT / "notebooks").glob("*.ipynb"):
            assert packed.read(f"featuremill/notebooks/{notebook.name}") == notebook.read_bytes()
        # drawn with where Plotly is not installed
        assert packed.read(f"featuremill/report/script/{PLOTLY.name}") == PLOTLY.read_bytes()
    with tarfile.open(archive) as packed:
        names = [name.partition("/")[2] for name in packed.getnames()]
    assert str(weights.relative_to(ROOT)) in names
    assert wheel.stat().st_size <= 8_000_000


def test_no_file_names_a_package_index() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: what belongs to the project is not known")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    index = re.compile(
        rb"(pypi|pythonhosted)\.org|(?<!emit-)index[-]url|find[-]links|//\S+/simple[/\s]"
    )
    assert [path for path in files if path.is_file() and index.search(path.read_bytes())] == []


@pytest.mark.parametrize("source", sorted((ROOT / "tests").rglob("test_*.py")), ids=str)
def test_no_test_stops_the_clocks_of_other_threads(source: Path) -> None:
    """`time` is one for all: what a test puts in its place is met by Spark's threads too."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".setattr"):
            whole = (
                r"(^|\.)time\.\w+'$" if isinstance(node.args[0], ast.Constant) else r"(^|\.)time$"
            )
            place = ast.unparse(node.args[0])
            assert not re.search(whole, place), f"{source}:{node.lineno}: name its module instead"


@pytest.mark.parametrize("source", [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], ids=str)
def test_every_docstring_is_text(source: Path) -> None:
    """Python 3.13 writes them as UTF-8 when it compiles, and fails at a lone surrogate."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, Function | ast.ClassDef | ast.Module):
            (ast.get_docstring(node) or "").encode()
