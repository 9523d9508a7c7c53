"""What the base leaves out: who needs it is told in one line how to have it, and nobody else."""

import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from featuremill._utils.extras import EXTRAS, install_command, is_installed
from outputs import MODEL
from without_spark import results_of

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = PROJECT["optional-dependencies"]

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv[0] = "featuremill"
"""
COMMAND = "from featuremill.cli import main; main()"


def modules_of(*extras: str) -> set[str]:
    """All top-level modules that extras bring, also what they bring for themselves."""
    texts = [text for extra in extras for text in DECLARED[extra]]
    named = {canonicalize_name(Requirement(text).name) for text in texts}
    inner = {"boto3": {"botocore", "s3transfer"}, "pyspark": {"py4j"}}
    modules = metadata.packages_distributions().items()
    brought = {module for module, by in modules if named.intersection(map(canonicalize_name, by))}
    return brought.union(*(inner.get(name, ()) for name in named))


def without(
    missing: Collection[str], program: str, *arguments: object, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh Python that cannot import some modules."""
    code = WITHOUT.format(missing=set(missing)) + program
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_the_extras_are_those_declared() -> None:
    assert set(EXTRAS) == set(DECLARED) - {"all"}
    [everything] = map(Requirement, DECLARED["all"])
    # Embedding Atlas is a program of its own, and brings PyTorch
    assert everything.extras == set(EXTRAS) - {"explore"}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"explore"}))
def test_an_extra_brings_the_modules_it_is_asked_for(extra: str) -> None:
    assert set(EXTRAS[extra]) <= modules_of(extra)


@pytest.mark.parametrize("extra", ["aws", "heif", "pandas", "slides", "spark"])
def test_the_base_has_nothing_of_an_extra(extra: str) -> None:
    base = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert base.isdisjoint(canonicalize_name(Requirement(text).name) for text in DECLARED[extra])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "arguments", "what"),
    [
        ("aws", ["run", "s3://fruits/training", "out"], "s3:// needs boto3"),
        ("aws", ["run", "images", "s3://fruits/out"], "s3:// needs boto3"),
        (
            "aws",
            ["sample", "s3://fruits/training", "s", "--per-class", "2"],
            "s3:// needs boto3",
        ),
        ("aws", ["check", "s3://fruits/results"], "s3:// needs boto3"),
        ("aws", ["cloud", "deploy", "--region", "eu-west-1"], "AWS needs boto3"),
        ("aws", ["cloud", "up", "images", "--region", "eu-west-1"], "AWS needs boto3"),
        ("spark", ["run", "images", "out", "--master", "local[1]"], "Spark needs pyspark"),
        ("slides", ["slides", "results", "-o", "deck.pptx"], "a presentation needs pptx"),
        ("onnxruntime", ["export", "results", "--to", "onnx", "-o", "m.onnx"], "needs onnxruntime"),
        (
            "onnxruntime",
            ["run", "images", "out", "--engine", "onnxruntime", "--model", MODEL],
            "--engine onnxruntime needs onnxruntime",
        ),
        (
            "onnxruntime",
            ["run", "images", "out", "--model", "my.onnx"],
            "--model my.onnx needs onnxruntime",
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_a_command_that_lacks_its_extra_says_in_one_line_how_to_have_it(
    extra: str, arguments: list[str], what: str, tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "images").symlink_to(pictures)
    before = set(tmp_path.iterdir())
    shown = without(modules_of(extra), COMMAND, *arguments, folder=tmp_path)
    assert shown.returncode == 2, shown.stderr
    *_, problem, remedy = shown.stderr.splitlines()
    assert problem.startswith("error: ")
    assert what in problem
    assert remedy == f"  Install the extra {extra!r}: {install_command(extra)}"
    assert set(tmp_path.iterdir()) == before


def test_features_as_a_data_frame_need_pandas(tmp_path: Path) -> None:
    program = "import featuremill; featuremill.load_features(sys.argv[1])"
    shown = without({"pandas"}, program, tmp_path, folder=tmp_path)
    *_, problem, remedy = shown.stderr.splitlines()
    assert problem.endswith("load_features without spark= needs pandas, which is not installed")
    assert remedy == f"Install the extra 'pandas': {install_command('pandas')}"


def test_every_module_loads_with_the_base_alone(tmp_path: Path) -> None:
    package = ROOT / "src" / "featuremill"
    sources = (source.relative_to(package.parent) for source in package.rglob("*.py"))
    names = sorted(".".join(source.with_suffix("").parts) for source in sources)
    # what draws slides is loaded once python-pptx is known to be there
    program = (
        f"import importlib; [importlib.import_module(n) for n in {names} if 'slides.' not in n]"
    )
    loaded = without(modules_of(*EXTRAS), program, folder=tmp_path)
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.slow
def test_the_base_alone_serves_what_a_run_left(tmp_path: Path, pictures: Path) -> None:
    results_of(pictures, tmp_path / "results", components=4)
    # where the processor is not x86-64, the base has ONNX Runtime
    everything = modules_of(
        *(set(EXTRAS) - (set() if is_installed("openvino") else {"onnxruntime"}))
    )
    one = next(path for path in sorted(pictures.rglob("*")) if path.is_file())
    for command in (
        ["--help"],
        ["synth", "drawn", "--classes", "1", "--per-class", "1"],
        ["sample", pictures, "some", "--per-class", "1"],
        ["similar", "results", one],
        ["duplicates", "results", "--html", "copies.html"],
        ["outliers", "results"],
        ["export", "results", "--to", "numpy", "-o", "arrays"],
        ["export", "results", "--to", "pandas", "-o", "table.parquet"],
        ["report", "results"],
        ["run", pictures, "out", "--model", MODEL, "--components", "4"],
        ["doctor", "--model", MODEL],
    ):
        shown = without(everything, COMMAND, *command, folder=tmp_path)
        assert shown.returncode == 0, (command, shown.stderr)


# How to have an extra, by where this installation came from


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (
            {"url": "file:///home/me/clone", "dir_info": {"editable": True}},
            "-e '/home/me/clone[aws]'",
        ),
        ({"url": "file:///home/me/my%20clone", "dir_info": {}}, "'/home/me/my clone[aws]'"),
        (
            {"url": "file:///dist/featuremill-1-py3-none-any.whl", "archive_info": {}},
            "'/dist/featuremill-1-py3-none-any.whl[aws]'",
        ),
        (
            {"url": "https://example.org/f.git", "vcs_info": {"vcs": "git", "commit_id": "0"}},
            "'featuremill[aws] @ git+https://example.org/f.git'",
        ),
        (None, "'featuremill[aws]'"),
    ],
)
def test_the_command_fits_where_the_package_came_from(
    origin: dict[str, object] | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = None if origin is None else json.dumps(origin)
    here = SimpleNamespace(read_text=lambda _: text)
    monkeypatch.setattr(metadata, "distribution", lambda _: here)
    command = install_command("aws")
    assert command.endswith(f" -m pip install {wanted}")
    assert shlex.split(command)[0] == sys.executable


def test_code_that_was_never_installed_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", missing)
    assert install_command("aws").endswith(" -m pip install 'featuremill[aws]'")
