"""A run's decoders may take only so long beyond the ordinary, and say which images are flat."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import poison
from bad_images import encoded, picture
from featuremill.errors import WorkerError
from featuremill.images.decode import Decoded
from featuremill.images.preprocessing import Preprocessing
from featuremill.images.sandbox import Decoder
from featuremill.storage.listing import Reference, Rejection
from featuremill.workflows.run.decoder_time import Decoding, most_excess
from featuremill.workflows.run.dispatch import EmbeddingWork
from featuremill.workflows.run.task import Raw, decode
from outputs import features, offline

pytestmark = pytest.mark.slow


class Slow(Decoder):
    """Takes the seconds that it is told to, on a clock of its own."""

    def __init__(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seconds, self._now = seconds, 0.0
        clock = SimpleNamespace(perf_counter=lambda: self._now)
        monkeypatch.setattr("featuremill.workflows.run.task.time", clock)

    def decode(self, data: bytes) -> Decoded:
        self._now += self._seconds
        return Decoded(np.asarray(picture()), 48, 64)


def raw(size: int) -> list[Raw]:
    return [Raw(Reference(f"{number}.jpg", "a", "1", size), bytes(size)) for number in range(20)]


def test_images_that_take_no_longer_than_they_weigh_take_nothing_of_it(monkeypatch):
    decoding = Decoding()
    list(
        decode(raw(2_000_000), Slow(4.5, monkeypatch), Preprocessing((8, 8)), decoding, patience=0)
    )
    assert decoding.excess == 0
    decoding.check(timeout=60, images=20)


def test_where_it_is_used_up_further_images_of_a_task_are_rejected(monkeypatch):
    decoding = Decoding()
    made = list(
        decode(raw(10), Slow(11, monkeypatch), Preprocessing((8, 8)), decoding, patience=95)
    )
    rejected = [item for item in made if isinstance(item, Rejection)]
    assert len(rejected) == 10
    # what another run may decode is no fault of the image
    assert {item.stage for item in rejected} == {"limit"}
    assert "all the decoder's time" in rejected[0].reason


def test_a_run_stops_where_all_tasks_together_took_more():
    whole = Decoding()
    for number in range(5):
        task = Decoding()
        task.note_seconds(f"{number}.jpg", 50.0 + number, 1_000)
        whole.add(task)
    whole.check(timeout=60, images=10)
    with pytest.raises(WorkerError) as stopped:
        whole.check(timeout=20, images=10)
    assert "255 s longer" in str(stopped.value)
    assert "201 s are allowed" in str(stopped.value)
    assert "the slowest is 4.jpg (54.0 s)" in str(stopped.value)
    assert "--image-timeout" in stopped.value.remedy
    assert most_excess(60) == 600


@pytest.mark.long
def test_hanging_images_end_a_run_and_the_next_goes_on(workers, tmp_path, monkeypatch):
    """Each stays below what one image may take; together they would take the night."""
    source, dest = tmp_path / "pictures", tmp_path / "results"
    source.mkdir()
    for number in range(12):
        data = encoded("JPEG", picture().rotate(20 * number))
        (source / f"{number:02}.jpg").write_bytes(data + poison.POISON * (number > 1))
    workers.lend(poison.__file__)
    monkeypatch.setattr(
        "featuremill.workflows.run.extraction.EmbeddingWork",
        partial(EmbeddingWork, decoder="poison:hang"),
    )
    monkeypatch.setattr("featuremill.workflows.run.decoder_time._TIMEOUTS", 0)
    config = offline(source, dest, reduce=False, image_timeout=1.5, max_rejects="100%")
    with pytest.raises(WorkerError, match="longer to decode"):
        workers.run(config)
    assert 0 < len(features(dest)) < 12
    monkeypatch.setattr("featuremill.workflows.run.decoder_time._TIMEOUTS", 1_000)
    workers.run(config)
    assert len(features(dest)) == 12


def test_a_run_warns_of_images_without_contrast(workers, tmp_path):
    source, dest = tmp_path / "pictures", tmp_path / "results"
    source.mkdir()
    for number in range(6):
        (source / f"{number}.png").write_bytes(encoded("PNG", picture().rotate(20 * number)))
    (source / "black.png").write_bytes(encoded("PNG", Image.new("RGB", (64, 48))))
    dark = np.asarray(picture("L")).astype(np.uint16)
    (source / "dark.png").write_bytes(encoded("PNG", Image.fromarray(dark * 8)))

    record = workers.run(offline(source, dest, reduce=False)).record
    [warning] = [text for text in record.warnings if "sixteenth" in text]
    assert warning.startswith("2 of 8 images use under a sixteenth of the range")
    # so that none need be erased from the records of runs
    assert "black.png" not in warning
    assert Path(dest, "features").is_dir()
