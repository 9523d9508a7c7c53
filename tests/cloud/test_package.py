"""The archive: what is locked, what goes in, what is refused, and how it is sent.

They are tiny ones here, of wheels made here; test_archives.py has the real ones.
"""

import base64
import hashlib
import json
import os
import platform
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from packaging.utils import canonicalize_name

import featuremill
from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.packaging import architecture, dependencies, layers
from featuremill.cloud.packaging.architecture import Architecture
from featuremill.cloud.packaging.archive import MANIFEST, WEIGHTS, Recipe, build
from featuremill.cloud.packaging.dependencies import files_needed
from featuremill.cloud.packaging.package import package
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ModelError
from featuremill.models import download, registry
from scripts import check_locks
from scripts.check_locks import check, examine

ROOT = Path(__file__).parents[2]
UNTRAINED = "mobilenetv2-untrained"
X86, ARM = (architecture.get(name) for name in architecture.NAMES)
HERE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
BUCKET = "pictures"


# Wheels and archives of the size of a test


def wheel(folder: Path, files: dict[str, bytes], tag: str = "py3-none-any") -> str:
    """A wheel, and the line of a lock that asks for it."""
    notes = "tiny-1.0.dist-info"
    metadata = {
        f"{notes}/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{notes}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        f"{notes}/licenses/LICENSE": b"MIT",
    }
    file = folder / f"tiny-1.0-{tag}.whl"
    with zipfile.ZipFile(file, "w") as packed:
        record = []
        for path, content in {**files, **metadata}.items():
            packed.writestr(path, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
            record.append(f"{path},sha256={digest.rstrip('=')},{len(content)}")
        packed.writestr(f"{notes}/RECORD", "\n".join([*record, f"{notes}/RECORD,,\n"]))
    return f"tiny==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


TINY = {
    "tiny/__init__.py": b"answer = 42\n",
    "tiny/stubs.pyi": b"answer: int\n",
    "tiny/include/tiny.h": b"int answer;\n",
    "tiny/tests/test_tiny.py": b"assert True\n",
    "tiny-1.0.data/scripts/tiny": b"#!python\n",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The only folder where pip looks, in a world without a network; and an empty cache."""
    folder = tmp_path_factory.mktemp("wheels")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PIP_CONFIG_FILE", os.devnull)
        environment.setenv("PIP_NO_INDEX", "1")
        environment.setenv("PIP_FIND_LINKS", str(folder))
        environment.setenv("FEATUREMILL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="module")
def tiny(wheels: Path) -> Architecture:
    """An architecture for which one small package is locked."""
    return replace(X86, lock=wheel(wheels, TINY))


def header(machine: int) -> bytes:
    """A binary that is nothing but its ELF header."""
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return identity + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 0, 0, 64, 0, 0, 64, 0, 0)


def names_in(archive: Path) -> list[str]:
    with tarfile.open(archive) as packed:
        return packed.getnames()


def content_of(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as packed:
        file = packed.extractfile(name)
        assert file is not None
        return file.read()


def featuremill_cloud(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["cloud", *map(str, arguments)])


# The locks


def pins_of(lock: str) -> set[tuple[str, str]]:
    """Name and version of all that is locked."""
    found = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)", lock, re.MULTILINE)
    return {(canonicalize_name(name), version) for name, version in found}


def names_locked(machine: Architecture) -> set[str]:
    return {name for name, _ in pins_of(machine.lock)}


@pytest.mark.parametrize("machine", [X86, ARM], ids=lambda each: each.name)
def test_locks_pin_by_hash_what_is_used_here_and_name_no_address(
    machine: Architecture,
) -> None:
    assert "://" not in machine.lock
    for entry in re.split(r"\n(?=\S)", machine.lock.strip()):
        assert re.match(r"[\w.-]+(\[.*?\])?==[^\s;]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert pins_of(machine.lock) < pins_of((ROOT / "requirements" / "dev.lock").read_text())


@pytest.mark.parametrize("machine", [X86, ARM], ids=lambda each: each.name)
def test_locks_leave_out_what_the_cluster_brings(machine: Architecture) -> None:
    locked = names_locked(machine)
    assert locked.isdisjoint(check_locks.BROUGHT_BY_THE_CLUSTER)
    assert {"pyarrow", "pandas", "numpy", "onnxruntime", "deltalake", "boto3"} <= locked


def test_only_x86_has_openvino() -> None:
    assert "openvino" in names_locked(X86)
    assert "openvino" not in names_locked(ARM)


def test_every_wheel_of_the_years_before_amazon_linux_2023_is_taken() -> None:
    assert X86.platforms[0] == "manylinux_2_34_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64"} <= set(
        X86.platforms
    )
    assert {"manylinux_2_28_aarch64", "manylinux2014_aarch64"} <= set(ARM.platforms)
    assert not any("2_35" in tag or tag.endswith("x86_64") for tag in ARM.platforms)


# What goes in


def test_the_archive_holds_packages_code_and_a_label_and_nothing_needless(
    tiny: Architecture,
) -> None:
    built = build(Recipe(tiny, UNTRAINED))
    names = names_in(built.archive)
    assert [name for name in names if name.startswith("tiny")] == [
        "tiny-1.0.dist-info/METADATA",
        "tiny-1.0.dist-info/WHEEL",
        "tiny-1.0.dist-info/licenses/LICENSE",
        "tiny/__init__.py",
    ]
    assert {
        "featuremill/cli/cluster_job.py",
        "featuremill/cloud/packaging/locks/aarch64.lock",
        MANIFEST,
    } <= set(names)
    assert not any("__pycache__" in name or name.startswith("bin/") for name in names)
    assert built.files == len(names)


def test_the_same_contents_give_the_same_bytes(
    tiny: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(Recipe(tiny, UNTRAINED))
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path / "elsewhere"))
    # another machine: other times, other rights, another number of cores
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    previous = os.umask(0o077)
    try:
        second = build(Recipe(tiny, UNTRAINED))
    finally:
        os.umask(previous)
    assert first.archive != second.archive
    assert first.archive.read_bytes() == second.archive.read_bytes()
    with tarfile.open(second.archive) as packed:
        marks = {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in packed}
    assert marks == {(0, 0, 0, "", 0o644)}


def test_any_gzip_reads_it_as_one_piece(tiny: Architecture, tmp_path: Path) -> None:
    large = tmp_path / "large.h5"
    # what repeats reaches back into the block before
    large.write_bytes(np.random.default_rng(1).bytes(10_000) * 500)
    built = build(Recipe(tiny, weights=large))
    assert content_of(built.archive, f"{WEIGHTS}/large.h5") == large.read_bytes()
    # zlib stops at the end of a member: all must come before
    squeezed = zlib.decompressobj(31)
    whole = squeezed.decompress(built.archive.read_bytes())
    assert squeezed.eof
    assert squeezed.unused_data == b""
    # the end of a tar file
    assert len(whole) % 512 == 0
    assert whole.endswith(bytes(1024))


def test_the_name_tells_all_that_is_inside(
    tiny: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(tiny, UNTRAINED)
    assert re.fullmatch(
        rf"featuremill-{featuremill.__version__}-{UNTRAINED}-x86_64-[0-9a-f]{{12}}\.tar\.gz",
        recipe.archive,
    )
    assert recipe.entry == f"featuremill-job-{recipe.digest}.py"
    own = tmp_path / "own.h5"
    own.write_bytes(b"weights")
    others = [
        Recipe(replace(tiny, lock=tiny.lock + "\n"), UNTRAINED),
        Recipe(ARM, UNTRAINED),
        Recipe(tiny, "mobilenetv2"),
        Recipe(tiny, "mobilenetv2", own),
    ]
    digests = {recipe.digest, *(other.digest for other in others)}
    monkeypatch.setattr(
        "featuremill.cloud.packaging.archive.code_files",
        lambda: iter([("featuremill/new.py", own)]),
    )
    for code in (b"1\n", b"2\n"):
        own.write_bytes(code)
        digests.add(Recipe(tiny, UNTRAINED).digest)
    assert len(digests) == 7


def test_packages_are_fetched_once(tiny: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    build(Recipe(tiny, UNTRAINED))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    again = build(Recipe(tiny, "mobilenetv2", Path(__file__)))
    assert "tiny/__init__.py" in names_in(again.archive)


def test_the_cache_does_not_grow_for_ever(tiny: Architecture, tmp_path: Path) -> None:
    for number in range(4):
        own = tmp_path / f"{number}.h5"
        own.write_bytes(bytes(number))
        newest = build(Recipe(tiny, weights=own)).archive
    kept = list(layers.archives_folder().glob("*.tar.gz"))
    assert len(kept) == 2
    assert newest in kept


def test_weights_of_ones_own_are_named_in_the_archive(tiny: Architecture, tmp_path: Path) -> None:
    own = tmp_path / "own.h5"
    own.write_bytes(b"weights")
    built = build(Recipe(tiny, weights=own))
    assert content_of(built.archive, "featuremill-weights/own.h5") == b"weights"
    label = json.loads(content_of(built.archive, MANIFEST))
    assert label["weights"] == "featuremill-weights/own.h5"
    assert label["machine"] == "x86_64"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Weights of mobilenetv2 as small as a test needs them."""
    content = b"published"
    spec = registry.MODELS["mobilenetv2"]
    assert spec.weights is not None
    digest = hashlib.sha256(content).hexdigest()
    weights = replace(spec.weights, size=len(content), sha256=digest)
    models = {**registry.MODELS, spec.name: replace(spec, weights=weights)}
    monkeypatch.setattr(registry, "MODELS", models)
    return content


def test_published_weights_come_from_the_cache(
    tiny: Architecture, published: bytes, tmp_path: Path
) -> None:
    spec = registry.get("mobilenetv2")
    assert spec.weights is not None
    cached = download.cache_dir() / spec.weights.file
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(published)
    archive = build(Recipe(tiny)).archive
    assert content_of(archive, f"featuremill-weights/{spec.weights.file}") == published


def test_without_weights_and_without_a_network_it_says_what_to_do(
    tiny: Architecture, published: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "BACKOFF_S", ())
    monkeypatch.setenv(download.MIRROR_VARIABLE, "http://127.0.0.1:9/nothing")
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="weights of mobilenetv2 go into the archive") as refused:
        build(Recipe(tiny))
    assert "--weights FILE" in refused.value.remedy
    assert not list(layers.archives_folder().iterdir())


# What is refused


def test_a_package_without_a_wheel_for_the_machine_is_named(
    tiny: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path))
    missing = replace(ARM, lock=tiny.lock.replace("tiny", "small"))
    with pytest.raises(
        CloudError, match=r"no wheel of small==1\.0 for Linux on aarch64"
    ) as refused:
        build(Recipe(missing, UNTRAINED))
    assert "pip config list" in refused.value.remedy
    assert not list(layers.archives_folder().iterdir())


def test_a_wheel_of_the_other_architecture_alone_is_no_wheel(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lock = wheel(tmp_path, TINY, tag="cp311-cp311-manylinux_2_28_x86_64")
    with pytest.raises(CloudError, match=r"no wheel of tiny==1\.0"):
        dependencies.install(replace(ARM, lock=lock), tmp_path / "deps")


def test_another_file_than_the_locked_one_is_refused(tiny: Architecture) -> None:
    changed = replace(tiny, lock=re.sub("[0-9a-f]{64}", "0" * 64, tiny.lock))
    with pytest.raises(CloudError, match=r"another tiny.* than the one locked"):
        build(Recipe(changed, UNTRAINED))


def test_a_lock_without_hashes_is_refused(tiny: Architecture, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="could not fetch the packages for Linux on x86_64"):
        dependencies.install(replace(tiny, lock="tiny==1.0\n"), tmp_path / "deps")


def test_a_python_without_pip_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CloudError, match="has no pip") as refused:
        dependencies.install(X86, tmp_path / "deps")
    assert "ensurepip" in refused.value.remedy


def files_of(folder: Path, **contents: bytes) -> list[tuple[str, Path]]:
    """Files as they are found after installing; ``__`` in a name stands for a slash."""
    for name, content in contents.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return list(files_needed(folder))


def test_a_binary_for_another_machine_is_refused(tmp_path: Path) -> None:
    files = files_of(tmp_path, tiny__tool=header(62), tiny__data=b"no binary")
    assert check(files, X86).binaries == 1
    with pytest.raises(CloudError, match=r"not for aarch64: tiny/tool \(EM_X86_64\)"):
        check(files, ARM)


def test_a_damaged_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="tiny/tool is a damaged binary"):
        check(files_of(tmp_path, tiny__tool=header(62)[:20]), X86)


@pytest.mark.parametrize("name", ["pyspark-4.1.0.dist-info", "py4j-0.10.9.dist-info"])
def test_what_the_cluster_brings_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CloudError, match=name.partition("-")[0]):
        check(files_of(tmp_path, **{f"{name}__METADATA": b""}), X86)


def test_a_package_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = {f"numpy-2.{minor}.dist-info__METADATA": b"" for minor in (1, 2)}
    with pytest.raises(CloudError, match=r"twice.*numpy"):
        check(files_of(tmp_path, **twice), X86)


@pytest.fixture
def library() -> tuple[Path, Architecture]:
    """A real shared library of this machine, which wants glibc and a library beside it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("binaries of this system are not Linux's")
    from numpy._core import _multiarray_umath

    assert _multiarray_umath.__file__ is not None
    return Path(_multiarray_umath.__file__), architecture.get(HERE)


def test_a_binary_that_wants_a_newer_glibc_is_refused(
    library: tuple[Path, Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, machine = library
    with open(file, "rb") as content:
        binary = examine(content)
    assert binary is not None
    # numpy's wheels are of manylinux_2_17 to 2_28
    assert (2, 0) < binary.glibc <= (2, 28)
    monkeypatch.setattr(check_locks, "GLIBC", (binary.glibc[0], binary.glibc[1] - 1))
    with pytest.raises(CloudError, match=r"numpy/x\.so \(2\.\d+\)") as refused:
        check([("numpy/x.so", file)], machine)
    assert "newer glibc than Amazon Linux 2023 has" in refused.value.problem


def test_a_binary_whose_libraries_were_left_out_is_refused(
    library: tuple[Path, Architecture],
) -> None:
    file, machine = library
    with pytest.raises(CloudError, match=r"would not be there: numpy/x\.so \(libscipy_openblas"):
        check([("numpy/x.so", file)], machine)


# The command


@pytest.fixture
def stack(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder whose stack has a bucket."""
    location = {"LocationConstraint": aws.region}
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    outputs = {"Bucket": BUCKET, "Architecture": "x86_64"}
    described = Place("featuremill", aws.region, "123456789012", outputs)
    project_file.save(described, tmp_path)
    monkeypatch.chdir(tmp_path)
    return described


def test_the_archive_is_sent_once_and_its_entry_point_each_time(
    tiny: Architecture, stack: Place, aws: Aws, tmp_path: Path
) -> None:
    own = tmp_path / "own.h5"
    # so large that it is sent in parts
    own.write_bytes(np.random.default_rng(1).bytes(9_000_000))
    recipe, called = Recipe(tiny, weights=own), []
    recording = replace(aws, recorder=lambda _service, operation, _: called.append(operation))
    built = package(recording, recipe, BUCKET).built
    assert "UploadPart" in called
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key=f"code/{recipe.archive}")
    assert stored["Body"].read() == built.archive.read_bytes()
    called.clear()
    assert package(recording, recipe, BUCKET).built is None
    assert called == ["HeadObject", "PutObject"]
    entry = aws.client("s3").get_object(Bucket=BUCKET, Key=f"code/{recipe.entry}")["Body"].read()
    compile(entry, recipe.entry, "exec")


def test_a_dry_run_shows_the_names_and_calls_nothing(
    stack: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    shown = featuremill_cloud("package", "--dry-run", "--endpoint-url", "http://127.0.0.1:9")
    assert shown.exit_code == 0
    assert f"s3://{BUCKET}/code/{Recipe(X86).archive}" in shown.output
    assert "s3.put_object" in shown.output
    assert "nothing was called" in shown.output


def test_the_command_prints_what_was_built(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lock = wheel(tmp_path, {**TINY, "tiny/data": bytes(20_000_000)})
    monkeypatch.setattr("featuremill.cli.cloud.package.get", lambda _: replace(ARM, lock=lock))
    words = ("--architecture", "arm64", "--model", UNTRAINED, "--output", tmp_path / "out")
    said = featuremill_cloud("package", *words)
    assert said.exit_code == 0
    left = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert [re.sub("[0-9a-f]{12}", "DIGEST", name) for name in left] == [
        f"featuremill-{featuremill.__version__}-{UNTRAINED}-arm64-DIGEST.tar.gz",
        "featuremill-job-DIGEST.py",
    ]
    assert re.search(r"^largest   tiny 20\.0, featuremill \d+\.\d", said.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--weights", "nothing.h5"), "--weights is nothing.h5, which is no file"),
        (("--model", UNTRAINED, "--weights", "own.h5"), "has weights of its own"),
        (("--model", "resnet"), "'resnet' is unknown"),
    ],
)
def test_wrong_weights_are_refused_before_anything_is_fetched(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.h5").write_bytes(b"weights")
    refused = featuremill_cloud("package", "--output", "out", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert not Path("out").exists()
