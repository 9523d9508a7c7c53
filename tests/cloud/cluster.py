"""A stand-in for a cluster: Spark, and a Python 3.11 that has nothing but what an archive brings.

It takes what was submitted: archive, entry point, arguments, Spark's properties. Spark is the
locked one, as a cluster would bring it: its programs, and the zip files of its Python side.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from featuremill.cloud.architecture import PYTHON

MASTER = "local[2,4]"
"""Two tasks at a time, each tried four times, as on the cluster."""

_DRIVER = ("spark.emr-serverless.driverEnv.", "spark.yarn.appMasterEnv.")
"""Properties that are the environment of the driver."""


def clean_python(folder: Path) -> Path:
    """A Python 3.11 in a new folder, without any package: not even pip.

    Where it stands, it is called python3.11, as on the cluster.
    """
    base = Path(sys.base_prefix) / "bin" / f"python{PYTHON}"
    found = str(base) if base.exists() else shutil.which(f"python{PYTHON}")
    if found is None:
        pytest.skip(f"there is no Python {PYTHON}, which clusters have")
    if found == str(base):
        venv.create(folder, with_pip=False, symlinks=True)
    else:
        subprocess.run([found, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / f"python{PYTHON}"


def unpack(archive: Path, folder: Path) -> Path:
    """What the cluster does with ``spark.archives``."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def bare_environment(python: Path, home: Path) -> dict[str, str]:
    """Nothing of this process's own environment but how to find Java."""
    kept = {name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ}
    path = [str(python.parent), *(["/usr/bin", "/bin"])]
    java = shutil.which("java")
    if java is not None:
        path.append(str(Path(java).parent))
    return {"PATH": os.pathsep.join(path), "HOME": str(home), "LANG": "C.UTF-8", **kept}


def submit(
    folder: Path,
    archive: Path,
    entry: Path,
    arguments: Sequence[str],
    properties: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
    timeout: float = 240.0,
) -> subprocess.CompletedProcess[str]:
    """Run what was submitted, to its end.

    Parameters
    ----------
    folder : Path
        Empty; becomes the working folder of driver and executors.
    archive, entry : Path
        As `featuremill cloud package` built them.
    arguments : sequence of str
        Of the entry point.
    properties : mapping
        Spark's, as submitted: with ``spark.archives`` and the environments of driver and executors.
    environment : mapping, optional
        Further variables: credentials, and the address that stands for AWS.
    timeout : float
        Seconds.
    """
    python = clean_python(folder / "python")
    linked = properties.get("spark.archives", "#deps").rpartition("#")[2]
    unpack(archive, folder / linked)
    driver = {
        name.removeprefix(prefix): value
        for name, value in properties.items()
        for prefix in _DRIVER
        if name.startswith(prefix)
    }
    conf = {
        name: value
        for name, value in properties.items()
        if not name.startswith(_DRIVER) and name != "spark.archives"
    }
    conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    spark = _spark_home()
    return subprocess.run(
        [
            *(str(spark / "bin" / "spark-submit"), "--master", MASTER),
            *(word for name, value in conf.items() for word in ("--conf", f"{name}={value}")),
            *(str(entry.resolve()), *arguments),
        ],
        cwd=folder,
        env={
            **bare_environment(python, folder),
            "SPARK_HOME": str(spark),
            **driver,
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def _spark_home() -> Path:
    pyspark = importlib.util.find_spec("pyspark")
    assert pyspark is not None
    assert pyspark.origin is not None
    return Path(pyspark.origin).parent
