"""In whatever form results are exported, its readers find the very numbers of the tables."""

import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image, ImageOps

from featuremill._utils import paths
from featuremill._utils.extras import install_command
from featuremill._utils.progress import Progress
from featuremill.cli import main
from featuremill.dataset.csv_files import write_matrix
from featuremill.dataset.model_files import NETWORK
from featuremill.errors import DestinationError, InputError, ModelError, RunError
from featuremill.export import explore, export
from featuremill.export import results as rows
from featuremill.export.forms import FORMS, huggingface
from featuremill.export.forms.onnx import build
from featuremill.models import registry
from featuremill.models.engines import open_engine, smallest_cosine
from featuremill.pca.components import PCA, Moments
from featuremill.storage import open_store
from outputs import MODEL, everything_in, features, reduced
from stand_in import REGION, s3_server
from without_spark import results_of

K = 12
PYTHON = sys.executable
ODD = 'odd\tname\nof a "picture".jpg'
ON_ITS_SIDE = "on its side.jpg"


@pytest.fixture(scope="module")
def source(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures, one with a name that is no plain text, and one that lies on its side."""
    folder = tmp_path_factory.mktemp("source") / "pictures"
    shutil.copytree(pictures, folder)
    first = next(folder.iterdir())
    picture = next(first.iterdir())
    shutil.copy(picture, first / ODD)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(picture) as image:
        image.save(first / ON_ITS_SIDE, exif=exif, quality=95)
    return folder


@pytest.fixture(scope="module")
def results(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A destination; not to be changed."""
    return Path(results_of(source, tmp_path_factory.mktemp("results") / "results", components=K))


@pytest.fixture(scope="module")
def without_pca(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `run --no-reduce` leaves; not to be changed."""
    return Path(results_of(source, tmp_path_factory.mktemp("results") / "results", components=None))


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    """A destination to be spoilt."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def matrix(column: "pd.Series[Any]") -> np.ndarray:
    return np.stack(list(column))


def by_path(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("path", ignore_index=True)


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def output_of(form: str, folder: Path) -> Path:
    return folder / {"onnx": "model.onnx", "pandas": "table.parquet"}.get(form, form)


# onnx


def as_the_page_says(path: str, size: tuple[int, int]) -> np.ndarray:
    """Pixels by Pillow alone, as docs/export.md tells who has no featuremill."""
    with Image.open(os.fsdecode(paths.decode(path))) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(upright.resize(size[::-1], Image.Resampling.BICUBIC))


def check_against_tables(model: Path, destination: Path, size: tuple[int, int]) -> None:
    """Run images one at a time and seven at a time, and compare with both tables."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    table, scores = features(destination), reduced(destination)
    table = table[table["status"] == "ok"].reset_index(drop=True)
    assert list(table["path"]) == list(scores["path"])
    pixels = np.stack([as_the_page_says(path, size) for path in table["path"]])
    for start, end in ((0, 1), (1, 8), (len(pixels) - 7, len(pixels))):
        found, found_pca = session.run(None, {"pixels": pixels[start:end]})
        expected = matrix(table["features"])[start:end]
        expected_pca = matrix(scores["features_pca"])[start:end]
        assert found.dtype == found_pca.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(found_pca, expected_pca, atol=5e-4)
        assert smallest_cosine(found, expected) >= 0.9999
        assert smallest_cosine(found_pca, expected_pca) >= 0.9999


@pytest.mark.slow
def test_one_onnx_file_goes_from_pixels_to_the_numbers_of_both_tables(results, tmp_path):
    exported = export(results, tmp_path / "model.onnx", to="onnx")
    assert exported.files == {"model.onnx": (tmp_path / "model.onnx").stat().st_size}
    check_against_tables(tmp_path / "model.onnx", results, registry.get(MODEL).input_size)


@pytest.mark.slow
def test_real_weights_and_photographs_keep_their_numbers(shared_data, weights, tmp_path):
    photos = tmp_path / "photos"
    for folder in (shared_data / "photos").iterdir():
        (photos / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:8]:
            shutil.copy(photo, photos / folder.name)
    destination = Path(
        results_of(photos, tmp_path / "results", model="mobilenetv2", weights=weights, components=K)
    )
    exported = export(destination, tmp_path / "model.onnx", to="onnx")
    assert exported.facts["parity"].startswith("cosine at least 1.000000 to this library, over 16")
    check_against_tables(tmp_path / "model.onnx", destination, (224, 224))


def test_the_onnx_model_is_valid_and_asks_for_nothing_new(results, tmp_path):
    export(results, tmp_path / "model.onnx", to="onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    [opset] = model.opset_import
    assert (opset.domain, opset.version, model.ir_version) == ("", 14, 7)
    [pixels] = model.graph.input
    shape = [axis.dim_param or axis.dim_value for axis in pixels.type.tensor_type.shape.dim]
    assert shape == ["N", *registry.get(MODEL).input_size, 3]


def test_the_onnx_model_says_where_it_comes_from(results, tmp_path):
    export(results, tmp_path / "model.onnx", to="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    network = json.loads((results / NETWORK).read_text())
    fitted = json.loads((results / "model" / "pca.json").read_text())
    for name in ("model_id", "weights_sha256", "licence"):
        assert facts[name] == network[name]
    assert facts["trained"] == "true"
    assert facts["run"] == fitted["run"]
    assert json.loads(facts["explained_variance_ratio"]) == fitted["explained_variance_ratio"]
    assert "Image.resize((96, 96), Image.Resampling.BICUBIC)" in facts["input"]
    evidence = json.loads(facts["parity"])
    assert evidence["smallest_cosine"] >= 0.9999
    assert evidence["compared"] == 16
    assert evidence["pictures"] == "images of the source"


def test_a_feature_that_hardly_varies_loses_no_digits():
    network = registry.load(MODEL)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *network.input_size, 3), np.uint8)
    features = open_engine(network, "fp32").embed(pixels)
    d = network.n_features
    largest = int(features[0].argmax())
    scale = np.ones(d)
    scale[largest] = 1e-6
    mean = features[0].astype(np.float64) + 3e-6
    fitted = PCA.fit(Moments.of(np.random.default_rng(1).random((50, d))), n_components=3)
    components = np.zeros((3, d))
    components[range(3), [largest, (largest + 1) % d, (largest + 2) % d]] = 1
    pca = replace(fitted, mean_=mean, scale_=scale, components_=components)
    model = onnxruntime.InferenceSession(build(network, pca, {}))
    found, scores = model.run(None, {"pixels": pixels})
    np.testing.assert_allclose(scores, pca.transform(found), rtol=1e-5, atol=1e-5)


def test_without_its_source_the_onnx_model_is_checked_on_drawn_pictures(copy, tmp_path):
    record = next((copy / "runs").iterdir())
    record.unlink()
    exported = export(copy, tmp_path / "model.onnx", to="onnx")
    assert "16 drawn pictures (the source cannot be read)" in exported.facts["parity"]


def test_an_image_that_has_changed_since_proves_nothing(source, tmp_path):
    moved = tmp_path / "pictures"
    shutil.copytree(source, moved)
    destination = Path(results_of(moved, tmp_path / "results", components=K))
    for path in moved.rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + b"\0")
    exported = export(destination, tmp_path / "model.onnx", to="onnx")
    assert "drawn pictures" in exported.facts["parity"]


def test_an_onnx_model_that_computes_something_else_is_never_written(
    results, tmp_path, monkeypatch
):
    def wrong(network, pca, facts):
        return build(network, replace(pca, components_=pca.components_[::-1].copy()), facts)

    monkeypatch.setattr("featuremill.export.forms.onnx.build", wrong)
    with pytest.raises(RunError, match=r"cosine .* to the library .* must be at least 0\.9999"):
        export(results, tmp_path / "out" / "model.onnx", to="onnx")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(copy, tmp_path):
    network = json.loads((copy / NETWORK).read_text())
    (copy / NETWORK).write_text(json.dumps({**network, "fingerprint": "0" * 64}))
    with pytest.raises(DestinationError, match="holds features of embedded with the weights"):
        export(copy, tmp_path / "model.onnx", to="onnx")
    with pytest.raises(ModelError, match="embedded has weights of its own"):
        export(copy, tmp_path / "model.onnx", to="onnx", weights="other.h5")


# numpy, pandas, huggingface, projector


def test_numpy_maps_the_arrays_into_memory(results, tmp_path):
    exported = export(results, tmp_path / "arrays", to="numpy")
    assert set(exported.files) == {path.name for path in (tmp_path / "arrays").iterdir()}
    loaded = {name: np.load(tmp_path / "arrays" / name, mmap_mode="r") for name in exported.files}
    assert all(isinstance(array, np.memmap) for array in loaded.values())
    order = np.argsort(loaded["paths.npy"])
    table, scores = features(results), reduced(results)
    assert loaded["paths.npy"][order].tolist() == list(table["path"])
    assert loaded["labels.npy"][order].tolist() == list(table["label"])
    np.testing.assert_array_equal(loaded["features.npy"][order], matrix(table["features"]))
    found = loaded["features_pca.npy"][order]
    np.testing.assert_allclose(found, matrix(scores["features_pca"]), atol=1e-5)
    assert found.dtype == np.float32


def test_pandas_reads_a_column_for_each_number(results, tmp_path):
    export(results, tmp_path / "table.parquet", to="pandas")
    wide = by_path(pd.read_parquet(tmp_path / "table.parquet"))
    table, scores = features(results), reduced(results)
    pd.testing.assert_frame_equal(
        wide[["path", "label", "width", "height"]], table[["path", "label", "width", "height"]]
    )
    numbers = wide[[f"feature_{number}" for number in range(1, 1281)]]
    np.testing.assert_array_equal(numbers, matrix(table["features"]))
    components = wide[[f"pc_{number}" for number in range(1, K + 1)]]
    np.testing.assert_allclose(components, matrix(scores["features_pca"]), atol=1e-5)
    assert len(wide.columns) == 4 + K + 1280
    assert set(wide.dtypes[4:]) == {np.dtype(np.float32)}


def test_a_hugging_face_data_set_knows_its_columns(results, tmp_path):
    export(results, tmp_path / "set", to="huggingface")
    [file] = (tmp_path / "set" / "data").iterdir()
    assert file.name == "train-00000-of-00001.parquet"
    table, scores = features(results), reduced(results)
    known = json.loads(pq.read_schema(file).metadata[b"huggingface"])["info"]["features"]
    classes = known["label"]["names"]
    assert known["label"]["_type"] == "ClassLabel"
    assert classes == sorted(set(table["label"]))
    for name, length in (("features", 1280), ("features_pca", K)):
        number = {"dtype": "float32", "_type": "Value"}
        assert known[name] == {"feature": number, "length": length, "_type": "Sequence"}
    read = by_path(pd.read_parquet(file))
    assert list(read.columns) == list(known)
    assert [classes[index] for index in read["label"]] == list(table["label"])
    np.testing.assert_array_equal(matrix(read["features"]), matrix(table["features"]))
    expected = matrix(scores["features_pca"])
    np.testing.assert_allclose(matrix(read["features_pca"]), expected, atol=1e-5)


def test_the_card_of_a_data_set_says_which_files_are_its_own(results, tmp_path):
    export(results, tmp_path / "set", to="huggingface")
    _, header, text = (tmp_path / "set" / "README.md").read_text().split("---\n")
    card = yaml.safe_load(header)
    [config] = card["configs"]
    assert config["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert card["size_categories"] == ["n<1K"]
    assert "62 images of 4 classes" in text
    assert json.loads((results / NETWORK).read_text())["weights_sha256"] in text


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Files of a data set are cut after 20 images."""
    monkeypatch.setattr(huggingface, "BLOCK", 10)
    monkeypatch.setattr(huggingface, "_FILE_BYTES", 4 * (1280 + K) * 25)
    return monkeypatch


def test_a_large_data_set_is_cut_into_files_and_no_old_one_stays(results, tmp_path, small_files):
    def files() -> list[str]:
        return sorted(path.name for path in (tmp_path / "set" / "data").iterdir())

    export(results, tmp_path / "set", to="huggingface")
    assert files() == [f"train-0000{number}-of-00004.parquet" for number in range(4)]
    parts = [pq.read_table(tmp_path / "set" / "data" / name) for name in files()]
    assert [len(part) for part in parts] == [20, 20, 20, 2]
    assert set(pa.concat_tables(parts)["path"].to_pylist()) == set(features(results)["path"])
    small_files.undo()
    export(results, tmp_path / "set", to="huggingface", overwrite=True)
    assert files() == ["train-00000-of-00001.parquet"]


def test_the_projector_gets_a_line_for_each_image_whatever_its_name(results, tmp_path):
    export(results, tmp_path / "logs", to="projector")
    numbers = np.loadtxt(tmp_path / "logs" / "tensors.tsv", delimiter="\t", dtype=np.float32)
    header, *lines = (tmp_path / "logs" / "metadata.tsv").read_text().split("\n")[:-1]
    assert header == "label\tpath"
    labels, paths = zip(*(line.split("\t") for line in lines), strict=True)
    assert any(path.endswith('odd%09name%0Aof a "picture".jpg') for path in paths)
    order = np.argsort(paths)
    scores = reduced(results)
    assert [paths[index] for index in order] == list(scores["path"])
    assert [labels[index] for index in order] == list(scores["label"])
    np.testing.assert_array_equal(numbers[order], matrix(scores["features_pca"]))


def test_text_that_came_into_the_table_otherwise_cannot_break_a_line(copy, tmp_path):
    [file] = (copy / "reduced").glob("*.parquet")
    table = pq.read_table(file)
    label = pa.array(["a\tb\r\nc"] * len(table))
    pq.write_table(table.set_column(1, "label", label), file)
    export(copy, tmp_path / "logs", to="projector")
    lines = (tmp_path / "logs" / "metadata.tsv").read_bytes().split(b"\n")[1:-1]
    assert {line.split(b"\t")[0] for line in lines} == {b"a%09b%0D%0Ac"}
    assert {line.count(b"\t") for line in lines} == {1}


def test_the_projectors_configuration_names_both_files(results, tmp_path):
    export(results, tmp_path / "logs", to="projector")
    config = (tmp_path / "logs" / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "tensors.tsv"' in config
    assert 'metadata_path: "metadata.tsv"' in config


def test_rows_come_in_blocks_of_one_size_and_none_twice(results):
    opened = rows.open_results(open_store(results))
    blocks = list(opened.rows(block=9))
    assert [len(block.path) for block in blocks] == [9, 9, 9, 9, 9, 9, 8]
    paths = [path for block in blocks for path in block.path.to_pylist()]
    assert sorted(paths) == list(features(results)["path"])
    assert len(opened.survey().labels) == 4


# What is refused


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_written_over_unless_asked(form, results, tmp_path):
    output = output_of(form, tmp_path)
    export(results, output, to=form)
    before = everything_in(output)
    with pytest.raises(DestinationError, match="is there already") as refused:
        export(results, output, to=form)
    assert "--overwrite" in refused.value.remedy
    assert everything_in(output) == before
    again = export(results, output, to=form, overwrite=True)
    assert again.files


def test_files_of_others_in_the_same_folder_stay(results, tmp_path):
    (tmp_path / "features.txt").write_text("mine")
    export(results, tmp_path, to="numpy", overwrite=True)
    assert (tmp_path / "features.txt").read_text() == "mine"


@pytest.mark.parametrize("form", ["onnx", "projector"])
def test_a_form_that_needs_a_pca_says_so(form, without_pca, tmp_path):
    output = output_of(form, tmp_path)
    with pytest.raises(DestinationError, match="has no PCA") as refused:
        export(without_pca, output, to=form)
    assert "without --no-reduce" in refused.value.remedy
    assert not output.exists()


def test_features_are_exported_without_a_pca_too(without_pca, tmp_path):
    arrays = export(without_pca, tmp_path / "arrays", to="numpy")
    assert set(arrays.files) == {"features.npy", "paths.npy", "labels.npy"}
    export(without_pca, tmp_path / "table.parquet", to="pandas")
    assert pq.read_schema(tmp_path / "table.parquet").names[4] == "feature_1"
    columns = export(without_pca, tmp_path / "set", to="huggingface").facts["columns"]
    assert columns == "path, label, width, height, features"


def test_a_pca_of_another_model_is_refused(copy, tmp_path):
    network = json.loads((copy / NETWORK).read_text())
    (copy / NETWORK).write_text(json.dumps({**network, "model_id": "0123456789abcdef"}))
    with pytest.raises(DestinationError, match="the features are of 0123456789abcdef"):
        export(copy, tmp_path / "arrays", to="numpy")


def test_a_table_of_another_pca_is_refused(copy, tmp_path):
    [file] = (copy / "reduced").glob("*.parquet")
    table = pq.read_table(file)
    shorter = pa.array([row[:5] for row in table["features_pca"].to_pylist()])
    pq.write_table(table.set_column(2, "features_pca", shorter), file)
    with pytest.raises(DestinationError, match="has 5 components, the PCA has 12"):
        export(copy, tmp_path / "logs", to="projector")
    assert not any((tmp_path / "logs").iterdir())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"to": "excel"}, "--to is 'excel'"),
        ({"to": "numpy", "weights": "w.h5"}, "--weights is w.h5, but --to numpy needs none"),
        ({"destination": "nowhere"}, "holds no features"),
        ({"to": "onnx", "output": "."}, "is a folder"),
        ({"to": "onnx", "output": "s3://bucket"}, "names no file"),
        ({"output": __file__}, "is a file"),
        ({"output": "{results}/features/new"}, "lies in the results"),
        ({"to": "pandas", "output": "{results}/images.parquet"}, "lies in the results"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, problem, results, tmp_path):
    before = everything_in(results)
    asked = {"destination": results, "output": tmp_path / "out", "to": "numpy", **arguments}
    asked["output"] = str(asked["output"]).format(results=results)
    with pytest.raises(InputError, match=problem):
        export(asked.pop("destination"), asked.pop("output"), **asked)
    assert everything_in(results) == before
    assert not (tmp_path / "out").exists()


def test_an_export_that_breaks_off_leaves_no_file(small_files, results, tmp_path):
    class Interrupting(Progress):
        def advance(self, done: int, total: int | None) -> None:
            if done == 50:
                assert len(list(tmp_path.rglob("train-*"))) == 2
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(results, tmp_path / "set", to="huggingface", progress=Interrupting())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# On S3, and on the command line


@pytest.mark.slow
def test_a_bucket_serves_at_both_ends(results, tmp_path):
    with s3_server() as endpoint:
        bucket = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
        place = {"LocationConstraint": REGION}
        bucket.create_bucket(Bucket="fruits", CreateBucketConfiguration=place)
        for path in filter(Path.is_file, results.rglob("*")):
            key = f"results/{path.relative_to(results).as_posix()}"
            bucket.upload_file(str(path), "fruits", key)
        options = {"endpoint_url": endpoint, "region": REGION}
        exported = export("s3://fruits/results", "s3://fruits/m/a.onnx", to="onnx", **options)
        assert exported.url == "s3://fruits/m/a.onnx"
        export("s3://fruits/results", "s3://fruits/arrays", to="numpy", **options)
        for key in ("m/a.onnx", "arrays/features.npy", "arrays/paths.npy"):
            bucket.download_file("fruits", key, str(tmp_path / Path(key).name))
        with pytest.raises(DestinationError, match=r"s3://fruits/arrays/features\.npy is there"):
            export("s3://fruits/results", "s3://fruits/arrays", to="numpy", **options)
    check_against_tables(tmp_path / "a.onnx", results, registry.get(MODEL).input_size)
    order = np.argsort(np.load(tmp_path / "paths.npy"))
    found = np.load(tmp_path / "features.npy")[order]
    np.testing.assert_array_equal(found, matrix(features(results)["features"]))


def test_the_command_says_what_it_wrote(results, tmp_path):
    shown = command("export", results, "--to", "onnx", "-o", tmp_path / "model.onnx")
    assert shown.exit_code == 0, shown.output
    assert "input     pixels: uint8 (n, 96, 96, 3), RGB" in shown.stdout
    assert f"features_pca: float32 (n, {K})" in shown.stdout
    assert "parity    cosine at least 1.000000 to this library, over 16 images" in shown.stdout
    assert f"written   {tmp_path / 'model.onnx'} (10." in shown.stdout
    again = command("export", results, "--to", "onnx", "-o", tmp_path / "model.onnx")
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_the_code_on_the_page_runs(results, source, tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "export.md").read_text()
    monkeypatch.chdir(tmp_path)
    shutil.copytree(results, "results")
    write_matrix(open_store("results"), K)
    shutil.copy(next(source.rglob("*.jpg")), "apple.jpg")
    for line in re.findall(r"^featuremill (export .*)$", page, re.MULTILINE):
        if "s3://" not in line:
            assert command(*shlex.split(line)).exit_code == 0, line
    ran = 0
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        if "datasets" not in block or importlib.util.find_spec("datasets"):
            exec(block, {})
            ran += 1
    assert ran >= 3


# explore


@pytest.fixture
def atlas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """A stand-in for Embedding Atlas that keeps what it is given, and ends as it is told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    kept = tmp_path / "kept"

    def install(exit_code: int = 0) -> Path:
        program = programs / explore.PROGRAM
        program.write_text(
            f"#!{PYTHON}\n"
            "import json, pathlib, shutil, sys\n"
            f"kept = pathlib.Path({str(kept)!r})\n"
            "shutil.copytree(pathlib.Path(sys.argv[1]).parent, kept)\n"
            "(kept / 'arguments.json').write_text(json.dumps(sys.argv[1:]))\n"
            f"sys.exit({exit_code})\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return kept

    return install


def test_atlas_is_given_every_image_with_its_picture_and_its_place(atlas, results):
    kept = atlas()
    shown = command("explore", results)
    assert shown.exit_code == 0, shown.output
    data, *options = json.loads((kept / "arguments.json").read_text())
    assert not Path(data).exists()
    told = dict(zip(options[::2], options[1::2], strict=True))
    assert told.pop("--labels") == str(Path(data).with_name("labels.parquet"))
    assert told == {"--x": "pc_1", "--y": "pc_2", "--text": "path", "--image": "picture"}
    given = by_path(pd.read_parquet(kept / "images.parquet"))
    scores = reduced(results)
    assert list(given.columns) == ["picture", "label", "path", "pc_1", "pc_2", "pc_3"]
    assert list(given["path"]) == list(scores["path"])
    axes = given[["pc_1", "pc_2", "pc_3"]]
    np.testing.assert_array_equal(axes, matrix(scores["features_pca"])[:, :3])
    for picture in given["picture"]:
        with Image.open(io.BytesIO(picture["bytes"])) as image:
            assert max(image.size) <= 96
        assert picture["path"].endswith(".jpg")
    places = pd.read_parquet(kept / "labels.parquet").set_index("text").sort_index()
    means = given.groupby("label")[["pc_1", "pc_2"]].mean()
    np.testing.assert_allclose(places[["x", "y"]], means, rtol=1e-5)


def test_of_many_images_some_have_a_picture(atlas, results, monkeypatch):
    kept = atlas()
    monkeypatch.setattr(explore, "MOST_PICTURES", 31)
    assert command("explore", results).exit_code == 0
    assert pd.read_parquet(kept / "images.parquet")["picture"].notna().sum() == 31


def test_atlas_shows_no_picture_of_an_image_that_has_changed_since(atlas, results):
    kept = atlas()
    path = features(results)["path"][0]
    image = Path(os.fsdecode(paths.decode(path)))
    before = image.stat()
    os.utime(image, (1, 1))
    try:
        assert command("explore", results).exit_code == 0
    finally:
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    given = pd.read_parquet(kept / "images.parquet").set_index("path")["picture"]
    assert list(given.index[given.isna()]) == [path]


def test_without_its_source_atlas_shows_points_alone(atlas, copy):
    kept = atlas()
    next((copy / "runs").iterdir()).unlink()
    shown = command("explore", copy)
    assert "no thumbnails: the source of the images cannot be read" in shown.stderr
    assert "--image" not in json.loads((kept / "arguments.json").read_text())


def test_where_atlas_is_missing_the_command_says_how_to_install_it(atlas, results):
    shown = command("explore", results)
    assert shown.exit_code == 2
    assert "Embedding Atlas is not installed" in shown.stderr
    assert f"Install the extra 'explore': {install_command('explore')}, or" in shown.stderr


def test_a_failure_of_atlas_is_a_failure_of_the_command(atlas, results):
    atlas(7)
    shown = command("explore", results)
    assert shown.exit_code == 1
    assert "Embedding Atlas ended with exit code 7" in shown.stderr


def test_the_map_needs_a_pca(atlas, without_pca):
    kept = atlas()
    shown = command("explore", without_pca)
    assert shown.exit_code == 2
    assert "has no PCA" in shown.stderr
    assert not kept.exists()
