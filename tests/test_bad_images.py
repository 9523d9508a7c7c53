"""What runs make of images that are damaged, and of those that kill or hang whoever reads them."""

import csv
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import poison
from bad_images import encoded, picture, write_corpus
from featuremill import RejectLimit
from featuremill._utils import paths
from featuremill.errors import TooManyRejectsError
from featuremill.workflows.run.dispatch import EmbeddingWork
from featuremill.workflows.run.pipeline import RunResult
from outputs import features, offline, uncommitted

pytestmark = pytest.mark.slow

ANY_NUMBER = RejectLimit(share=1)


# A corpus of some sixty nasty files: odd kinds, damaged ones, bombs, and names that trip people


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    folder.mkdir()
    return folder, write_corpus(folder)


@pytest.fixture(scope="module")
def result(workers, corpus, tmp_path_factory) -> RunResult:
    folder, _ = corpus
    dest = tmp_path_factory.mktemp("nasty") / "results"
    return workers.run(offline(folder, dest, max_rejects=ANY_NUMBER))


@pytest.fixture(scope="module")
def rows(result, corpus) -> dict[str, dict]:
    """Rows of the features table by the file's name below the corpus."""
    folder, _ = corpus
    found = features(Path(result.destination)).to_dict("records")
    files = [os.fsdecode(paths.decode(row["path"])) for row in found]
    assert len(set(files)) == len(files)
    return {os.path.relpath(file, folder): row for file, row in zip(files, found, strict=True)}


def test_every_file_of_the_corpus_is_embedded_or_rejected_where_it_should_be(rows, corpus):
    _, expected = corpus
    became = {name: row["stage"] or row["status"] for name, row in rows.items()}
    assert became == expected


def test_every_rejected_file_has_a_reason_and_no_features(rows):
    rejected = [row for row in rows.values() if row["status"] == "rejected"]
    assert rejected
    assert all(row["reason"] and row["features"] is None for row in rejected)


def test_every_good_file_has_features(rows):
    good = [row for row in rows.values() if row["status"] == "ok"]
    assert good
    assert all(row["reason"] is None for row in good)
    assert np.isfinite(np.stack([row["features"] for row in good])).all()


def test_the_ledger_of_the_corpus_balances(result, corpus):
    outcomes = list(corpus[1].values())
    ledger = result.record.ledger
    ledger.check()
    assert ledger.listed == len(outcomes)
    assert ledger.embedded == outcomes.count("ok")
    assert ledger.rejected == len(outcomes) - outcomes.count("ok")
    assert result.record.rejects.total() == ledger.rejected


def test_the_list_of_rejects_is_for_people(result, rows):
    with Path(result.destination, "rejects.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["path"]: row for row in csv.DictReader(file)}
    rejected = {row["path"]: row for row in rows.values() if row["status"] == "rejected"}
    assert listed.keys() == rejected.keys()
    for path, row in rejected.items():
        assert (listed[path]["stage"], listed[path]["reason"]) == (row["stage"], row["reason"])


def test_running_again_tries_only_what_may_have_changed(workers, result, corpus, rows):
    folder, expected = corpus
    stages = list(expected.values())
    dest = Path(result.destination)
    config = offline(folder, dest, max_rejects=ANY_NUMBER, reduce=False)
    again = workers.run(config).record.ledger
    retried = stages.count("list") + stages.count("fetch") + stages.count("limit")
    assert again.embedded == 0
    assert again.rejected == retried
    assert again.already_done == stages.count("ok")
    assert again.already_rejected == stages.count("decode")
    assert len(features(Path(result.destination))) == len(rows)


# Images that are fatal


@pytest.fixture
def twenty(tmp_path) -> Path:
    """Twenty plain pictures, more than one task's worth."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        turned = picture().rotate(18 * number)
        (folder / f"{number:02}.jpg").write_bytes(encoded("JPEG", turned))
    return folder


@pytest.fixture
def workers_use(workers, monkeypatch) -> Callable[[Callable[..., EmbeddingWork]], None]:
    """Lets the workers do other work than they should."""
    workers.lend(poison.__file__)

    def use(work: Callable[..., EmbeddingWork]) -> None:
        monkeypatch.setattr("featuremill.workflows.run.extraction.EmbeddingWork", work)

    return use


def outcomes(destination: Path) -> dict[str, str | None]:
    """Reasons by file name, None where there are features."""
    rows = features(destination)
    return {
        Path(path).name: stage and f"{stage}: {reason}"
        for path, stage, reason in zip(rows.path, rows.stage, rows.reason, strict=True)
    }


def only(poisonous: Path, reason: str) -> dict[str, str | None]:
    """What should become of a folder in which one image is fatal."""
    everything = dict.fromkeys((path.name for path in poisonous.parent.iterdir()), None)
    return {**everything, poisonous.name: reason}


@pytest.mark.spark35
@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ("poison:segfault", "decode: the decoder died (SIGSEGV) on this image"),
        pytest.param(
            "poison:hang",
            "limit: the decoder gave no answer within 2 s",
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_image_fatal_to_the_decoder_is_the_only_one_lost(
    workers, twenty, tmp_path, workers_use, decoder, reason
):
    poisonous = twenty / "05.jpg"
    poisonous.write_bytes(poisonous.read_bytes() + poison.POISON)
    workers_use(partial(EmbeddingWork, decoder=decoder))
    dest = tmp_path / "results"

    result = workers.run(offline(twenty, dest, reduce=False, image_timeout=2.0))

    assert outcomes(dest) == only(poisonous, reason)
    assert (result.record.ledger.embedded, result.record.ledger.rejected) == (19, 1)
    assert uncommitted(dest) == set()


@pytest.mark.spark35
def test_an_image_on_which_the_worker_dies_is_found_by_halving(workers, tmp_path, workers_use):
    source, dest = tmp_path / "pictures", tmp_path / "results"
    source.mkdir()
    (source / "plain.jpg").write_bytes(encoded("JPEG"))
    poisonous = source / "white.png"
    poisonous.write_bytes(encoded("PNG", Image.new("RGB", (9, 9), "white")))
    workers_use(poison.DeadlyWork)

    config = offline(source, dest, reduce=False, max_rejects=ANY_NUMBER)
    result = workers.run(config)

    assert outcomes(dest) == only(poisonous, "worker: the worker died on this image")
    assert result.record.rejects == {"worker: the worker died on this image": 1}
    assert uncommitted(dest) == set()


# How many are too many


def test_too_many_rejects_fail_the_run_after_everything_is_written(workers, twenty, tmp_path):
    for name in ("03.jpg", "11.jpg"):
        (twenty / name).write_bytes(b"spoilt")
    dest = tmp_path / "results"

    with pytest.raises(TooManyRejectsError, match=r"2 of 20 images .* is 5%"):
        workers.run(offline(twenty, dest))

    assert len(features(dest)) == 20
    assert {path.name for path in dest.iterdir()} >= {"reduced", "csv", "report.html"}
    assert (dest / "rejects.csv").read_text().count("\n") == 3


def test_a_number_of_rejects_is_allowed_and_no_more(workers, twenty, tmp_path):
    (twenty / "03.jpg").write_bytes(b"spoilt")
    dest = tmp_path / "results"
    allowed = offline(twenty, dest, reduce=False, max_rejects=RejectLimit(count=1))
    assert workers.run(allowed).record.ledger.rejected == 1

    (twenty / "11.jpg").write_bytes(b"spoilt")
    (twenty / "12.jpg").write_bytes(b"spoilt")
    with pytest.raises(TooManyRejectsError, match="3 of 20"):
        workers.run(allowed)
