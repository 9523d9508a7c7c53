"""One worker process of this machine, as its driver has it in hand."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from featuremill.workers.process import READY
from featuremill.workers.protocol import ONE_THREAD


class LocalProcess:
    """A process, and the socket to it, for the thread that starts it.

    Linux ends the process with that thread, so the thread has to live as long as its process.

    Parameters
    ----------
    modules : sequence of str
        What it imports before its first task.
    shared : int
        Number of the open file that it inherits.
    said : int
        Number of the open file to which it and its libraries print.

    Raises
    ------
    OSError
        If no process can be started.
    """

    def __init__(self, modules: Sequence[str], shared: int, said: int) -> None:
        here, there = Pipe()
        # a fresh interpreter, which needs no guard in the caller's script and inherits no locks
        program = [sys.executable, "-P", "-m", "featuremill.workers.process"]
        with there:
            self._process = subprocess.Popen(
                [*program, str(there.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(there.fileno(), shared),
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": _path()},
                # Ctrl-C at a terminal is for the driver alone
                process_group=0,
            )
        self._socket: Connection[bytes, bytes] = here

    @property
    def lives(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def is_ready(self) -> bool:
        """Wait until it has loaded what it needs; False if it has ended instead."""
        return self._received() == READY

    def ask(self, message: bytes) -> bytes | None:
        """Have a task done and give the outcome; None if the process has ended instead."""
        try:
            self._socket.send_bytes(message)
        except OSError:
            return None
        return self._received()

    def kill(self) -> None:
        """End it, from any thread."""
        self._process.kill()

    def bury(self) -> None:
        """End it and wait for that, so that no zombie stays."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _received(self) -> bytes | None:
        with suppress(EOFError, OSError):
            return self._socket.recv_bytes()
        return None


def _path() -> str:
    """The folders that this process imports from, for another one."""
    return os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
