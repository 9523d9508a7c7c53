"""Whatever is wrong with a result, the check of just that fails; a sound one passes them all."""

import csv
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import featuremill
from featuremill.cli import main
from featuremill.images.synth import SynthConfig, draw, encode, write
from featuremill.pca.components import PCA
from featuremill.workflows.check import CheckConfig, check
from featuremill.workflows.run.pipeline import run
from outputs import everything_in, offline
from stand_in import REGION, s3_server

ANYTHING = featuremill.RejectLimit(share=1)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Fifteen pictures of three classes, and a file that is no picture; not to be changed."""
    folder = tmp_path_factory.mktemp("source") / "images"
    write(folder, SynthConfig(classes=3, per_class=5, seed=3), workers=1)
    bad = next(folder.iterdir()) / "bad é.jpg"
    bad.write_bytes(b"\xff\xd8 no more")
    return folder


@pytest.fixture(scope="module")
def sound(spark, images, tmp_path_factory) -> Path:
    """A result; not to be changed."""
    dest = tmp_path_factory.mktemp("sound") / "results"
    run(offline(images, dest, n_components=4, max_rejects=ANYTHING), spark=spark)
    return dest


@pytest.fixture
def dest(sound, tmp_path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(sound, tmp_path / "results"))


def failed(dest: Path | str, **options: Any) -> set[str]:
    """Names of the checks that fail."""
    return {one.name for one in check(CheckConfig(str(dest), **options)).failed}


def statuses(dest: Path, **options: Any) -> dict[str, str]:
    return {one.name: one.status for one in check(CheckConfig(str(dest), **options)).checks}


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


# A sound result


@pytest.mark.slow
def test_a_sound_result_passes_every_check_there_is(sound, images):
    before = everything_in(sound)
    wishes = {"min_variance": 0.1, "components": 4, "expect_count": 15, "source": str(images)}
    made = statuses(sound, **wishes)
    assert set(made.values()) == {"ok"}
    tested = {name for _, names in SPOILT for name in names}
    assert set(made) == {*tested, *WISHES, *SOURCE}
    assert everything_in(sound) == before


def test_what_was_not_asked_for_is_skipped(sound):
    skipped = {name for name, status in statuses(sound).items() if status == "skipped"}
    assert skipped == {
        "features.expected",
        "pca.components",
        "pca.variance",
        *SOURCE,
    }


WISHES = {
    "features.expected": {"expect_count": 16},
    "pca.components": {"components": 5},
    "pca.variance": {"min_variance": 0.99},
}


@pytest.mark.parametrize("name", WISHES)
def test_a_wish_that_is_not_met(sound, name):
    assert failed(sound, **WISHES[name]) == {name}


def test_the_share_of_the_variance_is_compared_but_for_rounding(sound):
    held = json.loads((sound / "model" / "pca.json").read_text())["variance_held"]
    assert failed(sound, min_variance=held + 1e-13) == set()
    assert failed(sound, min_variance=held + 1e-9) == {"pca.variance"}


# Spoilt results: each function spoils one thing


def edit_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def record(dest: Path) -> Path:
    (file,) = (dest / "runs").iterdir()
    return file


def parquet(dest: Path, folder: str) -> Path:
    return min((dest / folder).glob("*.parquet"))


def edit_rows(dest: Path, folder: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change rows of a file of a table, and its log, as if they had been written so."""
    file = parquet(dest, folder)
    table = pq.read_table(file, partitioning=None)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    edit_log(dest, folder, len(rows))


def edit_log(dest: Path, folder: str, rows: int | None = None) -> None:
    """Let the log of a table say of its file what is true."""
    table, file = folder.partition("/")[0], parquet(dest, folder)
    for log in (dest / table / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for add in (action["add"] for action in actions if "add" in action):
            if add["path"] == str(file.relative_to(dest / table)):
                add["size"] = file.stat().st_size
                if rows is not None:
                    add["stats"] = json.dumps({"numRecords": rows})
        log.write_text("\n".join(map(json.dumps, actions)))


def edit_pca(dest: Path, **arrays: Any) -> None:
    """Save another PCA, described as a run describes it."""
    file = dest / "model" / "pca.safetensors"
    pca = dataclasses.replace(PCA.from_safetensors(file.read_bytes()), **arrays)
    file.write_bytes(pca.to_safetensors())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    edit_json(dest / "model" / "pca.json", lambda d: d.update(pca.description(), sha256=digest))


def array(dest: Path, name: str) -> Any:
    pca = PCA.from_safetensors((dest / "model" / "pca.safetensors").read_bytes())
    return getattr(pca, name).copy()


def edit_csv(
    dest: Path, change: Callable[[list[str]], None], name: str = "csv/reduced.csv"
) -> None:
    lines = (dest / name).read_text().splitlines(keepends=True)
    change(lines)
    (dest / name).write_text("".join(lines))


def overwrite_end(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100] + bytes(100))


FEATURES, REJECTED = "features/status=ok", "features/status=rejected"


def hold(dest):
    (dest / "run.lock").write_text("{}")


def end_with_an_error(dest):
    edit_json(record(dest), lambda r: r.update(status="failed: StorageError"))


def damage_the_record(dest):
    record(dest).write_text("{")


def remove_the_records(dest):
    shutil.rmtree(dest / "runs")


def list_one_more(dest):
    edit_json(record(dest), lambda r: r["ledger"].update(listed=17))


def rename_the_network(dest):
    edit_json(dest / "model" / "network.json", lambda n: n.update(name="other"))


def be_replacing_the_network(dest):
    edit_json(dest / "model" / "network.json", lambda n: n.update(replacing=True))


def remove_the_network(dest):
    (dest / "model" / "network.json").unlink()


def remove_the_report(dest):
    (dest / "report.html").unlink()


def remove_the_log_of_the_features(dest):
    shutil.rmtree(dest / "features" / "_delta_log")


def damage_the_log_of_the_features(dest):
    for log in (dest / "features" / "_delta_log").iterdir():
        log.write_text("{")


def rename_a_column_of_the_log(dest):
    log = min((dest / "features" / "_delta_log").glob("*.json"))
    log.write_text(log.read_text().replace('name\\":\\"label', 'name\\":\\"class'))


def remove_features(dest):
    parquet(dest, FEATURES).unlink()


def lengthen_features(dest):
    parquet(dest, FEATURES).write_bytes(parquet(dest, FEATURES).read_bytes() + b"more")


def damage_features(dest):
    overwrite_end(parquet(dest, FEATURES))


def truncate_features(dest):
    parquet(dest, FEATURES).write_bytes(parquet(dest, FEATURES).read_bytes()[:-1000])
    edit_log(dest, FEATURES)


def rename_a_column(dest):
    file = parquet(dest, FEATURES)
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table.rename_columns(["file", *table.schema.names[1:]]), file)
    edit_log(dest, FEATURES)


def hide_a_row_from_the_log(dest):
    edit_log(dest, FEATURES, rows=1_000)


def add_a_row_of_another_model(dest):
    edit_rows(dest, FEATURES, lambda rows: rows.append(rows[0] | {"model_id": "other"}))


def embed_one_more_by_the_ledger(dest):
    edit_json(record(dest), lambda r: r["ledger"].update(listed=17, embedded=16))


def reject_what_was_embedded_by_the_ledger(dest):
    edit_json(record(dest), lambda r: r["ledger"].update(embedded=14, rejected=2))


def shorten_the_features_of_a_row(dest):
    edit_rows(dest, FEATURES, lambda rows: rows[1].update(features=rows[1]["features"][:-1]))


def lose_the_features_of_a_row(dest):
    edit_rows(dest, FEATURES, lambda rows: rows[1].update(features=None))


def write_nan(dest):
    edit_rows(dest, FEATURES, lambda rows: rows[1]["features"].__setitem__(7, float("nan")))


def change_a_feature(dest):
    def change(rows):
        rows[1]["features"][7] += 0.01

    edit_rows(dest, FEATURES, change)


def repeat_a_path(dest):
    edit_rows(dest, FEATURES, lambda rows: rows[1].update(path=rows[0]["path"]))


def drop_a_feature_row(dest):
    edit_rows(dest, FEATURES, lambda rows: rows.pop())


def lose_a_stage(dest):
    edit_rows(dest, REJECTED, lambda rows: rows[0].update(stage="somewhere"))


def lose_a_reason(dest):
    edit_rows(dest, REJECTED, lambda rows: rows[0].update(reason=None))


def drop_a_reject_from_the_csv(dest):
    edit_csv(dest, lambda lines: lines.pop(), "rejects.csv")


def remove_the_csv_of_rejects(dest):
    (dest / "rejects.csv").unlink()


def remove_the_arrays(dest):
    (dest / "model" / "pca.safetensors").unlink()


def truncate_the_arrays(dest):
    file = dest / "model" / "pca.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def remove_the_description(dest):
    (dest / "model" / "pca.json").unlink()


def damage_the_description(dest):
    (dest / "model" / "pca.json").write_text("[]")


def drop_a_feature_of_the_pca(dest):
    edit_pca(dest, mean_=array(dest, "mean_")[1:])


def set_a_scale_to_zero(dest):
    scale = array(dest, "scale_")
    scale[np.argmin(np.abs(array(dest, "components_")).sum(axis=0))] = 0
    edit_pca(dest, scale_=scale)


def stretch_a_component(dest):
    components = array(dest, "components_")
    components[3] *= 1 + 1e-8
    edit_pca(dest, components_=components)


def change_a_variance(dest):
    variance = array(dest, "explained_variance_")
    variance[0] *= 1.01
    edit_pca(dest, explained_variance_=variance)


def change_the_checksum(dest):
    edit_json(dest / "model" / "pca.json", lambda d: d.update(sha256="0" * 64))


def change_a_share_in_the_description(dest):
    edit_json(dest / "model" / "pca.json", lambda d: d.update(variance_held=0.999))


def be_of_an_older_table(dest):
    edit_json(dest / "model" / "pca.json", lambda d: d["versions"].update(features=0))


def be_of_more_images(dest):
    edit_pca(dest, n_samples_=16)


def move_the_mean(dest):
    mean = array(dest, "mean_")
    mean[np.argmax(np.abs(array(dest, "components_")).sum(axis=0))] += 0.01
    edit_pca(dest, mean_=mean)


def remove_the_log_of_the_reduced(dest):
    shutil.rmtree(dest / "reduced" / "_delta_log")


def remove_reduced(dest):
    parquet(dest, "reduced").unlink()


def leave_an_older_file(dest):
    shutil.copy(parquet(dest, "reduced"), dest / "reduced" / "older.parquet")


def damage_reduced(dest):
    overwrite_end(parquet(dest, "reduced"))


def drop_a_reduced_row(dest):
    edit_rows(dest, "reduced", lambda rows: rows.pop())


def repeat_a_reduced_row(dest):
    edit_rows(dest, "reduced", lambda rows: rows.append(rows[0]))


def shorten_the_scores_of_a_row(dest):
    edit_rows(dest, "reduced", lambda rows: rows[0].update(features_pca=[1.0]))


def write_infinite_scores(dest):
    scores = [float("inf"), float("inf"), float("-inf"), float("-inf")]
    edit_rows(dest, "reduced", lambda rows: rows[0].update(features_pca=scores))


def rename_an_image_of_the_reduced(dest):
    edit_rows(dest, "reduced", lambda rows: rows[0].update(path="elsewhere.jpg"))


def change_a_score(dest):
    def change(rows):
        rows[0]["features_pca"][3] += 1e-3

    edit_rows(dest, "reduced", change)


def swap_two_scores(dest):
    edit_rows(dest, "reduced", lambda rows: rows[0]["features_pca"].reverse())


def remove_the_csv(dest):
    (dest / "csv" / "reduced.csv").unlink()


def rename_a_column_of_the_csv(dest):
    edit_csv(dest, lambda lines: lines.__setitem__(0, lines[0].replace("pc_4", "pc_5")))


def drop_a_row_of_the_csv(dest):
    edit_csv(dest, lambda lines: lines.pop(3))


def repeat_a_row_of_the_csv(dest):
    edit_csv(dest, lambda lines: lines.append(lines[3]))


def truncate_the_csv(dest):
    edit_csv(dest, lambda lines: lines.__setitem__(-1, lines[-1].partition(",")[0]))


def change_a_digit_of_the_csv(dest):
    def change(lines):
        fields = next(csv.reader([lines[2]]))
        lines[2] = ",".join([*fields[:-1], repr(float(fields[-1]) * 1.001)]) + "\n"

    edit_csv(dest, change)


SPOILT: list[tuple[Callable[[Path], None], set[str]]] = [
    (hold, {"lock"}),
    (end_with_an_error, {"run"}),
    (damage_the_record, {"run"}),
    (remove_the_records, {"run"}),
    (list_one_more, {"ledger"}),
    (rename_the_network, {"network"}),
    (be_replacing_the_network, {"network"}),
    (remove_the_network, {"network"}),
    (remove_the_report, {"report"}),
    (remove_the_log_of_the_features, {"features.schema"}),
    (damage_the_log_of_the_features, {"features.schema"}),
    (rename_a_column_of_the_log, {"features.schema"}),
    (remove_features, {"features.files"}),
    (lengthen_features, {"features.files"}),
    (damage_features, {"features.readable"}),
    (truncate_features, {"features.readable"}),
    (rename_a_column, {"features.readable"}),
    (hide_a_row_from_the_log, {"features.readable"}),
    (add_a_row_of_another_model, {"features.model"}),
    (embed_one_more_by_the_ledger, {"features.count"}),
    (reject_what_was_embedded_by_the_ledger, {"features.count"}),
    (shorten_the_features_of_a_row, {"features.length"}),
    (lose_the_features_of_a_row, {"features.length"}),
    (write_nan, {"features.finite"}),
    (change_a_feature, {"reduced.values"}),
    (repeat_a_path, {"features.paths", "reduced.paths"}),
    (drop_a_feature_row, {"features.count", "pca.samples", "reduced.rows", "reduced.paths"}),
    (lose_a_stage, {"features.rejects"}),
    (lose_a_reason, {"features.rejects"}),
    (drop_a_reject_from_the_csv, {"rejects.csv"}),
    (remove_the_csv_of_rejects, {"rejects.csv"}),
    (remove_the_arrays, {"pca.files"}),
    (truncate_the_arrays, {"pca.files"}),
    (remove_the_description, {"pca.files"}),
    (damage_the_description, {"pca.files"}),
    (drop_a_feature_of_the_pca, {"pca.shape"}),
    (set_a_scale_to_zero, {"pca.scale"}),
    (stretch_a_component, {"pca.unit"}),
    (change_a_variance, {"pca.spectrum"}),
    (change_the_checksum, {"pca.checksum"}),
    (change_a_share_in_the_description, {"pca.description"}),
    (be_of_an_older_table, {"pca.versions"}),
    (be_of_more_images, {"pca.samples"}),
    (move_the_mean, {"reduced.values"}),
    (remove_the_log_of_the_reduced, {"reduced.schema"}),
    (remove_reduced, {"reduced.files"}),
    (leave_an_older_file, {"reduced.files"}),
    (damage_reduced, {"reduced.readable"}),
    (drop_a_reduced_row, {"reduced.rows", "reduced.paths", "csv.rows", "csv.values"}),
    (repeat_a_reduced_row, {"reduced.rows", "reduced.paths", "csv.rows"}),
    (shorten_the_scores_of_a_row, {"reduced.length", "csv.rows", "csv.values"}),
    (write_infinite_scores, {"reduced.finite", "csv.values"}),
    (rename_an_image_of_the_reduced, {"reduced.paths", "csv.values"}),
    (change_a_score, {"reduced.values", "csv.values"}),
    (swap_two_scores, {"reduced.values", "csv.values"}),
    (remove_the_csv, {"csv.header"}),
    (rename_a_column_of_the_csv, {"csv.header"}),
    (drop_a_row_of_the_csv, {"csv.rows"}),
    (repeat_a_row_of_the_csv, {"csv.rows"}),
    (truncate_the_csv, {"csv.rows"}),
    (change_a_digit_of_the_csv, {"csv.values"}),
]


@pytest.mark.parametrize(("spoil", "names"), SPOILT, ids=lambda v: getattr(v, "__name__", ""))
def test_the_checks_of_what_was_spoilt_fail_and_no_others(dest, spoil, names):
    spoil(dest)
    assert failed(dest) == names


def test_checks_that_mean_nothing_any_more_are_skipped_and_say_why(dest):
    remove_features(dest)
    checks = {one.name: one for one in check(CheckConfig(str(dest))).checks}
    assert (checks["features.readable"].status, checks["features.readable"].note) == (
        "skipped",
        "needs features.files",
    )
    assert checks["features.finite"].note == "needs features.files"
    assert checks["reduced.rows"].note == "needs features.readable"
    assert checks["csv.values"].status == "ok"


def test_everything_that_is_wrong_is_told_at_once(dest):
    hold(dest)
    lose_a_reason(dest)
    stretch_a_component(dest)
    remove_the_csv_of_rejects(dest)
    assert failed(dest) == {"lock", "features.rejects", "pca.unit", "rejects.csv"}


# The source


def add(source):
    (source / "Late").mkdir()
    (source / "Late" / "one.jpg").write_bytes(
        encode(draw(0, 0, SynthConfig(classes=1, per_class=1)), "jpeg")
    )


def change(source):
    next(source.rglob("*.jpg")).write_bytes(b"something else")


def remove(source):
    next(source.rglob("*.jpg")).unlink()


SOURCE = {"source.images": add, "source.versions": change, "source.gone": remove}


@pytest.fixture(scope="module")
def few(spark, tmp_path_factory) -> tuple[Path, Path]:
    """Six pictures and their features, without a PCA."""
    folder = tmp_path_factory.mktemp("few")
    source, dest = folder / "own", folder / "results"
    write(source, SynthConfig(classes=2, per_class=3), workers=1)
    run(offline(source, dest, reduce=False), spark=spark)
    return source, dest


@pytest.fixture
def own(few, tmp_path) -> Iterator[tuple[Path, Path]]:
    """The same to be changed; afterwards the source is what it was, and at its place."""
    source, dest = few
    kept = shutil.copytree(source, tmp_path / "kept")
    yield source, Path(shutil.copytree(dest, tmp_path / "results"))
    shutil.rmtree(source)
    shutil.copytree(kept, source)


@pytest.mark.parametrize("name", SOURCE)
def test_a_source_that_is_not_what_it_was(own, name):
    source, dest = own
    assert failed(dest, source=str(source)) == set()
    SOURCE[name](source)
    assert failed(dest, source=str(source)) == {name}


def test_images_that_a_run_was_not_asked_for_need_no_row(own, spark, tmp_path):
    source, _ = own
    dest = tmp_path / "some"
    label = next(source.iterdir()).name
    run(offline(source, dest, reduce=False, classes=(label,)), spark=spark)
    assert failed(dest, source=str(source), expect_count=3) == set()
    run(offline(source, dest, reduce=False, exclude=(f"{label}/*",)), spark=spark)
    assert failed(dest, source=str(source), expect_count=6) == set()


def test_rows_of_images_that_were_not_listed_are_counted(own, spark):
    source, dest = own
    remove(source)
    run(offline(source, dest, reduce=False), spark=spark)
    assert failed(dest, expect_count=6) == set()
    for wrong in (0, 2):
        edit_json(max((dest / "runs").iterdir()), lambda r, n=wrong: r.update(not_listed=n))
        assert failed(dest) == {"features.count"}


# Runs that ended in another way


def test_a_result_without_a_pca_is_whole_unless_one_was_expected(own):
    _, dest = own
    made = statuses(dest)
    assert {made[name] for name in made if name.startswith(("pca", "reduced", "csv"))} == {
        "skipped"
    }
    assert "failed" not in made.values()
    assert failed(dest, components=4, min_variance=0.5) == {"pca.components", "pca.variance"}


def test_a_pca_of_fewer_images_than_there_are_now(dest, images, spark, tmp_path):
    more = Path(shutil.copytree(images, tmp_path / "more"))
    add(more)
    run(offline(more, dest, reduce=False, max_rejects=ANYTHING), spark=spark)
    assert failed(dest) == {"pca.versions", "pca.samples", "reduced.rows", "reduced.paths"}


# The command


def test_the_command_prints_a_line_for_each_check_and_ends_with_0(sound):
    said = command(sound, "--min-variance", "0.1", "--expect-count", "15")
    assert said.exit_code == 0
    *lines, last = said.stdout.splitlines()
    assert len(lines) == len(statuses(sound))
    assert "ok       pca.shape          4 x 1280 components x features (must be 4 x 1280)" in lines
    assert "skipped  pca.components     it is 4; --components was not given" in lines
    assert last == f"all 37 checks passed, 4 skipped: {sound}"


def test_it_ends_with_1_where_a_check_failed(dest):
    write_nan(dest)
    hold(dest)
    said = command(dest)
    assert said.exit_code == 1
    assert [line.split()[1] for line in said.stdout.splitlines() if line.startswith("failed")] == [
        "lock",
        "features.finite",
    ]
    assert "1 rows with a feature that is no finite number (must be 0)" in said.stdout
    assert said.stdout.splitlines()[-1].startswith("2 of 35 checks failed, 6 skipped")


def test_scripts_get_json(dest):
    remove_the_report(dest)
    said = command(dest, "--json")
    assert said.exit_code == 1
    answer = json.loads(said.stdout)
    assert (answer["ok"], answer["destination"]) == (False, str(dest))
    assert [one for one in answer["checks"] if one["status"] == "failed"] == [
        {
            "name": "report",
            "status": "failed",
            "value": 0,
            "note": "bytes of report.html",
            "bound": "above 0",
        }
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--min-variance", "90"], "--min-variance is 90.0"),
        (["--min-variance", "nan"], "--min-variance is nan"),
        (["--components", "0"], "--components is 0"),
        (["--expect-count", "-1"], "--expect-count is -1"),
        (["--source", "nowhere"], "nowhere does not exist"),
    ],
)
def test_it_ends_with_2_where_an_option_makes_no_sense(sound, options, problem):
    said = command(sound, *options)
    assert (said.exit_code, said.stdout) == (2, "")
    assert problem in said.stderr


def test_it_ends_with_2_where_there_is_no_result(images, tmp_path):
    for place, problem in ((images, "holds no result"), (tmp_path / "none", "does not exist")):
        said = command(place)
        assert (said.exit_code, said.stdout) == (2, "")
        assert problem in said.stderr
        assert "Name the destination of `featuremill run`." in said.stderr


# S3


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.mark.slow
def test_a_result_in_a_bucket(sound, endpoint):
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.create_bucket(Bucket="fruits", CreateBucketConfiguration={"LocationConstraint": REGION})
    for file in sound.rglob("*"):
        if file.is_file():
            key = f"out/{file.relative_to(sound)}"
            client.put_object(Bucket="fruits", Key=key, Body=file.read_bytes())
    assert failed("s3://fruits/out", endpoint_url=endpoint) == set()
    gone = parquet(sound, FEATURES).relative_to(sound)
    client.delete_object(Bucket="fruits", Key=f"out/{gone}")
    assert failed("s3://fruits/out", endpoint_url=endpoint) == {"features.files"}
    said = command("s3://fruits/none", "--endpoint-url", endpoint)
    assert said.exit_code == 2
    assert "holds no result" in said.stderr
    said = command("s3://there-is-none", "--endpoint-url", endpoint)
    assert said.exit_code == 2
    assert "NoSuchBucket" in said.stderr
