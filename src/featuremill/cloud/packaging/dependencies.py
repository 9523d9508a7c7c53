"""Fetches the locked packages for another machine.

No Docker and no compiler: pip unpacks wheels that were built for Linux, on any system. That they
run there is checked when they are locked, by ``scripts/check_locks.py``.
"""

import fnmatch
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from featuremill.cloud.packaging.architecture import PYTHON, Architecture
from featuremill.errors import CloudError

_NEEDLESS_FOLDERS = frozenset({"__pycache__", "include", "tests"})
_NEEDLESS_TOPS = frozenset({"bin", "share"})
_NEEDLESS = (
    # for compilers and type checkers
    *("*.pyi", "*.pyx", "*.pxd", "*.h", "*.hpp", "*.c", "*.cpp", "*.a", "*.cmake", "*.pc"),
    # pip's notes, of which RECORD lists what is left out here
    *("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"),
    "*.dist-info/direct_url.json",
    # what no run loads: test models, RPC, OpenMP, other devices
    *("onnx/backend/test/*", "pyarrow/*flight*", "numba/*/omppool.*"),
    *("openvino/libs/*_gpu_*", "openvino/libs/*_npu_*", "openvino/libs/cache.json"),
)


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
