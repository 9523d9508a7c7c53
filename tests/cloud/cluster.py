"""A stand-in for AWS' machines: runs what was submitted to them by a real Spark.

What it takes is what came over the wire: the parameters of ``StartJobRun``, or of ``RunJobFlow``.
It fetches entry point and archive from the S3 endpoint as the role of the job would, and has a
Python 3.11 with nothing in it but what the archive brings. Spark is the locked one, as a cluster
would bring it: its programs, and the zip files of its Python side. Only these are its own: a local
master, the endpoint's address and the role's keys.
"""

import gzip
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from featuremill.cloud.packaging.architecture import PYTHON

Ended = subprocess.CompletedProcess[str]

MASTER = "local[2,4]"
"""Two tasks at a time, each tried four times, as on the cluster."""

_DRIVER = "spark.emr-serverless.driverEnv."
"""Begins the properties that are the environment of the driver on EMR Serverless."""
_SECONDS = 240
_SOON = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Lets Java start sooner, which here runs for seconds only."""

# what the script calls on a node; there is no other program of these names
_AWS = """\
#!{python}
import sys
import boto3
words = [word for word in sys.argv[1:] if not word.startswith("--")]
assert words[:2] == ["s3", "cp"] and words[3:] == ["-"], sys.argv
bucket, _, key = words[2].removeprefix("s3://").partition("/")
s3 = boto3.Session(region_name="eu-west-1").client("s3")
for block in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
    sys.stdout.buffer.write(block)
"""
_NODE_PROGRAMS = {
    "aws": _AWS,
    "sudo": '#!/bin/sh\nexec "$@"\n',
    "systemctl": "#!/bin/sh\n",
}


@dataclass(frozen=True)
class Machine:
    """A machine that runs one job.

    Parameters
    ----------
    folder : Path
        Made for it, and where it writes.
    endpoint : str
        Address that stands for S3.
    key : str
        Id, and secret too, of the access key that the job's role has.
    """

    folder: Path
    endpoint: str
    key: str

    def run_job(self, asked: Mapping[str, Any], identifier: str) -> Ended:
        """What EMR Serverless does.

        Parameters
        ----------
        asked : mapping
            Parameters of ``StartJobRun``.
        identifier : str
            Of the job run.

        Returns
        -------
        CompletedProcess
            Of Spark's driver.
        """
        job = asked["jobDriver"]["sparkSubmit"]
        words = shlex.split(job["sparkSubmitParameters"])
        assert set(words[::2]) == {"--conf"}
        given = dict(word.split("=", 1) for word in words[1::2])
        archive, _, linked = given.pop("spark.archives").partition("#")
        with self._open(archive) as packed:
            unpack(packed, self.folder / linked)
        driver = {
            name.removeprefix(_DRIVER): value
            for name, value in given.items()
            if name.startswith(_DRIVER)
        }
        conf = [
            word
            for name, value in given.items()
            if not name.startswith(_DRIVER)
            for word in ("--conf", f"{name}={value}")
        ]
        entry = self.folder / "job.py"
        with self._open(job["entryPoint"]) as content:
            entry.write_bytes(content.read())
        python = clean_python(self.folder / "python")
        ended = self._spark_submit(
            [*conf, str(entry), *job["entryPointArguments"]],
            bare_environment(python, self.folder) | driver,
        )
        self._keep_logs(asked, identifier, ended)
        return ended

    def run_step(self, asked: Mapping[str, Any]) -> Ended:
        """What EMR on EC2 does on a primary that is alone: bootstrap actions, settings, one step.

        Parameters
        ----------
        asked : mapping
            Parameters of ``RunJobFlow``.

        Returns
        -------
        CompletedProcess
            Of Spark's driver.
        """
        python = clean_python(self.folder / "python")
        programs = self.folder / "programs"
        programs.mkdir()
        for name, text in _NODE_PROGRAMS.items():
            program = programs / name
            program.write_text(text.format(python=sys.executable))
            program.chmod(0o755)
        environment = bare_environment(python, self.folder)
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
        for action in asked["BootstrapActions"]:
            script = action["ScriptBootstrapAction"]
            with self._open(script["Path"]) as content:
                command = ["bash", "-c", content.read().decode(), "bootstrap"]
            subprocess.run(
                [*command, *map(self._here, script["Args"])],
                env=environment | self._access(),
                check=True,
                timeout=_SECONDS,
            )
        [step] = asked["Steps"]
        *limit, submit = step["HadoopJarStep"]["Args"][:4]
        assert (limit[0], submit) == ("timeout", "spark-submit")
        words = [*map(self._here, step["HadoopJarStep"]["Args"][4:])]
        settings = self._settings(asked["Configurations"])
        return self._spark_submit(words, environment | {"SPARK_CONF_DIR": str(settings)})

    def _settings(self, configurations: Sequence[Mapping[str, Any]]) -> Path:
        """Spark's folder of settings, as EMR writes it."""
        folder = self.folder / "conf"
        folder.mkdir()
        named = {each["Classification"]: each for each in configurations}
        defaults = named["spark-defaults"]["Properties"].items()
        lines = [f"{name} {self._here(value)}\n" for name, value in defaults]
        (folder / "spark-defaults.conf").write_text("".join(lines))
        [exported] = named["spark-env"]["Configurations"]
        variables = exported["Properties"].items()
        lines = [f"export {name}={shlex.quote(self._here(value))}\n" for name, value in variables]
        (folder / "spark-env.sh").write_text("".join(lines))
        return folder

    def _here(self, text: str) -> str:
        """A text with this machine's folder for that of a node, which only an owner may write."""
        return text.replace("/opt/", f"{self.folder}/opt/")

    def _spark_submit(self, words: Sequence[str], environment: Mapping[str, str]) -> Ended:
        spark = spark_home()
        # this machine's own name may not be known to it
        local = ("spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1")
        return subprocess.run(
            [
                *(str(spark / "bin" / "spark-submit"), "--master", MASTER),
                *(word for each in local for word in ("--conf", each)),
                *words,
            ],
            cwd=self.folder,
            env={
                **environment,
                "SPARK_HOME": str(spark),
                "SPARK_SUBMIT_OPTS": _SOON,
                **self._access(),
            },
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )

    def _access(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.key,
        }

    def _s3(self) -> Any:
        import boto3

        session = boto3.Session(self.key, self.key, region_name="eu-west-1")
        return session.client("s3", endpoint_url=self.endpoint)

    def _open(self, url: str) -> BinaryIO:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        content: BinaryIO = self._s3().get_object(Bucket=bucket, Key=key)["Body"]
        return content

    def _keep_logs(self, asked: Mapping[str, Any], identifier: str, ended: Ended) -> None:
        overrides = asked["configurationOverrides"]["monitoringConfiguration"]
        url = overrides["s3MonitoringConfiguration"]["logUri"]
        bucket, _, folder = url.removeprefix("s3://").partition("/")
        job = f"{folder}applications/{asked['applicationId']}/jobs/{identifier}/SPARK_DRIVER"
        for name, text in (("stdout", ended.stdout), ("stderr", ended.stderr)):
            body = gzip.compress(text.encode(), 1)
            self._s3().put_object(Bucket=bucket, Key=f"{job}/{name}.gz", Body=body)


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


def unpack(archive: BinaryIO, folder: Path) -> Path:
    """What the cluster does with ``spark.archives``, while it is still being fetched."""
    with tarfile.open(fileobj=archive, mode="r|gz") as packed:
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


def spark_home() -> Path:
    """The Spark of this environment."""
    pyspark = importlib.util.find_spec("pyspark")
    assert pyspark is not None
    assert pyspark.origin is not None
    return Path(pyspark.origin).parent
