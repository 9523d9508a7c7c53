"""A worker process of this machine: does one task after the other until its driver is gone.

``python -m featuremill.workers.process CONNECTION MODULE …``: the number of the open socket to the
driver, whose half is in ``local``, and modules that the tasks will need.
"""

import ctypes
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

from featuremill._utils.hardware import die_first
from featuremill.errors import FeaturemillError, RunError
from featuremill.workers.failures import remedy
from featuremill.workers.protocol import WORKERS_DIE_FIRST, Attempt

READY = b"ready"

_PR_SET_PDEATHSIG = 1


def serve(driver: "Connection[bytes, bytes]", modules: list[str]) -> None:
    """Do the driver's tasks; this is the process' whole life."""
    _end_with_the_driver()
    die_first(WORKERS_DIE_FIRST)
    tasks: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(driver, tasks), daemon=True).start()
    for module in modules:
        # a task that needs what cannot be loaded will say so
        with suppress(Exception):
            importlib.import_module(module)
    driver.send_bytes(READY)
    while True:
        driver.send_bytes(pickle.dumps(_outcome(tasks.get())))


def _end_with_the_driver() -> None:
    """Let Linux end this process at once when the driver's thread that started it has ended.

    Elsewhere, and until this takes effect, it ends as soon as the socket does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _receive(driver: "Connection[bytes, bytes]", tasks: "SimpleQueue[bytes]") -> None:
    """Take in the next task while one is done, so that the end of the socket is met at once."""
    try:
        while True:
            tasks.put(driver.recv_bytes())
    except (EOFError, OSError):
        # nothing of what is under way may be written any more
        os._exit(0)


def _outcome(message: bytes) -> bytes | FeaturemillError:
    """The answer to a task, or why there is none."""
    try:
        function, payload, attempt = pickle.loads(message)
        answer: bytes = pickle.loads(function)(payload, Attempt(*attempt))
        return answer
    except FeaturemillError as error:
        return error if _travels(error) else RunError(error.problem, error.remedy)
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        failure = RunError(f"a task failed: {type(error).__name__}: {error}", remedy(told))
        failure.add_note(told)
        return failure


def _travels(error: FeaturemillError) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), sys.argv[2:])
