"""A small disk that can be full, or read-only, from one moment to the next."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SIZE = 512 * 2**20
_ATTEMPTS = 200
_PAUSE_SECONDS = 0.005


@dataclass(frozen=True)
class Disk:
    """A file system in memory, mounted on a folder."""

    folder: Path

    def fill(self) -> bool:
        """Leave 40 kB free: less than the features of ten images."""
        status = os.statvfs(self.folder)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        return self._remount(f"size={used + 40_000}")

    def forbid(self) -> bool:
        """Make it read-only, which the system does only while no file is being written."""
        for _ in range(_ATTEMPTS):
            if self._remount("ro"):
                return True
            time.sleep(_PAUSE_SECONDS)
        return False

    def repair(self) -> None:
        """Make it large and writable again."""
        if not self._remount(f"rw,size={_SIZE}"):
            raise OSError(f"{self.folder} could not be made writable again")

    def _remount(self, options: str) -> bool:
        command = ["mount", "-o", f"remount,{options}", str(self.folder)]
        return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk | None]:
    """Mount one on a folder for as long as the block lasts; None where this process may not."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    may = sys.platform == "linux" and os.geteuid() == 0
    if not may or subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        # lazily: a process that was killed may still be about to let go of a file
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
