"""Moments merge like sets of rows, and the PCA agrees with scikit-learn's full SVD."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition

from featuremill.errors import ConfigError, InputError, RunError
from featuremill.pca import moments as moments_module
from featuremill.pca.components import PCA, Moments, components_needed

GAP = 1e-6  # components are only determined where neighbouring eigenvalues differ by more


def correlated(n, d, seed=0, rank=None, dtype=np.float64):
    """Rows with a decaying spectrum, neither centred nor of equal scale."""
    rng = np.random.default_rng(seed)
    rank = rank or d
    latent = rng.normal(size=(n, rank)) * 0.8 ** np.arange(rank)
    rows = latent @ rng.normal(size=(rank, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d)
    return rows.astype(dtype)


def standardised(rows):
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    std = centred.std(axis=0, ddof=1)
    return centred / np.where(std > 0, std, 1)


def fit(rows, **options):
    return PCA.fit(Moments.of(rows), **options)


def assert_same_moments(left, right):
    assert left.n == right.n
    scale = np.sqrt(np.maximum(right.scatter.diagonal() / max(right.n, 1), 1e-300))
    np.testing.assert_allclose((left.mean - right.mean) / scale, 0, atol=1e-9)
    bound = np.outer(scale, scale) * max(right.n, 1)
    np.testing.assert_allclose((left.scatter - right.scatter) / bound, 0, atol=1e-9)


def determined(values):
    """Which components the spectrum determines: those apart from both neighbours."""
    gaps = -np.diff(np.append(values, 0)) / values[0]
    return np.minimum(gaps, np.append(np.inf, gaps[:-1])) > GAP


shapes = st.tuples(st.integers(2, 60), st.integers(1, 24), st.integers(0, 2**16))


# Moments


@given(shapes)
@settings(max_examples=30, deadline=None)
def test_moments_are_count_mean_and_scatter(shape):
    rows = correlated(*shape)
    moments = Moments.of(rows)
    centred = rows - rows.mean(axis=0)
    assert_same_moments(moments, Moments(len(rows), rows.mean(axis=0), centred.T @ centred))
    np.testing.assert_allclose(moments.variance(), rows.var(axis=0, ddof=1), rtol=1e-9)


@given(shapes, st.lists(st.integers(0, 60), max_size=5), st.randoms())
@settings(max_examples=40, deadline=None)
def test_merging_any_partition_in_any_order_gives_the_same(shape, cuts, random):
    rows = correlated(*shape)
    parts = [Moments.of(part) for part in np.split(rows, sorted(min(c, len(rows)) for c in cuts))]
    while len(parts) > 1:
        left, right = (parts.pop(random.randrange(len(parts))) for _ in range(2))
        parts.append(left.merge(right))
    assert_same_moments(parts[0], Moments.of(rows))


def test_empty_moments_are_neutral():
    moments = Moments.of(correlated(9, 3))
    assert Moments.empty(3).merge(moments) is moments
    assert moments.merge(Moments.empty(3)) is moments
    assert Moments.of(np.empty((0, 3))).n == 0


def test_block_size_does_not_matter(monkeypatch):
    rows = correlated(500, 7, dtype=np.float32)
    whole, projected = Moments.of(rows), fit(rows).transform(rows)
    monkeypatch.setattr(moments_module, "BLOCK_BYTES", 8 * 7 * 13)
    assert_same_moments(Moments.of(rows), whole)
    np.testing.assert_allclose(fit(rows).transform(rows), projected, atol=1e-9)


def test_float32_input_is_summed_in_float64():
    rows = correlated(300, 5, dtype=np.float32)
    single, double = Moments.of(rows), Moments.of(rows.astype(np.float64))
    assert single.scatter.dtype == np.float64
    np.testing.assert_array_equal(single.scatter, double.scatter)
    np.testing.assert_array_equal(single.mean, double.mean)


def test_a_mean_a_billion_deviations_away_costs_no_digits():
    noise = np.random.default_rng(0).normal(size=(1000, 4)) * 1e-3
    rows = 1e6 + noise
    parts = [Moments.of(part) for part in np.split(rows, [100, 550])]
    merged = parts[2].merge(parts[0]).merge(parts[1])
    np.testing.assert_allclose(merged.variance(), rows.var(axis=0, ddof=1), rtol=1e-7)


@given(shapes, st.sampled_from([np.float32, np.float64]))
@settings(max_examples=20, deadline=None)
def test_moments_survive_bytes_exactly(shape, dtype):
    rows = correlated(*shape, dtype=dtype)
    moments = Moments.of(rows[:1]).merge(Moments.of(rows[1:]))
    data = moments.to_bytes()
    again = Moments.from_bytes(data)
    assert again.n == moments.n
    np.testing.assert_array_equal(again.mean, moments.mean)
    np.testing.assert_array_equal(again.scatter, moments.scatter)
    assert len(data) == 16 + 8 * moments.d + 4 * moments.d * (moments.d + 1)


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_truncated_bytes_are_refused(cut):
    data = Moments.of(correlated(5, 3)).to_bytes()
    with pytest.raises(RunError, match="bytes"):
        Moments.from_bytes(data[:cut])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(bad, monkeypatch):
    monkeypatch.setattr(moments_module, "BLOCK_BYTES", 1)
    rows = correlated(12, 3, dtype=np.float32)
    rows[7, 2] = bad
    with pytest.raises(RunError, match=f"Feature 2 of row 7 is {bad}"):
        Moments.of(rows)
    with pytest.raises(RunError, match=f"Feature 2 of row 7 is {bad}"):
        fit(correlated(12, 3)).transform(rows)


def test_overflow_and_wrong_shapes_are_refused():
    with pytest.raises(RunError, match="too large"):
        Moments.of(np.array([[1e200], [-1e200]]))
    with pytest.raises(RunError, match=r"shape \(3,\)"):
        Moments.of(np.ones(3))
    with pytest.raises(RunError, match="3 and of 4"):
        Moments.empty(3).merge(Moments.empty(4))
    with pytest.raises(RunError, match="4 features, but this PCA was fitted for 3"):
        fit(correlated(9, 3)).transform(correlated(9, 4))


# PCA


def assert_agrees_with_scikit_learn(pca, rows):
    """Compare with a full SVD of `rows`, up to sign, wherever the spectrum decides."""
    reference = decomposition.PCA(svd_solver="full").fit(rows)
    k = pca.n_components_
    np.testing.assert_allclose(
        pca.explained_variance_ratio_, reference.explained_variance_ratio_[:k], atol=1e-8
    )
    np.testing.assert_allclose(
        pca.explained_variance_, reference.explained_variance_[:k], atol=1e-8 * rows.var(0).sum()
    )
    apart = determined(reference.explained_variance_)[:k]
    found, expected = pca.components_[apart], reference.components_[:k][apart]
    signs = np.sign((found * expected).sum(axis=1))
    np.testing.assert_allclose(found, expected * signs[:, np.newaxis], atol=1e-6)


@given(shapes)
@settings(max_examples=40, deadline=None)
def test_standardised_it_agrees_with_scikit_learn(shape):
    rows = correlated(*shape)
    assert_agrees_with_scikit_learn(fit(rows), standardised(rows))


@given(shapes)
@settings(max_examples=20, deadline=None)
def test_not_standardised_it_agrees_with_scikit_learn(shape):
    rows = correlated(*shape)
    pca = fit(rows, standardize=False)
    assert_agrees_with_scikit_learn(pca, rows)
    assert (pca.scale_ == 1).all()


def test_transform_agrees_with_scikit_learn_signs_included():
    rows = correlated(200, 12, seed=3)
    reference = decomposition.PCA(n_components=5, svd_solver="full").fit(standardised(rows))
    expected = reference.transform(standardised(rows))
    np.testing.assert_allclose(fit(rows, n_components=5).transform(rows), expected, atol=1e-9)


@given(shapes)
@settings(max_examples=20, deadline=None)
def test_components_are_orthonormal_and_scores_uncorrelated(shape):
    rows = correlated(*shape)
    pca = fit(rows)
    k = pca.n_components_
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(k), atol=1e-9)
    covariance = np.atleast_2d(np.cov(pca.transform(rows), rowvar=False))
    bound = pca.explained_variance_[0]
    np.testing.assert_allclose(
        covariance / bound, np.diag(pca.explained_variance_) / bound, atol=1e-8
    )


def test_every_component_kept_the_features_come_back():
    rows = correlated(50, 8)
    pca = fit(rows)
    np.testing.assert_allclose(pca.inverse_transform(pca.transform(rows)), rows, atol=1e-9)


def test_means_of_a_million_and_deviations_of_a_thousandth():
    rows = 1e6 + 1e-3 * standardised(correlated(400, 6))
    assert_agrees_with_scikit_learn(fit(rows), standardised(rows))
    np.testing.assert_allclose(fit(rows).transform(rows).mean(axis=0), 0, atol=1e-6)


def test_scales_a_trillion_apart_do_not_matter_when_standardised():
    rows = correlated(100, 6)
    scaled = rows * np.array([1e-6, 1e6, 1, 1e-3, 1e3, 1])
    np.testing.assert_allclose(fit(scaled).transform(scaled), fit(rows).transform(rows), atol=1e-8)


def test_constant_features_stay_zero():
    rows = correlated(400, 6)
    with_constants = np.insert(rows, [0, 3], [0.1, 0.0], axis=1)
    moments = Moments.of(with_constants[:123]).merge(Moments.of(with_constants[123:]))
    pca = PCA.fit(moments)
    assert (pca.scale_[[0, 4]] == 1).all()
    assert (pca.components_[:, [0, 4]] == 0).all()
    assert_agrees_with_scikit_learn(pca, standardised(with_constants))


def fired_once(at, rows=400):
    """Correlated rows, with a feature that fired for one of them alone."""
    fired = np.zeros(rows)
    fired[7] = at
    return np.column_stack([np.abs(correlated(rows, 6)), fired])


@pytest.mark.parametrize("at", [1e-3, 1e-6, 1e-41, 1e-140])
def test_a_feature_that_hardly_fired_makes_no_score_explode(at):
    pca, new = fit(fired_once(at)), fired_once(0.5)
    largest = np.abs(pca.transform(fired_once(at))).max()
    assert np.abs(pca.transform(new)).max() < 10 * largest
    others = np.abs(correlated(400, 6)).std(axis=0, ddof=1)
    np.testing.assert_allclose(pca.scale_[:-1], others)
    assert pca.scale_[-1] == pytest.approx(np.median(others) / 100)


@pytest.mark.parametrize("small", [1e-9, 1.0])
def test_a_feature_that_is_not_rare_is_scaled_as_by_scikit_learn(small):
    rows = fired_once(1.0)
    rows[:100, -1] = np.linspace(0.5, 1, 100)  # a quarter of the images, however weakly
    rows[:, -1] *= small
    assert_agrees_with_scikit_learn(fit(rows), standardised(rows))
    once = fired_once(1.0)  # or one image alone, but as strongly as the other features
    assert_agrees_with_scikit_learn(fit(once), standardised(once))


def test_a_feature_of_both_signs_keeps_its_scale_however_small():
    rows = np.column_stack([correlated(400, 6), np.resize([1e-9, -1e-9], 400)])
    assert_agrees_with_scikit_learn(fit(rows), standardised(rows))


def test_not_standardised_there_is_no_floor():
    assert (fit(fired_once(1e-6), standardize=False).scale_ == 1).all()


@pytest.mark.parametrize("seed", range(12))
def test_scores_of_other_contours_do_not_explode(seed, shared_data):
    """Real features of 180 contours, the PCA fitted to a random half of them."""
    held = np.load(shared_data / "reference" / "keras_features.npz")
    contours = np.char.startswith(held["path"], "shapes")
    rows = np.random.default_rng(seed).permutation(held["features"][contours])
    pca = fit(rows[:90], n_components=50)
    largest = np.abs(pca.transform(rows[:90])).max()
    assert np.abs(pca.transform(rows[90:])).max() < 10 * largest
    kept = pca.scale_ == np.where(rows[:90].std(axis=0) > 0, Moments.of(rows[:90]).scale(), 1)
    assert kept.all()


def test_two_rows_have_one_component():
    rows = np.array([[1.0, 5.0, 3.0], [2.0, 1.0, 3.0]])
    pca = fit(rows)
    np.testing.assert_allclose(pca.spectrum_, [1.0])
    np.testing.assert_allclose(pca.components_, [[0.5**0.5, -(0.5**0.5), 0]], atol=1e-12)
    np.testing.assert_allclose(pca.transform(rows), [[-1.0], [1.0]])


@pytest.mark.parametrize(
    ("n", "d", "rank", "held"), [(200, 20, 4, 4), (6, 30, None, 5), (40, 10, None, 10)]
)
def test_components_never_exceed_the_rank(n, d, rank, held):
    pca = fit(correlated(n, d, rank=rank), n_components=d)
    assert pca.n_components_ == len(pca.spectrum_) == held
    assert pca.n_components_requested_ == d
    assert pca.lowered_ == (held < d)
    assert (pca.explained_variance_ > 0).all()
    assert pca.spectrum_.sum() == pytest.approx(1)


@given(shapes, st.floats(0.001, 1.0))
@settings(max_examples=40, deadline=None)
def test_a_share_of_variance_takes_the_fewest_components(shape, share):
    pca = fit(correlated(*shape), variance=share)
    cumulative, k = np.cumsum(pca.spectrum_), pca.n_components_
    assert cumulative[k - 1] >= share - 1e-12
    assert k == 1 or cumulative[k - 2] < share


def test_rounding_does_not_cost_a_component():
    equal = np.full(10, 0.1)  # their running sum misses 0.8 and 1.0 by a bit
    needed = [components_needed(equal, tenths / 10) for tenths in range(1, 11)]
    assert needed == list(range(1, 11))


def test_all_of_the_variance_takes_every_component():
    spectrum = np.array([1 - 1e-13, 0.9e-13, 1e-14])
    assert components_needed(spectrum, 1.0) == 3
    assert components_needed(spectrum, 1 - 0.5e-13) == 2
    rows = np.random.default_rng(0).normal(size=(60, 3)) * [1, 1e-6, 1e-7]
    assert fit(rows, variance=1.0, standardize=False).n_components_ == 3


def test_signs_make_the_largest_loading_positive():
    components = fit(correlated(80, 9)).components_
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(len(components)), largest] > 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_the_first_of_loadings_equal_but_for_rounding_is_positive(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 2)) * [1, 3]
    components = fit(rows).components_  # two standardised features load alike
    np.testing.assert_allclose(np.abs(components), 0.5**0.5)
    assert (components[:, 0] > 0).all()


def test_a_fitted_pca_cannot_be_changed():
    pca = fit(correlated(20, 4), n_components=2)
    with pytest.raises(ValueError, match="read-only"):
        pca.components_[0, 0] = 1
    with pytest.raises(AttributeError):
        pca.standardize = False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components is 0, but must be from 1 to 4"),
        ({"n_components": 5}, "n_components is 5, but must be from 1 to 4"),
        ({"variance": 0.0}, "variance is 0.0, it must be above 0"),
        ({"variance": 1.5}, "variance is 1.5, it must be above 0 and at most 1"),
        ({"variance": float("nan")}, "variance is nan"),
        ({"variance": 0.9, "n_components": 3}, "Both"),
    ],
)
def test_requests_out_of_bounds_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        fit(correlated(20, 4), **options)


def test_data_that_hold_no_variance_are_refused():
    with pytest.raises(RunError, match="at least 2 images, but there is 1"):
        fit(correlated(1, 4))
    with pytest.raises(RunError, match="at least 2 images, but there are 0"):
        PCA.fit(Moments.empty(4))
    with pytest.raises(RunError, match="All 5 images have the same features"):
        fit(np.full((5, 4), 0.1))


@pytest.mark.parametrize("options", [{"n_components": 9}, {"variance": 0.9, "standardize": False}])
def test_a_saved_pca_is_the_same_to_the_last_bit(options):
    pca = fit(correlated(6, 9), **options)
    again = PCA.from_safetensors(pca.to_safetensors())
    assert again.description() == pca.description()
    assert again.to_safetensors() == pca.to_safetensors()
    for name in ("mean_", "scale_", "components_", "explained_variance_", "spectrum_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pca, name))


def test_the_description_is_json_that_people_can_use():
    pca = fit(np.random.default_rng(0).normal(size=(300, 90)), n_components=60)
    description = json.loads(json.dumps(pca.description()))
    cumulative = np.cumsum(pca.spectrum_)
    assert description["n_samples"] == 300
    assert description["n_components"] == 60
    assert description["variance_held"] == pytest.approx(cumulative[59])
    assert description["cumulative_variance"] == {
        "50": pytest.approx(cumulative[49]),
        "80": pytest.approx(cumulative[79]),
    }
    for share, k in description["components_for_variance"].items():
        assert cumulative[k - 1] >= float(share) > cumulative[k - 2]


def test_other_bytes_are_no_pca():
    from safetensors.numpy import save

    with pytest.raises(InputError, match="not a PCA"):
        PCA.from_safetensors(b"nonsense")
    with pytest.raises(InputError, match="not a PCA"):
        PCA.from_safetensors(save({"mean": np.zeros(3)}))
    newer = save({"mean": np.zeros(3)}, {"featuremill": json.dumps({"format": 2})})
    with pytest.raises(InputError, match="format 2, not 1"):
        PCA.from_safetensors(newer)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_flipped_bits_are_refused_or_leave_a_pca_that_can_be_used(data):
    pca = fit(correlated(9, 4), n_components=3)
    saved = bytearray(pca.to_safetensors())
    header = 8 + int.from_bytes(saved[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * header - 1))
        saved[bit // 8] ^= 1 << bit % 8
    try:
        found = PCA.from_safetensors(bytes(saved))
    except InputError:
        return
    assert np.isfinite(found.transform(correlated(9, 4))).all()
    np.testing.assert_array_equal(np.sort(found.mean_), np.sort(pca.mean_))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mean_": np.zeros(3)}, "scale is of shape"),
        ({"scale_": np.zeros(4)}, "scale holds what is not above 0"),
        ({"scale_": np.full(4, np.inf)}, "scale holds what is not finite"),
        ({"mean_": np.full(4, np.nan)}, "mean holds what is not finite"),
        ({"components_": np.zeros((2, 5))}, "components is of shape"),
        ({"explained_variance_": np.ones(2)}, "explained_variance is of shape"),
        ({"n_samples_": True}, "n_samples is True"),
        ({"n_samples_": 1}, "of 1 images"),
        ({"standardize": "yes"}, "standardize is 'yes'"),
        ({"mean_": np.zeros(4, np.float32)}, "mean is of shape .4. and type F32"),
        ({"mean_": np.zeros((1, 4))}, "mean is of shape .1, 4. and type F64"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(change, said):
    pca = dataclasses.replace(fit(correlated(9, 4), n_components=3), **change)
    with pytest.raises(InputError, match=said):
        PCA.from_safetensors(pca.to_safetensors())
