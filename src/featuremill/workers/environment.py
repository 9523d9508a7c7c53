"""Settings and packages of another Spark in the environment, and which of them count here."""

import importlib.util
import os
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from featuremill._utils.extras import require
from featuremill.errors import ConfigError

_OLDEST, _NEWEST = (3, 5), (4, 99)
"""Versions of PySpark that featuremill is made for."""

_PREFIXES = ("SPARK_", "_SPARK_", "PYSPARK_", "_PYSPARK_", "HADOOP_", "YARN_", "HIVE_")
_OURS = ("SPARK_LOCAL_DIRS", "SPARK_BUFFER_SIZE", "SPARK_AUTH_SOCKET_TIMEOUT")
"""Where a local Spark keeps what memory does not hold, and what PySpark itself sets."""

_RIVALS_OF_MASTER = (
    "MASTER",
    "SPARK_REMOTE",
    "SPARK_LOCAL_REMOTE",
    "SPARK_API_MODE",
    "SPARK_CONNECT_MODE",
)
_OPTIONS_OF_JAVA = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_THIS_MACHINE = "127.0.0.1"


def unused(master: str) -> list[str]:
    """Variables of other Sparks in the environment that have no say in a run on this master.

    A local run takes its own Spark, Python and settings; one on a cluster takes the cluster's.
    """
    if master.startswith("local"):
        of_spark = [name for name in os.environ if name.startswith(_PREFIXES)]
        ours = {name for name, value in _added(master).items() if os.environ.get(name) == value}
        return sorted({*of_spark, *_set_among(_RIVALS_OF_MASTER)} - {*_OURS, *ours})
    return _set_among(_RIVALS_OF_MASTER)


@contextmanager
def own_environment(master: str) -> Iterator[None]:
    """Within the block, other Sparks have no say; afterwards the environment is as it was."""
    removed = {name: os.environ.pop(name) for name in unused(master)}
    added = _added(master)
    removed |= {name: os.environ[name] for name in added if name in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        os.environ.update(removed)


def _added(master: str) -> Mapping[str, str]:
    if not master.startswith("local"):
        return {"PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable)}
    return {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(_own_home()),
        # Spark asks for the machine's own name and its address, and some machines know neither
        "SPARK_LOCAL_IP": _THIS_MACHINE,
        "SPARK_LOCAL_HOSTNAME": _THIS_MACHINE,
    }


def give_home() -> None:
    """Where neither HOME nor the system knows a home of this user, let it be /, as in containers.

    Libraries ask for it when they are imported, to look for settings, and fail without one.
    """
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("HOME", "/")


def _own_home() -> Path:
    """Folder of the Spark that the `pyspark` of this Python belongs to."""
    package = Path(_origin("pyspark")).parent
    # else a Spark that was unpacked, which has its Python in SPARK_HOME/python/pyspark
    return package if (package / "bin" / "spark-submit").is_file() else package.parents[1]


def check_pyspark() -> str:
    """Version of the PySpark that a run will load.

    Raises
    ------
    MissingExtraError
        If there is none.
    ConfigError
        If it or its Py4J comes from another Spark, as a PYTHONPATH brings it.
    """
    require("spark", "Spark")
    origin, version = _origin("pyspark"), _version("pyspark")
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if not _OLDEST <= numbers <= _NEWEST:
        raise ConfigError(
            f"pyspark {version} is loaded from {Path(origin).parent}, featuremill needs"
            f" {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.x",
            _unset_path(origin),
        )
    beside = _origin("py4j")
    if _by_pythonpath(origin) != _by_pythonpath(beside):
        raise ConfigError(
            f"pyspark {version} is loaded from {Path(origin).parent}, but py4j"
            f" {_version('py4j')} from {Path(beside).parent}",
            _unset_path(origin, beside),
        )
    return version


def _origin(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"{package} is not installed", "Install featuremill with its packages.")
    return spec.origin


def _version(package: str) -> str:
    """As its file says it: to import an old PySpark can fail."""
    spec = importlib.util.find_spec(package)
    data = spec.loader.get_data(str(Path(spec.origin).parent / "version.py"))  # type: ignore[union-attr, arg-type]
    found = re.search(rb"""__version__[^"']*["']([\w.+]+)""", data)
    return found[1].decode() if found else "of an unknown version"


def _by_pythonpath(origin: str) -> bool:
    folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return any(Path(origin).is_relative_to(Path(folder).absolute()) for folder in folders)


def _unset_path(*origins: str) -> str:
    if any(map(_by_pythonpath, origins)):
        return "PYTHONPATH brings it in: `unset PYTHONPATH`, or take that Spark out of it."
    return "Install featuremill again, with its packages, in an environment of its own."


def suspects(master: str) -> str:
    """The remedy that names the variables with a say in how Spark starts, where there are any."""
    of_spark = {name for name in os.environ if name.startswith(_PREFIXES)}
    of_spark -= {name for name in of_spark if os.environ[name] == sys.executable}
    ours = {*unused(master), *_added(master), *_OURS[1:]} - {"PYSPARK_PYTHON"}
    found = sorted({*of_spark, *_set_among(_OPTIONS_OF_JAVA)} - ours)
    if not found:
        return ""
    named = ", ".join(f"{name}={os.environ[name]}" for name in found)
    return f"Unset what is not meant for this Spark: {named}."


def java_options() -> str:
    """Options for every Java that the environment holds, as one would write them; may be empty."""
    return ", ".join(f"{name}={os.environ[name]}" for name in _set_among(_OPTIONS_OF_JAVA))


def _set_among(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in os.environ]
