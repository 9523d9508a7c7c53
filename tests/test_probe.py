"""A precision that a worker refuses costs speed, not the run."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from bad_images import encoded, picture
from featuremill.errors import PrecisionError
from featuremill.images.decode import Limits
from featuremill.images.preprocessing import Preprocessing
from featuremill.models import engines, mixed, registry
from featuremill.models.engines import native_bf16
from featuremill.storage import open_store
from featuremill.storage.listing import Reference
from featuremill.workflows.run import probe
from featuremill.workflows.run.dispatch import EmbeddingWork
from featuremill.workflows.run.task import Task
from workers_here import WorkersHere

needs_bf16 = pytest.mark.skipif(not native_bf16(), reason="no bf16 in this CPU")


@pytest.fixture
def work(tmp_path, monkeypatch) -> EmbeddingWork:
    """Work for the worker that this process plays, with mixed precision to try."""
    monkeypatch.setattr(engines, "_open", {})
    network = SimpleNamespace(value=registry.load("mobilenetv2-untrained"))
    folder = open_store(str(tmp_path))
    task = Task(
        folder, folder, Limits(), Preprocessing((224, 224)), "model", "run", every_pixel=True
    )
    return EmbeddingWork(task, network, precision="mixed", engine="auto", image_timeout=10)


@pytest.fixture
def another_openvino(monkeypatch) -> None:
    """An OpenVINO that no longer keeps marked layers in fp32."""
    monkeypatch.setattr(mixed, "mark_precise", lambda core, model, names: model)


@pytest.fixture
def another_cpu(monkeypatch) -> None:
    """A CPU without bf16."""
    monkeypatch.setattr(engines, "native_bf16", lambda: False)
    monkeypatch.setattr(probe, "native_bf16", lambda: False)


@needs_bf16
def test_where_nothing_is_refused_mixed_is_taken(work, monkeypatch):
    monkeypatch.setattr(probe, "_WORTHWHILE", 0)  # whatever else this machine does
    assert work.open_engine().precision == "mixed"
    assert probe.examine(WorkersHere(), work, "auto", []).precision == "mixed"


@needs_bf16
def test_where_openvino_departs_from_the_plan_auto_takes_fp32_and_says_so(work, another_openvino):
    assert work.open_engine().precision == "fp32"
    verdict = probe.examine(WorkersHere(), work, "auto", [])
    assert verdict.precision == "fp32"
    assert verdict.images_per_second > 0
    assert "departs from the plan" in verdict.warning


def test_where_the_cpu_has_no_bf16_auto_takes_fp32_without_a_word(work, another_cpu):
    assert work.open_engine().precision == "fp32"
    verdict = probe.examine(WorkersHere(), work, "auto", [])
    assert (verdict.precision, verdict.warning) == ("fp32", "")


@pytest.mark.parametrize("wanted", ["mixed", "bf16"])
def test_what_was_asked_for_by_name_is_not_replaced(work, another_cpu, wanted):
    with pytest.raises(PrecisionError, match=f"--precision is {wanted}, but a worker refuses it"):
        probe.examine(WorkersHere(), work, wanted, [])


@needs_bf16
def test_a_fast_precision_that_is_no_faster_here_is_not_taken(work, monkeypatch):
    monkeypatch.setattr(probe, "_WORTHWHILE", 1_000)
    verdict = probe.examine(WorkersHere(), work, "auto", [])
    assert (verdict.precision, verdict.tried, verdict.warning) == ("fp32", "mixed", "")
    assert probe.examine(WorkersHere(), work, "mixed", []).precision == "mixed"


@pytest.mark.slow
def test_large_jpegs_decoded_smaller_are_held_against_every_pixel(work, tmp_path, monkeypatch):
    (tmp_path / "large.jpg").write_bytes(encoded("JPEG", picture(size=(2_000, 1_800))))
    [listed] = work.task.source.list()
    sample = [Reference(listed.path, "label", listed.version, listed.size)]
    work = replace(work, precision="fp32", task=replace(work.task, every_pixel=False))
    verdict = probe.examine(WorkersHere(), work, "auto", sample)
    assert verdict.compared == 1
    assert 0.999 < verdict.smallest_cosine < 1
    assert not verdict.every_pixel

    monkeypatch.setattr(probe, "BOUNDS", {"auto": 1.0})
    verdict = probe.examine(WorkersHere(), work, "auto", sample)
    assert verdict.every_pixel
    assert "On the worst of the first 1 images, decoding large JPEGs" in verdict.warning
    assert "the contract is 1.0. This run does neither: it decodes every pixel" in verdict.warning
    assert "--precision fp32 saves the attempt" in verdict.warning


def test_what_other_workers_found_of_a_refused_precision_is_no_evidence(work, monkeypatch):
    mixed = probe.Answer(None, True, 16, 0.98, 0.0, 0.004, 0.008)
    refusing = probe.Answer("no bf16 here", False, 0, None, 0.0, 0.008, 0.008)
    answers = [json.dumps(asdict(answer)).encode() for answer in (mixed, refusing)]
    monkeypatch.setattr(WorkersHere, "map", lambda *_: answers)
    verdict = probe.examine(WorkersHere(), work, "auto", [])
    assert (verdict.precision, verdict.smallest_cosine, verdict.warning) == ("fp32", None, "")
