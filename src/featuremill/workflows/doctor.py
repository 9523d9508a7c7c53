"""Checks everything that a run needs around it, and says how to mend what is missing."""

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from featuremill._utils import hardware
from featuremill._utils.extras import is_installed, require
from featuremill._utils.formatting import plural
from featuremill.errors import FeaturemillError, JavaError, MissingExtraError
from featuremill.models import registry
from featuremill.models.download import cache_dir
from featuremill.models.engines import ENGINES, native_bf16
from featuremill.storage import Store, open_store
from featuremill.storage.destination import require_apart, require_folder, require_readable
from featuremill.workers.environment import check_pyspark, unused
from featuremill.workers.java import check_java
from featuremill.workers.memory import PROCESSES


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    level : {'ok', 'warn', 'fail'}
        Whether it stands in the way.
    what : str
        What was looked at.
    said : str
        What was found.
    remedy : str
        What to do about it.
    """

    level: Literal["ok", "warn", "fail"]
    what: str
    said: str
    remedy: str = ""


DISK_NEEDED = 1_000_000_000
"""Bytes free that make a warning go away; how much a run writes, `featuremill estimate` tells."""

_THREADS, _THREADS_EACH_CORE = 30, 12
"""A run was seen to have 30 threads with one worker, 40 with two, 61 with four; with Spark's Java
123, 141 and 173."""

_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
_INSTALL = "Install featuremill again, with its dependencies."


def diagnose(
    source: str | None = None,
    destination: str | None = None,
    *,
    model: str = "mobilenetv2",
    endpoint_url: str | None = None,
    region: str | None = None,
) -> Iterator[Finding]:
    """Check this machine, and source and destination if they are named.

    Nothing is written but an empty file in the temporary folder. Only a source or destination in
    S3 is reached over the network.

    Parameters
    ----------
    source, destination : str, optional
        As given to ``featuremill run``.
    model : str
        The network whose weights should be there.
    endpoint_url, region : str, optional
        Endpoint and region of S3.

    Yields
    ------
    Finding
    """
    in_s3 = any(url and "://" in url for url in (source, destination))
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("java", _java),
        ("spark", _spark),
        ("cores", _cores),
        ("memory", _memory),
        ("threads", _threads),
        ("cpu", _cpu),
        ("engines", _engines),
        ("temporary folder", _temporary_folder),
        ("weights", partial(_weights, model)),
        ("credentials", partial(_credentials, needed=in_s3)),
    ]
    open_one = partial(open_store, endpoint_url=endpoint_url, region=region)
    if source is not None:
        checks.append(("source", lambda: _source(open_one(source))))
    if destination is not None:
        if source is not None:
            checks.append(("pair", lambda: _apart(open_one(source), open_one(destination))))
        checks.append(("destination", lambda: _destination(open_one(destination))))
    for what, look in checks:
        try:
            yield look()
        except FeaturemillError as error:
            yield Finding("fail", what, error.problem, error.remedy)


def _python() -> Finding:
    return Finding("ok", "python", f"{platform.python_version()}, {sys.executable}")


def _java() -> Finding:
    try:
        return Finding("ok", "java", f"{check_java()}, needed only for --master")
    except JavaError as error:
        return Finding("warn", "java", f"{error.problem}; only --master needs it", error.remedy)


def _spark() -> Finding:
    try:
        version = check_pyspark()
    except MissingExtraError as error:
        return Finding("ok", "spark", "not installed; only --master needs it", error.remedy)
    others = unused("local")
    said = f"; of another Spark, not used in local runs: {', '.join(others)}" if others else ""
    return Finding("ok", "spark", f"{version}{said}")


def _cores() -> Finding:
    usable, there = hardware.usable_cores(), os.cpu_count() or 1
    said = f"{usable} usable" if usable == there else f"{usable} usable of {there}"
    return Finding("ok", "cores", said)


def _memory() -> Finding:
    usable, cores = hardware.usable_memory(), hardware.usable_cores()
    needed = PROCESSES.of(cores)
    wanting = f"{plural(cores, 'task')} at once {'wants' if cores == 1 else 'want'}"
    said = f"{usable / 1e9:.1f} GB usable, {wanting} {needed / 1e9:.1f} GB"
    if usable >= needed:
        return Finding("ok", "memory", said)
    fitting = PROCESSES.tasks()
    PROCESSES.check(fitting)
    return Finding(
        "warn",
        "memory",
        f"{said}; {plural(fitting, 'task')} at once {'fits' if fitting == 1 else 'fit'}",
        "For more at once, give the machine or container more memory.",
    )


def _threads() -> Finding:
    most = hardware.usable_threads()
    if most is None:
        return Finding("ok", "threads", "no limit")
    needed = _THREADS + _THREADS_EACH_CORE * hardware.usable_cores()
    said = f"at most {most:,}, a run here wants {needed:,}"
    if most >= needed:
        return Finding("ok", "threads", said)
    remedy = "Raise `ulimit -u`, or the container's limit (docker run --pids-limit)."
    return Finding("fail" if most < _THREADS else "warn", "threads", said, remedy)


def _cpu() -> Finding:
    flags = hardware.cpu_flags()
    found = [name for name in _CPU_FEATURES if name in flags]
    said = f"{hardware.cpu_name()} ({', '.join(found) or 'no features known of'})"
    return Finding("ok", "cpu", said)


def _engines() -> Finding:
    found, broken = [], []
    for name in ENGINES:
        # what a platform has no build of is not there, which is no defect
        if not is_installed(name):
            continue
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            broken.append(f"{name} does not load: {error}")
        else:
            found.append(name)
    if not found:
        said = "; ".join(broken) or "neither OpenVINO nor ONNX Runtime is there"
        return Finding("fail", "engines", said, _INSTALL)
    fast = native_bf16() and "openvino" in found
    precision = "mixed, bf16 and fp32" if fast else "fp32: no bf16 in hardware"
    said = "; ".join([f"{', '.join(found)}; precision {precision}", *broken])
    return Finding("warn" if broken else "ok", "engines", said, _INSTALL if broken else "")


def _temporary_folder() -> Finding:
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "fail",
            "temporary folder",
            f"{folder} cannot be written: {error.strerror}",
            "Name another one in TMPDIR.",
        )
    return _room("temporary folder", folder, "Make room there, or name another one in TMPDIR.")


def _room(what: str, folder: Path, remedy: str) -> Finding:
    """Whether a disk has room; ``folder`` need not be there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    said = f"{folder}, {free / 1e9:,.1f} GB free"
    if free >= DISK_NEEDED:
        return Finding("ok", what, said)
    return Finding("fail" if free == 0 else "warn", what, said, remedy)


def _weights(model: str) -> Finding:
    weights = registry.get(model).weights
    if not isinstance(weights, registry.Published):
        return Finding("ok", "weights", f"of {model}: {weights.origin}")
    path = cache_dir() / weights.file
    if path.exists():
        size = path.stat().st_size
        if size == weights.size:
            return Finding("ok", "weights", f"of {model}: {path}")
        return Finding(
            "warn",
            "weights",
            f"of {model}: {path} has {size:,} bytes, the weights have {weights.size:,}",
            f"Fetch them anew: featuremill models fetch {model}",
        )
    return Finding(
        "warn",
        "weights",
        f"of {model}: not in {cache_dir()}; the first run fetches {weights.size / 1e6:.1f} MB",
        f"Without a network: --weights FILE or --model embedded. Else: featuremill models fetch"
        f" {model}",
    )


def _credentials(*, needed: bool) -> Finding:
    if needed:
        require("aws", "s3://")
    if not is_installed("botocore"):
        said = "of AWS: the extra 'aws' is not installed, and only s3:// and cloud need it"
        return Finding("ok", "credentials", said)
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        found = Session().get_credentials()
    except BotoCoreError as error:
        return Finding(
            "fail" if needed else "warn",
            "credentials",
            f"of AWS: {error}",
            "Check AWS_PROFILE and the files in ~/.aws, or `aws sso login`.",
        )
    if found is not None:
        return Finding("ok", "credentials", f"of AWS: there, by {found.method}")
    if not needed:
        return Finding("ok", "credentials", "of AWS: none, and only s3:// needs them")
    return Finding(
        "fail",
        "credentials",
        "of AWS: none",
        "Sign in (`aws sso login`), or set AWS_PROFILE.",
    )


def _source(store: Store) -> Finding:
    entry = next(store.list(), None)
    if entry is None:
        return Finding("fail", "source", f"{store.url} is empty", "Name a folder of images.")
    return Finding("ok", "source", f"{store.url} can be listed")


def _apart(source: Store, destination: Store) -> Finding:
    require_apart(source, destination)
    return Finding("ok", "pair", "the destination lies outside the source")


def _destination(store: Store) -> Finding:
    require_readable(store)
    require_folder(store)
    there = next(store.names("features"), None)
    holds = "holds features already" if there else "holds no features yet"
    if "://" in store.url:
        return Finding("ok", "destination", f"{store.url} can be listed and {holds}")
    folder = Path(store.url)
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        return Finding(
            "fail", "destination", f"{parent} cannot be written", "Choose another destination."
        )
    room = _room("destination", folder, "Make room there, or choose another disk.")
    return Finding(room.level, room.what, f"{room.said}, {holds}", room.remedy)
