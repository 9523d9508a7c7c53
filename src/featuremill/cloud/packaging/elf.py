"""What a Linux binary asks of the machine it is to run on."""

import re
from dataclasses import dataclass
from typing import BinaryIO

_MAGIC = b"\x7fELF"
_RELATIVE_RELOCATIONS = (2, 36)
"""The glibc that the symbol ``GLIBC_ABI_DT_RELR`` stands for, which names no version."""


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
    """Read the headers of a binary; None where the file is no binary.

    Parameters
    ----------
    file : file object
        Open for reading bytes, at its start.

    Raises
    ------
    ValueError
        If the file begins as a binary and is damaged.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        return None
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    versions: list[tuple[int, int]] = [(0, 0)]
    needed: list[str] = []
    try:
        elf = ELFFile(file)
        for section in elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                symbols = (symbol for _, all_of in section.iter_versions() for symbol in all_of)
                versions.extend(_glibc(symbol.name) for symbol in symbols)
            elif isinstance(section, DynamicSection):
                needed.extend(vars(tag)["needed"] for tag in section.iter_tags("DT_NEEDED"))
    except ELFError as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return Binary(str(elf["e_machine"]), max(versions), tuple(needed))


def _glibc(symbol: str) -> tuple[int, int]:
    """The version that a symbol such as ``GLIBC_2.34`` asks for; (0, 0) if it is not glibc's."""
    if symbol == "GLIBC_ABI_DT_RELR":
        return _RELATIVE_RELOCATIONS
    match = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", symbol)
    return (int(match[1]), int(match[2])) if match else (0, 0)
