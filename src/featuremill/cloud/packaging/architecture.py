"""The two kinds of machine there are on AWS, and what is installed for each.

A machine's packages are pinned by hash in ``locks/``, which `make lock` resolves. What the
cluster brings itself (Spark and its Python side) is in neither. arm64 has no OpenVINO: its newer
wheels want a glibc that Amazon Linux 2023 does not have. There ONNX Runtime computes.
"""

from dataclasses import dataclass
from importlib import resources

from featuremill.errors import ConfigError

PYTHON = "3.11"
"""Version of the clusters' interpreter that packages are chosen for."""
GLIBC = (2, 34)
"""Version of the C library of Amazon Linux 2023."""

_OLDEST_TAG = 17
"""Minor version of glibc of the oldest wheels taken by a numbered tag."""


@dataclass(frozen=True)
class Architecture:
    """A kind of processor, by the names it has in different places.

    Parameters
    ----------
    name : str
        As AWS calls it: ``x86_64`` or ``arm64``.
    machine : str
        As Linux and wheels call it: ``x86_64`` or ``aarch64``.
    lock : str
        Packages with versions and hashes, as pip reads them.
    """

    name: str
    machine: str
    lock: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """Tags of the wheels that run on Amazon Linux 2023, newest first."""
        numbered = (f"manylinux_2_{minor}" for minor in range(GLIBC[1], _OLDEST_TAG - 1, -1))
        named = ("manylinux2014", *(("manylinux2010", "manylinux1") * (self.name == "x86_64")))
        return tuple(f"{tag}_{self.machine}" for tag in (*numbered, *named))


_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
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
    machine = _MACHINES[name]
    lock = resources.files("featuremill.cloud.packaging") / "locks" / f"{machine}.lock"
    return Architecture(name, machine, lock.read_text(encoding="utf-8"))
