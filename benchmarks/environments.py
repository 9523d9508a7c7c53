"""Virtual environments of the contenders, made once from hashed locks and reused."""

import hashlib
import shutil
import sys
from pathlib import Path

from benchmarks.measure import run_measured
from benchmarks.options import HERE, Options

ROOT = HERE.parent

# PyTorch's builds for Linux on x86-64 come with gigabytes of CUDA packages, except where pip finds
# a CPU build first (a wheel on disk, a mirror of PyTorch's own): no hash fits all of them.
_UNHASHED = {"torch": ["torch==2.13.0"]}


def python_of(name: str, options: Options, *, featuremill: bool = False) -> Path:
    """Interpreter of a contender's environment, which is made if its lock has changed.

    Parameters
    ----------
    name : str
        Of the lock in ``benchmarks/requirements``: keras, ray, daft or torch.
    options : Options
        ``data`` is where environments are kept.
    featuremill : bool
        Install this checkout too, without its dependencies: the lock names those needed.

    Returns
    -------
    Path

    Raises
    ------
    BenchmarkError
        If something cannot be installed; the message ends with what pip said.
    """
    tools, lock = ROOT / "requirements" / "build.lock", HERE / "requirements" / f"{name}.lock"
    unhashed = _UNHASHED.get(name, [])
    recipe = hashlib.sha256(tools.read_bytes() + lock.read_bytes() + str(unhashed).encode())
    state = f"{recipe.hexdigest()} {featuremill}"
    folder = options.data / "environments" / name
    python, stamp = folder / "bin" / "python", folder / ".stamp"
    if stamp.exists() and stamp.read_text() == state:
        return python
    print(f"  making the environment {name} (minutes)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    run_measured([sys.executable, "-m", "venv", folder])
    install = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    run_measured([*install, "--only-binary", ":all:", "--require-hashes", "-r", tools])
    # Spark comes as source: the tools just installed build it
    install.append("--no-build-isolation")
    run_measured([*install, "--require-hashes", "-r", lock])
    if unhashed:
        run_measured([*install, *unhashed])
    if featuremill:
        run_measured([*install, "--no-deps", "--editable", ROOT])
    stamp.write_text(state)
    return python
