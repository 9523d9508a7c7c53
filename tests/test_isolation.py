"""A decoder that crashes or hangs costs one image, not the run.

The functions above the tests are decoders that a test names by ``module:function``; they stand in
for a codec with a bug.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.testing import assert_array_equal

from bad_images import encoded, picture
from featuremill.errors import ConfigError, ImageRejected, WorkerError
from featuremill.images import decode
from featuremill.images.decode import Decoded, Limits
from featuremill.images.sandbox import InChild, InProcess

LIMITS = Limits(max_pixels=10_000)
SHORT = 0.5  # seconds, for hangs that would last a minute


def poisoned(data: bytes, limits: Limits, target: tuple[int, int] | None) -> Decoded:
    """Decode, unless the bytes name a way to fail."""
    failures: dict[bytes, Callable[[], object]] = {
        b"segfault": lambda: ctypes.string_at(0),
        b"killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        b"exit": lambda: os._exit(3),
        b"raise": lambda: 1 // 0,
        b"hang": lambda: ctypes.PyDLL(None).sleep(60),  # keeps the GIL
        b"spin": lambda: [None for _ in iter(int, 1)],
        b"print": lambda: print("noise", flush=True),  # noqa: T201
    }
    failures.get(data, lambda: None)()
    if data == b"print":
        return Decoded(np.zeros((1, 2, 3), np.uint8), 1, 2)
    return decode.decode(data, limits, target)


POISONED = f"{__name__}:poisoned"


@pytest.fixture
def child():
    with InChild(LIMITS, decoder=POISONED) as decoder:
        yield decoder


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


# In either place


@pytest.mark.parametrize("kind", [InProcess, InChild])
def test_pixels_and_rejections_are_those_of_the_decoder(kind):
    jpeg = encoded("JPEG")
    with kind(LIMITS) as decoder:
        assert_array_equal(decoder.decode(jpeg).pixels, decode.decode(jpeg, LIMITS).pixels)
        large = encoded("PNG", picture(size=(120, 100)))
        for bad, stage, reason in [
            (b"", "decode", "the file is empty"),
            (b"hello", "decode", 'not an image: starts with "hello"'),
            (large, "limit", "120 x 100 = 12,000 pixels, limit 10,000"),
        ]:
            with pytest.raises(ImageRejected) as rejected:
                decoder.decode(bad)
            assert (rejected.value.stage, rejected.value.reason) == (stage, reason)
        assert decoder.decode(jpeg).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("kind", [InProcess, InChild])
def test_a_timeout_must_be_above_zero(kind):
    with pytest.raises(ConfigError, match="timeout of an image is 0 s, it must be above 0"):
        kind(LIMITS, timeout=0)


# In this process


@pytest.mark.parametrize("failure", ["hang", "spin"])
def test_a_hang_ends_the_process_even_while_it_keeps_the_gil(failure):
    code = (
        "from featuremill.images.sandbox import InProcess, Limits\n"
        f"with InProcess(Limits(), {SHORT}, {POISONED!r}) as decoder: decoder.decode(b'{failure}')"
    )
    began = time.monotonic()
    died = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert died.returncode == -signal.SIGALRM
    assert time.monotonic() - began < 20  # of which most is the start of an interpreter
    assert "in poisoned" in died.stderr


def test_each_image_has_the_whole_time_and_the_time_between_images_does_not_count():
    between = signal.getitimer(signal.ITIMER_REAL)[0]
    with InProcess(LIMITS, timeout=50, decoder=f"{__name__}:time_left") as decoder:
        for _ in range(3):
            assert decoder.decode(b"").pixels.item() == pytest.approx(50, abs=5)
            assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(between, abs=5)


def test_a_timer_set_before_goes_on_afterwards():
    before = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with InProcess(LIMITS) as decoder:
            decoder.decode(encoded("JPEG"))
        assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(100, abs=5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


# In a child


@pytest.mark.parametrize(
    ("failure", "stage", "fate"),
    [
        (b"segfault", "decode", "SIGSEGV"),
        # as by the kernel for want of memory: that stage is tried again by the next run
        (b"killed", "limit", "SIGKILL"),
        (b"exit", "decode", "exit code 3"),
        (b"raise", "decode", "exit code 1"),
    ],
)
def test_an_image_that_ends_the_child_is_rejected_and_the_next_one_decoded(
    child, failure, stage, fate
):
    jpeg = encoded("JPEG")
    child.decode(jpeg)
    with pytest.raises(ImageRejected) as rejected:
        child.decode(failure)
    expected = (stage, f"the decoder died ({fate}) on this image")
    assert (rejected.value.stage, rejected.value.reason) == expected
    assert_array_equal(child.decode(jpeg).pixels, decode.decode(jpeg, LIMITS).pixels)


def test_an_image_that_hangs_the_child_is_rejected_and_the_next_one_decoded():
    with InChild(LIMITS, SHORT, POISONED) as decoder:
        with pytest.raises(ImageRejected) as rejected:
            decoder.decode(b"hang")
        assert rejected.value.reason == "the decoder gave no answer within 0.5 s"
        assert decoder.decode(encoded("JPEG")).pixels.shape == (48, 64, 3)


def test_what_a_library_prints_does_not_mix_with_the_pixels(child):
    assert child.decode(b"print").pixels.shape == (1, 2, 3)
    assert child.decode(encoded("JPEG")).pixels.shape == (48, 64, 3)


def test_one_child_serves_many_images_and_none_is_left_behind():
    before = children()
    with InChild(LIMITS, decoder=POISONED) as decoder:
        assert children() == before
        decoder.decode(encoded("JPEG"))
        mine = children()
        decoder.decode(encoded("PNG"))
        assert children() == mine
        with pytest.raises(ImageRejected):
            decoder.decode(b"segfault")
        assert children() == before
        decoder.decode(encoded("JPEG"))
    assert children() == before
    decoder.close()


def test_an_interrupted_answer_is_not_taken_for_the_next(child, monkeypatch):
    child.decode(encoded("JPEG"))
    monkeypatch.setattr("featuremill.images.sandbox.json.loads", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.decode(encoded("PNG"))
    monkeypatch.undo()
    assert child.decode(encoded("JPEG")).pixels.shape == (48, 64, 3)


def test_a_child_that_cannot_start_is_no_fault_of_the_image():
    with (
        InChild(LIMITS, decoder="no_such_module:decode") as decoder,
        pytest.raises(WorkerError, match="did not start: exit code 1"),
    ):
        decoder.decode(encoded("JPEG"))


def interrupted(_: bytes) -> None:
    raise KeyboardInterrupt


def time_left(*_: object) -> Decoded:
    return Decoded(np.array(signal.getitimer(signal.ITIMER_REAL)[0]), 1, 1)
