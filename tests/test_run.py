"""A run from the first picture to the report, on real Spark and drawn pictures."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featuremill
from featuremill.errors import DestinationError, PrecisionError
from featuremill.images.synth import SynthConfig, draw, encode, write
from featuremill.pca.components import PCA
from featuremill.workflows.run import pipeline
from featuremill.workflows.run.pipeline import RunResult, run
from outputs import MODEL, OTHER_MODEL, everything_in, features, offline, reduced, uncommitted


@pytest.fixture(scope="module")
def first(spark, pictures, tmp_path_factory) -> RunResult:
    """The first run on 60 pictures; not to be changed."""
    destination = tmp_path_factory.mktemp("first") / "results"
    return run(offline(pictures, destination, n_components=10), spark=spark)


@pytest.fixture(scope="module")
def dest(first: RunResult) -> Path:
    return Path(first.destination)


@pytest.fixture
def few(tmp_path) -> Path:
    """Two classes of four pictures, for a test to change as it likes."""
    folder = tmp_path / "few"
    write(folder, SynthConfig(classes=2, per_class=4, seed=2), workers=1)
    return folder


@pytest.fixture
def no_spark(monkeypatch) -> Callable[[], AbstractContextManager[None]]:
    """A block in which a run that asks for Spark fails."""

    @contextmanager
    def block() -> Iterator[None]:
        with monkeypatch.context() as patch:
            started = "featuremill.workers.spark.spark_workers"
            patch.setattr(started, lambda *_: pytest.fail("Spark was started"))
            yield

    return block


def paths_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


def other_picture() -> bytes:
    return encode(draw(7, 0, SynthConfig(classes=8, per_class=1, seed=9)), "jpeg")


# What a first run leaves


@pytest.mark.spark35
def test_every_image_has_one_row_of_features(first, dest, pictures):
    rows = features(dest)
    assert rows.path.tolist() == paths_in(pictures)
    assert rows.label.tolist() == [Path(path).parent.name for path in rows.path]
    assert rows.bytes.tolist() == [Path(path).stat().st_size for path in rows.path]
    assert set(rows.status) == {"ok"}
    assert rows.stage.isna().all()
    assert rows.reason.isna().all()
    assert set(zip(rows.width, rows.height, strict=True)) == {(100, 100)}
    assert set(rows.model_id) == {first.record.network["model_id"]}
    assert set(rows.run) == {first.record.run}

    matrix = np.stack(rows.features)
    assert matrix.shape == (60, 1280)
    assert matrix.dtype == np.float32
    assert len(np.unique(matrix, axis=0)) == 60


def test_the_ledger_balances(first):
    ledger = first.record.ledger
    assert (ledger.listed, ledger.embedded) == (60, 60)
    assert str(ledger) == (
        "60 listed = 0 already done + 0 already rejected + 60 embedded + 0 rejected + 0 skipped"
    )


@pytest.mark.spark35
def test_everything_promised_is_there_and_nothing_else(first, dest):
    assert {path.name for path in dest.iterdir()} == {
        "features",
        "reduced",
        "csv",
        "model",
        "runs",
        "rejects.csv",
        "report.html",
    }
    model = {path.name for path in (dest / "model").iterdir()}
    assert model == {"network.json", "pca.json", "pca.safetensors"}
    assert [path.name for path in (dest / "csv").iterdir()] == ["reduced.csv"]
    assert uncommitted(dest) == set()


def test_the_csv_matrix_is_the_reduced_table(dest):
    matrix = pd.read_csv(dest / "csv" / "reduced.csv").sort_values("path", ignore_index=True)
    assert matrix.columns.tolist() == ["path", "label", *(f"pc_{n}" for n in range(1, 11))]
    rows = reduced(dest)
    assert matrix.path.tolist() == rows.path.tolist()
    assert matrix.label.tolist() == rows.label.tolist()
    scores = matrix.filter(like="pc_").to_numpy(np.float32)
    np.testing.assert_array_equal(scores, np.stack(rows.features_pca))


def test_pandas_reads_the_reduced_folder_as_it_is(dest, pictures):
    rows = pd.read_parquet(dest / "reduced")
    assert rows.columns.tolist() == ["path", "label", "features_pca"]
    assert sorted(rows.path) == paths_in(pictures)
    assert {len(scores) for scores in rows.features_pca} == {10}


def test_the_saved_pca_gives_the_stored_scores(first, dest):
    pca = PCA.from_safetensors((dest / "model" / "pca.safetensors").read_bytes())
    scores = pca.transform(np.stack(features(dest).features))
    np.testing.assert_allclose(scores, np.stack(reduced(dest).features_pca), rtol=0, atol=1e-5)
    # principal components: centred, uncorrelated, the strongest first
    covariance = np.cov(scores.T)
    assert np.abs(scores.mean(axis=0)).max() < 1e-9
    np.testing.assert_allclose(covariance, np.diag(pca.explained_variance_), atol=1e-9)
    assert first.pca is not None
    np.testing.assert_array_equal(first.pca.components_, pca.components_)


def test_the_pca_is_described_in_plain_json(dest):
    description = json.loads((dest / "model" / "pca.json").read_text())
    assert (description["n_components"], description["n_samples"]) == (10, 60)
    assert 0 < description["variance_held"] < 1
    assert description["network"]["name"] == MODEL


def test_a_run_without_rejects_leaves_only_the_header_of_their_list(dest):
    text = (dest / "rejects.csv").read_text()
    assert text == "path,label,stage,reason,bytes,version,run\n"


@pytest.mark.spark35
def test_the_record_says_what_was_done_with_what(first, dest, pictures):
    (file,) = (dest / "runs").iterdir()
    assert file.name == f"{first.record.run}.json"
    record = json.loads(file.read_text())
    assert record["status"] == "finished"
    assert record["config"]["source"] == str(pictures)
    assert record["config"]["n_components"] == 10
    assert record["ledger"]["embedded"] == 60
    assert record["precision"] == {"fp32": 60}
    assert record["network"]["contract"] == "fp32"
    assert record["versions"].keys() >= {"featuremill", "python", "pyspark", "numpy"}
    assert record["hardware"]["cores"] >= 1
    assert record["seconds"].keys() == {"probe", "extract", "reduce", "write"}
    assert record["images_per_second"] > 0
    assert record["worker_cpu_seconds"] > 0
    assert record["warnings"] == []


def test_the_report_tells_the_counts(first, dest):
    assert first.report == str(dest / "report.html")
    page = Path(first.report).read_text()
    assert "60 images in 4 classes became 1,280 features each" in page
    assert "reduced to 10 components" in page
    assert first.record.run in page


# Running again


@pytest.mark.spark35
def test_a_second_run_embeds_nothing_and_can_fit_another_pca(spark, pictures, tmp_path):
    dest = tmp_path / "results"
    first = run(offline(pictures, dest, n_components=10), spark=spark)
    before = features(dest)

    again = run(offline(pictures, dest, n_components=3), spark=spark)

    assert (again.record.ledger.already_done, again.record.ledger.embedded) == (60, 0)
    pd.testing.assert_frame_equal(features(dest), before)
    rows = pd.read_parquet(dest / "reduced")
    assert sorted(rows.path) == paths_in(pictures)
    assert {len(scores) for scores in rows.features_pca} == {3}
    header = (dest / "csv" / "reduced.csv").read_text().partition("\n")[0]
    assert header.replace('"', "") == "path,label,pc_1,pc_2,pc_3"
    assert len(list((dest / "runs").iterdir())) == 2
    speed = f"60 images embedded at {first.record.images_per_second:,.1f} images a second"
    assert speed in (dest / "report.html").read_text(encoding="utf-8")


def test_where_nothing_has_changed_spark_is_not_even_started(spark, few, tmp_path, no_spark):
    dest = tmp_path / "results"
    first = run(offline(few, dest, n_components=3), spark=spark)
    before = {path: path.read_bytes() for path in (dest / "reduced").rglob("*.parquet")}
    (dest / "report.html").unlink()

    with no_spark():
        again = run(offline(few, dest, n_components=3))

    assert (again.record.ledger.already_done, again.record.status) == (8, "finished")
    assert again.record.pca == first.record.pca
    np.testing.assert_array_equal(again.pca.components_, first.pca.components_)
    assert {path: path.read_bytes() for path in (dest / "reduced").rglob("*.parquet")} == before
    assert (dest / "report.html").exists()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"n_components": 2}, marks=pytest.mark.long),
        {"n_components": None, "variance": 0.5},
        {"n_components": 3, "standardize": False},
    ],
)
def test_a_pca_of_other_options_is_fitted_anew(spark, few, tmp_path, change):
    dest = tmp_path / "results"
    run(offline(few, dest, n_components=3), spark=spark)
    again = run(offline(few, dest, **change), spark=spark)
    assert again.record.pca["run"] == again.record.run


@pytest.mark.parametrize(
    "lost",
    [
        "csv/reduced.csv",
        pytest.param("model/pca.json", marks=pytest.mark.long),
        pytest.param("reduced/_delta_log", marks=pytest.mark.long),
    ],
)
def test_an_output_that_is_gone_is_made_again(spark, few, tmp_path, lost):
    dest = tmp_path / "results"
    run(offline(few, dest, n_components=3), spark=spark)
    if (dest / lost).is_dir():
        shutil.rmtree(dest / lost)
    else:
        (dest / lost).unlink()
    run(offline(few, dest, n_components=3), spark=spark)
    assert (dest / lost).exists()
    assert len(pd.read_csv(dest / "csv" / "reduced.csv")) == 8


def test_a_csv_that_a_dying_run_left_behind_is_not_kept(spark, few, tmp_path, monkeypatch):
    dest = tmp_path / "results"
    run(offline(few, dest, n_components=3), spark=spark)
    (few / "Late").mkdir()
    (few / "Late" / "one.jpg").write_bytes(other_picture())
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.csv_files, "write_matrix", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            run(offline(few, dest, n_components=3), spark=spark)

    run(offline(few, dest, n_components=3), spark=spark)

    csv = pd.read_csv(dest / "csv" / "reduced.csv")
    assert sorted(csv.path) == sorted(pd.read_parquet(dest / "reduced").path) == paths_in(few)


@pytest.mark.spark35
def test_an_added_image_is_the_only_one_embedded(spark, few, tmp_path):
    dest = tmp_path / "results"
    first = run(offline(few, dest, reduce=False), spark=spark)
    added = few / "Late" / "one.jpg"
    added.parent.mkdir()
    added.write_bytes(other_picture())

    second = run(offline(few, dest, reduce=False), spark=spark)

    assert (second.record.ledger.already_done, second.record.ledger.embedded) == (8, 1)
    rows = features(dest).set_index("path")
    assert rows.run[str(added)] == second.record.run
    assert set(rows.run.drop(str(added))) == {first.record.run}
    assert rows.label[str(added)] == "Late"


@pytest.mark.spark35
def test_a_changed_image_replaces_its_row(spark, few, tmp_path):
    dest = tmp_path / "results"
    run(offline(few, dest), spark=spark)
    before = features(dest)
    changed = paths_in(few)[3]
    Path(changed).write_bytes(other_picture())

    second = run(offline(few, dest), spark=spark)

    assert (second.record.ledger.already_done, second.record.ledger.embedded) == (7, 1)
    after = features(dest)
    assert after.path.tolist() == before.path.tolist()
    same = [np.array_equal(*pair) for pair in zip(before.features, after.features, strict=True)]
    assert [path for path, kept in zip(after.path, same, strict=True) if not kept] == [changed]
    assert reduced(dest).path.tolist() == before.path.tolist()


@pytest.mark.spark35
def test_an_image_that_became_unreadable_is_rejected_and_one_repaired_is_embedded(
    spark, few, tmp_path
):
    dest = tmp_path / "results"
    spoilt, repaired = paths_in(few)[:2]
    good = Path(repaired).read_bytes()
    Path(repaired).write_bytes(b"\xff\xd8 no more")
    anything = featuremill.RejectLimit(share=1)
    run(offline(few, dest, reduce=False, max_rejects=anything), spark=spark)
    Path(repaired).write_bytes(good)
    Path(spoilt).write_bytes(b"\xff\xd8 no more")

    run(offline(few, dest, reduce=False, max_rejects=anything), spark=spark)

    rows = features(dest)
    assert rows.path.tolist() == paths_in(few)
    assert rows.path[rows.status == "rejected"].tolist() == [spoilt]
    assert rows.features[rows.status == "rejected"].isna().all()


# Choosing images


def test_classes_choose_folders_and_without_them_the_rest_follows(spark, few, tmp_path):
    dest = tmp_path / "results"
    chosen = "50% ripe"
    sorted(few.iterdir())[0].rename(few / chosen)
    some = run(offline(few, dest, classes=(chosen, "Typo"), reduce=False), spark=spark).record
    assert (some.ledger.embedded, some.ledger.skipped) == (4, 4)
    assert some.skipped == {"not selected": 4}
    assert set(features(dest).label) == {"50%25 ripe"}
    assert some.warnings[0].startswith(f"no image of class Typo in {few}; there are ")

    everything = run(offline(few, dest, reduce=False), spark=spark).record
    assert (everything.ledger.already_done, everything.ledger.embedded) == (4, 4)


def test_include_and_exclude_choose_paths_below_the_source(spark, few, tmp_path):
    (few / "notes.txt").write_text("no image")
    dest = tmp_path / "results"
    globs = {"include": ("*_[012].jpg",), "exclude": ("*_1.jpg",)}
    record = run(offline(few, dest, reduce=False, **globs), spark=spark).record
    names = {path.rpartition("_")[2] for path in features(dest).path}
    assert names == {"0.jpg", "2.jpg"}
    assert record.skipped == {"not selected": 4, ".txt": 1}
    assert (record.ledger.listed, record.ledger.embedded, record.ledger.skipped) == (9, 4, 5)


# The reduction


def test_without_reduction_there_are_features_only(spark, few, tmp_path):
    result = run(offline(few, tmp_path / "results", reduce=False), spark=spark)
    assert result.pca is None
    assert result.record.pca is None
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {"features", "model", "runs", "rejects.csv", "report.html"}
    assert Path(result.report).read_text().count("8 images in 2 classes") >= 1


@pytest.mark.spark35
def test_more_components_than_the_images_hold_are_lowered_with_a_warning(spark, few, tmp_path):
    result = run(offline(few, tmp_path / "results"), spark=spark)
    assert result.pca is not None
    assert result.pca.n_components_ == 7
    assert result.record.warnings == ["7 components instead of 50: 8 images hold no more"]
    assert {len(scores) for scores in reduced(tmp_path / "results").features_pca} == {7}


def test_one_image_alone_has_features_but_no_pca(spark, tmp_path):
    source, dest = tmp_path / "one", tmp_path / "results"
    source.mkdir()
    (source / "alone.jpg").write_bytes(other_picture())

    result = run(offline(source, dest), spark=spark)

    assert result.pca is None
    assert result.record.status == "finished"
    assert result.record.warnings == ["no PCA: it needs 2 images with features, there are 1"]
    assert len(features(dest)) == 1
    assert not (dest / "reduced").exists()


def test_the_pca_of_images_that_are_gone_is_removed_where_none_can_be_fitted(spark, few, tmp_path):
    dest = tmp_path / "results"
    run(offline(few, dest), spark=spark)
    # as a run leaves it that died while it discarded
    (dest / "model" / "pca.json").unlink()
    for path in paths_in(few)[1:]:
        Path(path).unlink()

    record = run(offline(few, dest, prune=True), spark=spark).record

    assert [text.partition(":")[0] for text in record.warnings] == [
        "no PCA",
        "the PCA of an earlier run was of other images",
    ]
    assert reduced(dest).empty
    assert list((dest / "reduced").glob("*.parquet")) == []
    assert not list(dest.rglob("pca.*")) + list(dest.rglob("reduced.csv"))
    checked = featuremill.check(featuremill.CheckConfig(str(dest), source=str(few)))
    assert checked.failed == ()
    assert {one.status for one in checked.checks if one.name.startswith("pca")} == {"skipped"}
    with pytest.raises(DestinationError, match="holds no reduced features"):
        featuremill.similar(dest, paths_in(few)[0], on="reduced")

    assert len(run(offline(few, dest), spark=spark).record.warnings) == 1
    (few / "more.jpg").write_bytes(other_picture())
    assert run(offline(few, dest), spark=spark).record.warnings == [
        "1 component instead of 50: 2 images hold no more"
    ]
    assert len(reduced(dest)) == 2


def test_a_share_of_the_variance_chooses_the_components(spark, first, pictures, tmp_path):
    result = run(offline(pictures, tmp_path / "results", variance=0.8), spark=spark)
    assert result.pca is not None
    assert first.pca is not None
    cumulative = np.cumsum(first.pca.spectrum_)
    k = result.pca.n_components_
    assert cumulative[k - 2] < 0.8 <= cumulative[k - 1]
    assert result.record.pca is not None
    assert result.record.pca["variance_held"] == pytest.approx(cumulative[k - 1])


def test_without_standardisation_the_features_keep_their_spread(spark, few, tmp_path):
    result = run(offline(few, tmp_path / "results", standardize=False), spark=spark)
    matrix = np.stack(features(tmp_path / "results").features).astype(np.float64)
    assert result.pca is not None
    total = matrix.var(axis=0, ddof=1).sum()
    assert result.pca.explained_variance_.sum() == pytest.approx(total)


# Models and precision


def test_features_of_another_model_are_refused_and_left_alone(spark, few, tmp_path):
    dest = tmp_path / "results"
    run(offline(few, dest, reduce=False), spark=spark)
    before = everything_in(dest)
    with pytest.raises(DestinationError, match="holds features of embedded") as refused:
        run(offline(few, dest, reduce=False, model=OTHER_MODEL), spark=spark)
    assert "--replace-model" in refused.value.remedy
    assert everything_in(dest) == before


def test_another_contract_is_another_model(spark, few, tmp_path):
    dest = tmp_path / "results"
    run(offline(few, dest, reduce=False), spark=spark)
    with pytest.raises(DestinationError, match="contract fp32"):
        run(offline(few, dest, reduce=False, precision="bf16"), spark=spark)


def test_a_model_can_be_replaced(spark, few, tmp_path):
    dest = tmp_path / "results"
    run(offline(few, dest), spark=spark)
    before = features(dest)

    result = run(offline(few, dest, model=OTHER_MODEL, replace_model=True), spark=spark)

    after = features(dest)
    assert result.record.ledger.embedded == 8
    assert after.path.tolist() == before.path.tolist()
    assert set(after.model_id) == {result.record.network["model_id"]} != set(before.model_id)
    assert len(reduced(dest)) == 8


def test_a_precision_that_workers_refuse_leaves_the_destination_as_it_was(
    spark, few, tmp_path, monkeypatch
):
    dest = tmp_path / "results"
    run(offline(few, dest, reduce=False), spark=spark)
    before = {path: path.read_bytes() for path in everything(dest)}

    def refuse(*_):
        raise PrecisionError("--precision is bf16, but a worker refuses it")

    monkeypatch.setattr("featuremill.workflows.run.extraction.examine", refuse)
    options = {"model": OTHER_MODEL, "precision": "bf16", "replace_model": True}
    for target, expected in ((dest, before), (tmp_path / "new", {})):
        with pytest.raises(PrecisionError):
            run(offline(few, target, **options), spark=spark)
        assert {path: path.read_bytes() for path in everything(target)} == expected


def everything(folder):
    return (path for path in folder.rglob("*") if path.is_file())


def test_a_replacement_that_was_interrupted_is_finished_by_the_next_run(
    spark, few, tmp_path, monkeypatch
):
    dest = tmp_path / "results"
    run(offline(few, dest, reduce=False), spark=spark)
    other = offline(few, dest, reduce=False, model=OTHER_MODEL)
    with monkeypatch.context() as patched:
        patched.setattr("featuremill.workflows.run.pipeline.Run.drop_other_models", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(dataclasses.replace(other, replace_model=True), spark=spark)
    assert len(features(dest)) == 16

    record = run(other, spark=spark).record

    assert record.ledger.already_done == 8
    assert set(features(dest).model_id) == {record.network["model_id"]}


def interrupt(*_):
    raise KeyboardInterrupt


def test_auto_keeps_the_precision_that_the_destination_holds(spark, few, tmp_path):
    dest = tmp_path / "results"
    run(offline(few, dest, reduce=False), spark=spark)
    (few / "late.jpg").write_bytes(other_picture())
    record = run(offline(few, dest, reduce=False, precision="auto"), spark=spark).record
    assert record.network["contract"] == "fp32"
    assert record.precision == {"fp32": 1}
    assert record.ledger.already_done == 8


def test_auto_proves_itself_where_it_is_faster(spark, few, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "featuremill.workflows.run.probe._WORTHWHILE", 0
    )  # whatever else this machine does
    record = run(
        offline(few, tmp_path / "results", reduce=False, precision="auto"), spark=spark
    ).record
    assert record.network["contract"] == "auto"
    if record.parity is None:  # no worker computes bf16 natively
        assert record.precision == {"fp32": 8}
    else:
        assert record.precision == {"mixed": 8}
        assert record.parity["compared"] == 8
        assert record.parity["smallest_cosine"] >= 0.999


# In somebody's own program


@pytest.mark.spark35
def test_the_session_handed_in_goes_on(spark, first):
    assert spark.range(3).count() == 3
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") is None


def test_a_session_that_is_already_there_is_taken_and_left(spark, few, tmp_path):
    run(offline(few, tmp_path / "results", reduce=False, master="local[1]"))
    assert spark.range(3).count() == 3


def test_features_come_as_a_pandas_frame(dest, pictures):
    rows = featuremill.load_features(dest)
    assert rows.columns.tolist() == ["path", "label", "width", "height", "features"]
    assert sorted(rows.path) == paths_in(pictures)
    expected = features(dest).set_index("path").features
    assert all(np.array_equal(row.features, expected[row.path]) for row in rows.itertuples())


@pytest.mark.spark35
def test_features_come_as_a_spark_frame(spark, dest):
    rows = featuremill.load_features(dest, spark=spark)
    assert rows.columns == ["path", "label", "width", "height", "features"]
    assert rows.count() == 60
    counted = {row["label"]: row["count"] for row in rows.groupBy("label").count().collect()}
    assert counted == features(dest).label.value_counts().to_dict()
    first_row = rows.orderBy("path").first()
    assert first_row is not None
    np.testing.assert_array_equal(
        np.array(first_row["features"], np.float32), features(dest).features[0]
    )


def test_where_there_are_no_features_none_are_loaded(tmp_path):
    with pytest.raises(DestinationError, match="holds no features"):
        featuremill.load_features(tmp_path)
