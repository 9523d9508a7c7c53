"""How long to go on asking a store that is busy."""

import itertools
import random
import time
from collections.abc import Iterator

_PATIENCE_SECONDS = 120.0
"""S3 asks for patience (503 Slow Down) while it grows with a new load, which takes minutes."""
_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 10.0


def pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt, until two minutes from now are over.

    They double, and each is drawn at random from zero up, so that workers that failed together
    do not come back together. There is always a first one: an attempt that took minutes until it
    timed out may have met one bad connection.
    """
    return _pauses(time.monotonic())


def _pauses(started: float) -> Iterator[float]:
    for attempt in itertools.count():
        pause = random.uniform(0.0, min(_LONGEST_SECONDS, _FIRST_SECONDS * 2**attempt))
        if attempt > 0 and time.monotonic() - started + pause > _PATIENCE_SECONDS:
            return
        yield pause
