"""Fetches the locked packages for another machine, and checks that they will run there.

No Docker and no compiler: pip unpacks wheels that were built for Linux, on any system.
"""

import fnmatch
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from featuremill.cloud.packaging.architecture import GLIBC, PYTHON, Architecture
from featuremill.cloud.packaging.elf import Binary, examine
from featuremill.errors import CloudError

BROUGHT_BY_THE_CLUSTER = frozenset({"pyspark", "py4j"})
"""Packages that would fight with the cluster's own."""

_NEEDLESS_FOLDERS = frozenset({"__pycache__", "include", "tests"})
_NEEDLESS_TOPS = frozenset({"bin", "share"})
_NEEDLESS = (
    # for compilers and type checkers
    *("*.pyi", "*.pyx", "*.pxd", "*.h", "*.hpp", "*.c", "*.cpp", "*.a", "*.cmake", "*.pc"),
    # pip's notes, of which RECORD lists what is left out here
    *("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"),
    "*.dist-info/direct_url.json",
    # what no run loads: test models, a notebook's widgets, RPC, OpenMP, other devices
    *("onnx/backend/test/*", "plotly/labextension/*", "pyarrow/*flight*", "numba/*/omppool.*"),
    *("openvino/libs/*_gpu_*", "openvino/libs/*_npu_*", "openvino/libs/cache.json"),
)
_BROUGHT_BY_THE_SYSTEM = frozenset(
    {
        *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libz.so.1"),
        *("libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"),
    }
)
"""Libraries that Amazon Linux 2023 has wherever Python runs."""
_SHOWN = 3
"""Files that an error names at most."""


@dataclass(frozen=True)
class Checked:
    """What was found about the binaries among some files."""

    binaries: int
    glibc: tuple[int, int]
    """The oldest C library that all of them run with."""


def install(architecture: Architecture, folder: Path) -> None:
    """Unpack the locked wheels of an architecture.

    Parameters
    ----------
    architecture : Architecture
        What for.
    folder : Path
        Where to; made anew.

    Raises
    ------
    CloudError
        If there is no pip, or a wheel cannot be had or is not the one that was locked.
    """
    if importlib.util.find_spec("pip") is None:
        raise CloudError(
            f"{sys.executable} has no pip, which fetches the packages of the archive",
            f"Add it: `{sys.executable} -m ensurepip` or `uv pip install pip`.",
        )
    lock = folder.with_suffix(".lock")
    lock.write_text(architecture.lock, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"),
        *("--quiet", "--target", str(folder), "--no-deps", "--no-compile"),
        *("--require-hashes", "--only-binary=:all:", "--requirement", str(lock)),
        *("--implementation", "cp", "--python-version", PYTHON),
        *(f"--abi={abi}" for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")),
        *(f"--platform={platform}" for platform in architecture.platforms),
    ]
    # a user's own setting that pip would refuse beside --target
    environment = {**os.environ, "PIP_USER": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise _explained(done.stderr, architecture)


def _explained(said: str, architecture: Architecture) -> CloudError:
    machine = f"Linux on {architecture.machine} with Python {PYTHON}"
    if missing := re.search(r"No matching distribution found for (\S+)", said):
        return CloudError(
            f"pip found no wheel of {missing[1]} for {machine}",
            "Check the network and where pip looks for packages: `python -m pip config list`.",
        )
    if "DO NOT MATCH THE HASHES" in said:
        wrong = re.search(r"^\s+(\S+==\S+|\S+) from \S+", said, re.MULTILINE)
        return CloudError(
            f"pip was given another {wrong[1] if wrong else 'file'} than the one locked"
            f" for {machine}",
            "Check where pip looks for packages: `python -m pip config list`.",
        )
    errors = [line for line in said.strip().splitlines() if line.startswith("ERROR")]
    last = (errors or said.strip().splitlines() or ["it said nothing"])[-1]
    return CloudError(f"pip could not fetch the packages for {machine}: {last}")


def files_needed(folder: Path) -> Iterator[tuple[str, Path]]:
    """What of an installed folder has to be in the archive, sorted by name.

    Tests, headers, stubs, scripts and pip's notes are left out; licences stay.

    Yields
    ------
    name : str
        Path inside the archive, with slashes.
    file : Path
        Where it is.
    """
    found = ((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*"))
    yield from sorted((name, file) for name, file in found if file.is_file() and _is_needed(name))


def _is_needed(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if parts[0] in _NEEDLESS_TOPS or not _NEEDLESS_FOLDERS.isdisjoint(parts[:-1]):
        return False
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in _NEEDLESS)


def check(files: list[tuple[str, Path]], architecture: Architecture) -> Checked:
    """Look at every binary and at the names of the packages.

    Parameters
    ----------
    files : list of (str, Path)
        As :func:`files_needed` gives them.
    architecture : Architecture
        Of the machines that will load them.

    Raises
    ------
    CloudError
        If a binary is for other machines, or wants a newer C library or a library that is nowhere;
        if a package is there twice, or is one that the cluster brings.
    """
    _check_packages(name.partition("/")[0] for name, _ in files)
    binaries = list(_binaries(files))
    here = {name.rpartition("/")[2] for name, _ in files} | _BROUGHT_BY_THE_SYSTEM
    strange = [
        f"{name} ({each.machine})" for name, each in binaries if each.machine != architecture.elf
    ]
    if strange:
        raise _refused(strange, f"are not for {architecture.machine}")
    recent = [f"{name} ({_dotted(each.glibc)})" for name, each in binaries if each.glibc > GLIBC]
    if recent:
        raise _refused(recent, f"want a newer glibc than Amazon Linux 2023 has, {_dotted(GLIBC)}")
    lacking = [
        f"{name} ({library})"
        for name, each in binaries
        for library in each.needed
        if library not in here
    ]
    if lacking:
        raise _refused(lacking, "want a library that would not be there")
    newest = max((each.glibc for _, each in binaries), default=(0, 0))
    return Checked(len(binaries), newest)


def _binaries(files: list[tuple[str, Path]]) -> Iterator[tuple[str, Binary]]:
    for name, file in files:
        with open(file, "rb") as content:
            try:
                binary = examine(content)
            except ValueError as error:
                raise CloudError(f"{name} is a damaged binary: {error}") from error
        if binary is not None:
            yield name, binary


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _refused(files: list[str], what: str) -> CloudError:
    shown = ", ".join(files[:_SHOWN]) + (" …" if len(files) > _SHOWN else "")
    return CloudError(
        f"{len(files)} binaries {what}: {shown}",
        "This is a defect of the lock in featuremill: please report it.",
    )


def _check_packages(tops: Iterator[str]) -> None:
    installed = Counter(
        re.sub(r"[-_.]+", "-", top.split("-", 1)[0]).lower()
        for top in set(tops)
        if top.endswith(".dist-info")
    )
    wrong = [name for name, count in installed.items() if count > 1]
    wrong.extend(BROUGHT_BY_THE_CLUSTER.intersection(installed))
    if wrong:
        raise CloudError(
            f"the archive would hold packages twice or beside the cluster's own:"
            f" {', '.join(sorted(wrong))}",
            "This is a defect of the lock in featuremill: please report it.",
        )
