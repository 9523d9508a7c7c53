"""The real archives: their binaries, and that one is all a clean Python needs.

Each is built once, in half a minute or so. Its compressed packages are kept in pytest's cache
until the locks or the rules of packing change.
"""

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from featuremill.cloud.packaging import architecture
from featuremill.cloud.packaging.architecture import Architecture
from featuremill.cloud.packaging.archive import Built
from scripts.check_locks import BROUGHT_BY_THE_SYSTEM, examine
from tests.cloud.cluster import bare_environment, clean_python, unpack

pytestmark = pytest.mark.slow

X86, ARM = (architecture.get(name) for name in architecture.NAMES)
HERE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


@pytest.mark.long
@pytest.mark.parametrize("machine", [X86, ARM], ids=lambda each: each.name)
def test_every_binary_of_an_archive_runs_on_amazon_linux_2023(
    machine: Architecture, archive_for: Callable[[str], Built], tmp_path: Path
) -> None:
    archive = archive_for(machine.name).archive
    machines, newest, count, here, needed = set(), (0, 0), 0, set(BROUGHT_BY_THE_SYSTEM), set()
    with tarfile.open(archive, "r|gz") as packed:
        for entry in packed:
            file = packed.extractfile(entry)
            assert file is not None
            here.add(entry.name.rpartition("/")[2])
            binary = examine(io.BytesIO(file.read()))
            if binary is not None:
                needed.update(binary.needed)
                machines.add(binary.machine)
                newest, count = max(newest, binary.glibc), count + 1
    assert machines == {{"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}[machine.name]}
    assert (2, 17) <= newest <= (2, 34)
    assert count > 100
    assert needed <= here
    assert archive.stat().st_size < 350e6


_LOADS_EVERYTHING = """
import importlib.util, sys
assert importlib.util.find_spec("pyspark") is None
assert importlib.util.find_spec("pip") is None

import boto3, deltalake, h5py, jinja2, numba, obstore, onnx.checker, pandas
import rich, safetensors.numpy
import pyarrow.compute, pyarrow.dataset, pyarrow.parquet
boto3.Session().client("s3", region_name="eu-west-1")

import featuremill.cli, featuremill.workflows.run.pipeline
import featuremill.cli.cluster_job, featuremill.report.gather
from featuremill.report.page import plotly_js
assert "deps" in plotly_js().parts
from featuremill.cli.cluster_job import UNPACKED
from featuremill.cloud.packaging.archive import read_manifest
assert read_manifest(UNPACKED).machine == __import__("platform").machine()
"""
_EMBEDS = """
import hashlib, sys
from pathlib import Path
from featuremill.images import decode
from featuremill.models import registry
from featuremill.models.engines import open_engine
import numpy as np

network = registry.load("mobilenetv2-untrained")
pixels = [decode.decode(Path(name).read_bytes(), decode.Limits()).pixels for name in sys.argv[1:]]
batch = np.stack([decode.resize(each, (224, 224)) for each in pixels])
for engine in ("auto", "onnxruntime"):
    features = open_engine(network, "fp32", engine).embed(batch)
    print(hashlib.sha256(features.tobytes()).hexdigest())
"""


@pytest.mark.long
def test_an_archive_is_all_that_a_clean_python_needs(
    archive_for: Callable[[str], Built], tmp_path: Path, pictures: Path
) -> None:
    with open(archive_for(HERE).archive, "rb") as archive:
        unpack(archive, tmp_path / "deps")
    python = clean_python(tmp_path / "python")
    some = [str(file) for file in sorted(pictures.rglob("*.jpg"))[:3]]
    clean = bare_environment(python, tmp_path) | {"PYTHONPATH": "./deps"}

    def printed(interpreter: Path | str, program: str, environment: dict[str, str]) -> str:
        return subprocess.run(
            [str(interpreter), "-c", program, *some],
            check=True,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    there = printed(python, _LOADS_EVERYTHING + _EMBEDS, clean)
    # nearly a gigabyte
    shutil.rmtree(tmp_path / "deps")
    assert there == printed(sys.executable, _EMBEDS, dict(os.environ))
