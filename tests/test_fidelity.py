"""The numbers are those of Keras, scikit-learn and MLlib: real weights, real photographs."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featuremill.images import decode
from featuremill.images.decode import Limits
from featuremill.models import registry
from featuremill.models.engines import native_bf16, open_engine, smallest_cosine
from featuremill.workflows.run.pipeline import RunResult, run
from outputs import features, offline, reduced

pytestmark = pytest.mark.slow

K = 10
EMBEDDED = {"model": "embedded", "weights": None, "reduce": False}

needs_bf16 = pytest.mark.skipif(not native_bf16(), reason="this CPU does not compute bf16")


@pytest.fixture(scope="module")
def keras(shared_data) -> dict[str, np.ndarray]:
    """Features of every photograph as Keras computes them in float32."""
    reference = np.load(shared_data / "reference" / "keras_features.npz")
    rows = zip(reference["path"], reference["features"], strict=True)
    return {str(path): row for path, row in rows if path.startswith("photos/")}


@pytest.fixture(scope="module")
def run_at(spark, shared_data, weights, tmp_path_factory) -> Callable[..., RunResult]:
    def run_at(precision: str, **options) -> RunResult:
        dest = tmp_path_factory.mktemp(precision) / "results"
        real = {"model": "mobilenetv2", "weights": weights, "precision": precision}
        return run(offline(shared_data / "photos", dest, **real | options), spark=spark)

    return run_at


@pytest.fixture(scope="module")
def fp32(run_at) -> RunResult:
    return run_at("fp32", n_components=K)


@pytest.fixture(scope="module")
def stored(fp32) -> np.ndarray:
    """The features that the run in fp32 left, as float64, by path."""
    return np.stack(features(Path(fp32.destination)).features).astype(np.float64)


@pytest.fixture(scope="module")
def scores(fp32) -> np.ndarray:
    """The scores that the run in fp32 left, by path."""
    return np.stack(reduced(Path(fp32.destination)).features_pca)


def cosines(result: RunResult, keras: dict[str, np.ndarray], shared_data: Path) -> np.ndarray:
    """Cosine to Keras of every photograph."""
    rows = features(Path(result.destination))
    expected = np.stack([keras[os.path.relpath(path, shared_data)] for path in rows.path])
    found = np.stack(rows.features)
    assert found.shape == (len(keras), 1280)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / norms


def aligned(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Columns turned to the direction of the expected ones, since a component has no sign."""
    return found * np.sign((found * expected).sum(axis=0))


# Features


def test_fp32_is_keras(fp32, keras, shared_data):
    assert len(keras) == 100
    assert cosines(fp32, keras, shared_data).min() >= 0.9999


def test_auto_keeps_its_promise_for_every_photograph(run_at, keras, shared_data, monkeypatch):
    monkeypatch.setattr(
        "featuremill.workflows.run.probe._WORTHWHILE", 0
    )  # whatever else this machine does
    result = run_at("auto", reduce=False)
    assert result.record.warnings == []
    assert cosines(result, keras, shared_data).min() >= 0.999
    assert result.record.precision == {"mixed" if native_bf16() else "fp32": 100}


def test_auto_keeps_its_promise_for_the_embedded_network_too(run_at):
    results = [run_at(precision, **EMBEDDED) for precision in ("auto", "fp32")]
    assert results[0].record.warnings == []
    ours, exact = (np.stack(features(Path(each.destination)).features) for each in results)
    assert len(ours) == 100
    assert smallest_cosine(ours, exact) >= 0.999


@needs_bf16
def test_bf16_is_measured_on_the_first_photographs_and_said(run_at, fp32):
    result = run_at("bf16", reduce=False)
    assert result.record.precision == {"bf16": 100}
    parity = result.record.parity
    assert parity is not None
    assert parity["precision"] == "bf16"
    rough, exact = (
        np.stack(features(Path(each.destination)).features[: parity["compared"]])
        for each in (result, fp32)
    )
    assert parity["smallest_cosine"] == pytest.approx(smallest_cosine(rough, exact), abs=1e-6)
    assert 0.9 < parity["smallest_cosine"] < 0.999


# Large JPEGs, decoded smaller where that changes nothing

LARGE = 1_800
"""Just above the edge from which the network's pixels can come from a JPEG decoded at 1/2."""


def stripes(period: float, contrast: float = 110, share: float = 1.0) -> np.ndarray:
    """Stripes on the left share of a picture; the rest is smooth."""
    y, x = np.mgrid[:LARGE, :LARGE]
    fine = 128 + contrast * np.sin(2 * np.pi * x / period)
    smooth = 128 + 60 * np.sin(x / 150) + 60 * np.cos(y / 210)
    return np.where(x < share * LARGE, fine, smooth)


def oblique(period: float) -> np.ndarray:
    y, x = np.mgrid[:LARGE, :LARGE]
    return 128 + 100 * np.sin(2 * np.pi * (x + y) / period / np.sqrt(2))


def mesh(period: float) -> np.ndarray:
    y, x = np.mgrid[:LARGE, :LARGE]
    return np.where((y % period < 1) | (x % period < 1), 240, 20)


def weave(period: float) -> np.ndarray:
    y, x = np.mgrid[:LARGE, :LARGE] / period
    over = (x.astype(int) + y.astype(int)) % 2
    return 128 + 90 * np.sin(2 * np.pi * np.where(over, x, y))


def faint(contrast: float) -> np.ndarray:
    y, x = np.mgrid[:LARGE, :LARGE]
    return 128 + contrast * (np.sin(x / 150) + np.cos(y / 210))


TEXTURES = {
    "fine stripes": stripes(1 / 0.49),
    "finer ones": stripes(1 / 0.47),
    "stripes of four pixels": stripes(1 / 0.252),
    "a third of stripes": stripes(1 / 0.252, contrast=15, share=0.35),
    "oblique stripes": oblique(1 / 0.13),
    "mesh": mesh(8.1),
    "cloth": weave(2.05),
    "coarse cloth": weave(6.3),
    "fog": faint(2),
}


def as_jpeg(gray: np.ndarray) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.clip(gray, 0, 255).astype(np.uint8)).convert("RGB")
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.mark.parametrize("texture", TEXTURES)
def test_the_worst_textures_keep_the_promise_of_auto(weights, texture):
    engine = open_engine(registry.load("mobilenetv2", Path(weights)), "fp32")
    jpeg = as_jpeg(TEXTURES[texture])
    smaller, exact = (
        engine.embed(decode.resize(decode.decode(jpeg, Limits(), target).pixels, (224, 224))[None])
        for target in ((224, 224), None)
    )
    assert smallest_cosine(smaller, exact) >= 0.999


def test_a_texture_behind_small_pictures_keeps_it_too(spark, weights, pictures, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(pictures, source / "first")
    (source / "last").mkdir()
    (source / "last" / "texture.jpg").write_bytes(as_jpeg(TEXTURES["finer ones"]))
    rows = [
        features(Path(run(config, spark=spark).destination)).set_index("label").features["last"]
        for config in (
            offline(
                source,
                tmp_path / precision,
                model="mobilenetv2",
                weights=weights,
                reduce=False,
                precision=precision,
            )
            for precision in ("auto", "fp32")
        )
    ]
    assert smallest_cosine(rows[0][None], rows[1][None]) >= 0.999


# PCA


def test_the_pca_is_that_of_scikit_learn(fp32, stored):
    from sklearn.decomposition import PCA

    spread = stored.std(axis=0, ddof=1)
    standardised = (stored - stored.mean(axis=0)) / np.where(spread > 0, spread, 1)
    expected = PCA(svd_solver="full").fit(standardised)

    found = fp32.pca
    assert found is not None
    ratio = expected.explained_variance_ratio_
    np.testing.assert_allclose(found.explained_variance_ratio_, ratio[:K], rtol=1e-8)
    np.testing.assert_allclose(found.spectrum_, ratio[: len(found.spectrum_)], rtol=1e-8)
    # eigenvectors are determined only as far as their eigenvalues differ from the next ones
    gaps = -np.diff(ratio[: K + 1]) / ratio[0]
    assert gaps.min() > 1e-6
    components = aligned(found.components_.T, expected.components_[:K].T)
    np.testing.assert_allclose(components, expected.components_[:K].T, rtol=0, atol=1e-6)


@pytest.mark.long
def test_the_scores_are_those_of_mllib(spark, stored, scores):
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import PCA, StandardScaler
    from pyspark.ml.linalg import Vectors

    rows = [(number, Vectors.dense(row)) for number, row in enumerate(stored)]
    frame = spark.createDataFrame(rows, ["number", "features"])
    scaler = StandardScaler(
        inputCol="features", outputCol="standardised", withMean=True, withStd=True
    )
    usual = Pipeline(stages=[scaler, PCA(k=K, inputCol="standardised", outputCol="pca")])
    projected = usual.fit(frame).transform(frame).select("number", "pca").collect()
    expected = np.stack([row["pca"].toArray() for row in sorted(projected)])

    np.testing.assert_allclose(aligned(scores, expected), expected, rtol=0, atol=1e-4)
