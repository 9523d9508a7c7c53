"""Checks that all packages locked for the cluster run there; `make lock` ends with it.

python scripts/check_locks.py

The locks pin every wheel by its hash, so what holds here holds for every archive that is built of
them. It fetches some hundred megabytes for each architecture.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from featuremill.cloud.packaging.architecture import GLIBC, NAMES, Architecture, get
from featuremill.cloud.packaging.dependencies import files_needed, install
from featuremill.errors import CloudError

BROUGHT_BY_THE_CLUSTER = frozenset({"pyspark", "py4j"})
"""Packages that would fight with the cluster's own."""

BROUGHT_BY_THE_SYSTEM = frozenset(
    {
        *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libz.so.1"),
        *("libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"),
    }
)
"""Libraries that Amazon Linux 2023 has wherever Python runs."""
_PROCESSORS = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
"""Machine as wheels call it → as a binary's header calls it."""
_RELATIVE_RELOCATIONS = (2, 36)
"""The glibc that the symbol ``GLIBC_ABI_DT_RELR`` stands for, which names no version."""
_SHOWN = 3
"""Files that an error names at most."""
_REMEDY = "Bound that package in pyproject.toml so that an older version of it is locked."


@dataclass(frozen=True)
class Binary:
    """A program or a shared library.

    Parameters
    ----------
    machine : str
        The processor, as ELF names it: ``EM_X86_64``, ``EM_AARCH64``.
    glibc : tuple of (int, int)
        The oldest C library it runs with; (0, 0) where it needs none.
    needed : tuple of str
        File names of the shared libraries it needs.
    """

    machine: str
    glibc: tuple[int, int]
    needed: tuple[str, ...]


def examine(file: BinaryIO) -> Binary | None:
    """Read the headers of a binary that is open at its start; None where the file is no binary.

    Raises
    ------
    ELFError
        If the file begins as a binary and is damaged.
    """
    if file.read(4) != b"\x7fELF":
        return None
    versions: list[tuple[int, int]] = [(0, 0)]
    needed: list[str] = []
    elf = ELFFile(file)
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            symbols = (symbol for _, all_of in section.iter_versions() for symbol in all_of)
            versions.extend(_glibc(symbol.name) for symbol in symbols)
        elif isinstance(section, DynamicSection):
            needed.extend(vars(tag)["needed"] for tag in section.iter_tags("DT_NEEDED"))
    return Binary(str(elf["e_machine"]), max(versions), tuple(needed))


def _glibc(symbol: str) -> tuple[int, int]:
    """The version that a symbol such as ``GLIBC_2.34`` asks for; (0, 0) if it is not glibc's."""
    if symbol == "GLIBC_ABI_DT_RELR":
        return _RELATIVE_RELOCATIONS
    match = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", symbol)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@dataclass(frozen=True)
class Checked:
    """What was found about the binaries among some files."""

    binaries: int
    glibc: tuple[int, int]
    """The oldest C library that all of them run with."""


def check(files: list[tuple[str, Path]], architecture: Architecture) -> Checked:
    """Look at every binary and at the names of the packages.

    Parameters
    ----------
    files : list of (str, Path)
        As :func:`featuremill.cloud.packaging.dependencies.files_needed` gives them.
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
    here = {name.rpartition("/")[2] for name, _ in files} | BROUGHT_BY_THE_SYSTEM
    processor = _PROCESSORS[architecture.machine]
    strange = [f"{name} ({each.machine})" for name, each in binaries if each.machine != processor]
    recent = [f"{name} ({_dotted(each.glibc)})" for name, each in binaries if each.glibc > GLIBC]
    lacking = [
        f"{name} ({library})"
        for name, each in binaries
        for library in each.needed
        if library not in here
    ]
    _refuse(strange, f"are not for {architecture.machine}")
    _refuse(recent, f"want a newer glibc than Amazon Linux 2023 has, {_dotted(GLIBC)}")
    _refuse(lacking, "want a library that would not be there")
    return Checked(len(binaries), max((each.glibc for _, each in binaries), default=(0, 0)))


def _binaries(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Binary]]:
    for name, file in files:
        with open(file, "rb") as content:
            try:
                binary = examine(content)
            except ELFError as error:
                raise CloudError(f"{name} is a damaged binary: {error!r}", _REMEDY) from error
        if binary is not None:
            yield name, binary


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _refuse(files: list[str], what: str) -> None:
    if files:
        shown = ", ".join(files[:_SHOWN]) + (" …" if len(files) > _SHOWN else "")
        raise CloudError(f"{len(files)} binaries {what}: {shown}", _REMEDY)


def _check_packages(tops: Iterable[str]) -> None:
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
            "Leave them out with --no-emit-package in the Makefile.",
        )


def main() -> None:
    """Fetch and check what is locked for each architecture."""
    for name in NAMES:
        architecture = get(name)
        with tempfile.TemporaryDirectory() as folder:
            installed = Path(folder, "deps")
            install(architecture, installed)
            checked = check(list(files_needed(installed)), architecture)
        sys.stdout.write(
            f"{name}: {checked.binaries} binaries; the newest glibc they need is"
            f" {_dotted(checked.glibc)}, Amazon Linux 2023 has {_dotted(GLIBC)}\n"
        )


if __name__ == "__main__":
    try:
        main()
    except CloudError as error:
        sys.exit(f"error: {error.problem}\n  {error.remedy}")
