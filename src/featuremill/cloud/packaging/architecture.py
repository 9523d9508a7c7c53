"""The two kinds of machine there are on AWS, and what is installed for each.

A machine's packages are pinned by hash in ``locks/``, which `make lock` resolves. What the
cluster brings itself (Spark and its Python side) is in neither. arm64 has no OpenVINO: its newer
wheels want a glibc that Amazon Linux 2023 does not have. There ONNX Runtime computes.
"""

import re
from dataclasses import dataclass
from importlib import resources

from featuremill.errors import ConfigError

PYTHON = "3.11"
"""Version of the clusters' interpreter that packages are chosen for."""
GLIBC = (2, 34)
"""Version of the C library of Amazon Linux 2023."""

_OLDEST_TAG = 17
"""Minor version of glibc of the oldest wheels taken by a numbered tag."""
_NAME = re.compile(r"featuremill-.+-(x86_64|arm64)-[0-9a-f]{12}\.tar\.gz")


@dataclass(frozen=True)
class Architecture:
    """A kind of processor, by the names it has in different places.

    Parameters
    ----------
    name : str
        As AWS calls it: ``x86_64`` or ``arm64``.
    machine : str
        As Linux and wheels call it: ``x86_64`` or ``aarch64``.
    elf : str
        As binaries name it in their header.
    lock : str
        Packages with versions and hashes, as pip reads them.
    """

    name: str
    machine: str
    elf: str
    lock: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """Tags of the wheels that run on Amazon Linux 2023, newest first."""
        numbered = (f"manylinux_2_{minor}" for minor in range(GLIBC[1], _OLDEST_TAG - 1, -1))
        named = ("manylinux2014", *(("manylinux2010", "manylinux1") * (self.name == "x86_64")))
        return tuple(f"{tag}_{self.machine}" for tag in (*numbered, *named))


_MACHINES = {"x86_64": ("x86_64", "EM_X86_64"), "arm64": ("aarch64", "EM_AARCH64")}
NAMES = tuple(_MACHINES)
"""Names of the architectures, the usual one first."""


def get(name: str) -> Architecture:
    """Look an architecture up.

    Raises
    ------
    ConfigError
        If AWS has none of that name.
    """
    if name not in _MACHINES:
        raise ConfigError(
            f"architecture is {name!r}, must be {' or '.join(NAMES)}",
            "arm64 is Graviton; x86_64 is everything else.",
        )
    machine, elf = _MACHINES[name]
    lock = resources.files("featuremill.cloud.packaging") / "locks" / f"{machine}.lock"
    return Architecture(name, machine, elf, lock.read_text(encoding="utf-8"))


def architecture_of(archive: str) -> str:
    """The architecture an archive was built for, by its file name.

    Parameters
    ----------
    archive : str
        Name, path or s3:// address of a file that `featuremill cloud package` built.

    Raises
    ------
    ConfigError
        If it is not the name of such a file.
    """
    match = _NAME.fullmatch(archive.rsplit("/", 1)[-1])
    if match is None:
        raise ConfigError(
            f"{archive} is not named as an archive is:"
            " featuremill-VERSION-MODEL-ARCHITECTURE-DIGEST.tar.gz",
            "Build one: `featuremill cloud package`.",
        )
    return match[1]


def check_architecture(archive: str, wanted: str) -> None:
    """Refuse an archive whose binaries cannot run where it is to be used.

    Parameters
    ----------
    archive : str
        As for :func:`architecture_of`.
    wanted : str
        Architecture of the application or the instances.

    Raises
    ------
    ConfigError
        If it was built for the other architecture, or is no archive.
    """
    built_for = architecture_of(archive)
    if built_for != wanted:
        raise ConfigError(
            f"{archive} was built for {built_for}, the machines are {wanted}",
            f"Build the other one: `featuremill cloud package --architecture {wanted}`.",
        )
