"""How far new images are from those that a PCA was fitted to."""

from dataclasses import replace

import numpy as np
import pytest

from featuremill.pca.components import PCA
from featuremill.pca.drift import SHIFT_BOUND, Beyond, Drift, drift
from featuremill.pca.moments import Moments

D = 12


def correlated(rows: int, seed: int, away: float = 0.0) -> np.ndarray:
    """Rows of one distribution of correlated features, some far larger than others."""
    mixing = np.random.default_rng(0).normal(size=(D, D)) * np.logspace(0, 3, D)
    return np.random.default_rng(seed).normal(away, size=(rows, D)) @ mixing


def fitted(rows: int = 400, *, standardize: bool = True, k: int = 3) -> PCA:
    return PCA.fit(Moments.of(correlated(rows, 1)), n_components=k, standardize=standardize)


def test_the_shift_is_the_root_mean_square_of_the_means_distances_in_standard_deviations():
    old, new = correlated(400, 1), correlated(50, 2, away=1.0)
    found = drift(fitted(), Moments.of(new))
    variance = old.var(axis=0, ddof=1)
    spread = np.sqrt(np.maximum(variance, (variance + new.var(axis=0, ddof=1)) / 2))
    distances = (new.mean(axis=0) - old.mean(axis=0)) / spread
    assert found.shift == pytest.approx(np.sqrt(np.mean(distances**2)))
    assert (found.rows, found.noise) == (50, pytest.approx(np.sqrt(1 / 50 + 1 / 400)))


def test_a_feature_that_never_varied_is_left_out_as_it_is_by_the_pca():
    rows = np.column_stack([correlated(400, 1), np.zeros(400)])
    pca = PCA.fit(Moments.of(rows), n_components=3)
    same, moved = rows[:50].copy(), rows[:50].copy()
    moved[:, -1] = np.linspace(0, 2, 50)
    assert drift(pca, Moments.of(moved)).shift == drift(pca, Moments.of(same)).shift


@pytest.mark.parametrize("standardize", [True, False])
def test_features_that_wake_up_are_counted_and_are_not_captured(standardize):
    rows = np.column_stack([correlated(400, 1), np.zeros((400, 2))])
    pca = PCA.fit(Moments.of(rows), standardize=standardize)  # all that the images fitted have
    woken = rows[:50].copy()
    assert drift(pca, Moments.of(woken)).captured == pytest.approx(1)
    woken[7, -1] = 5000.0
    found = drift(pca, Moments.of(woken))
    assert found.awake == 1
    assert found.captured < 0.95
    assert "1 feature varied in none of the images fitted" in str(found)
    alone = drift(pca, Moments.of(woken[7:8]))
    assert (alone.awake, alone.captured) == (1, None)
    assert drift(pca, Moments.of(rows[:50])).awake == 0


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
@pytest.mark.parametrize("others", [1, 20, 2000])
def test_chance_exceeds_its_bound_at_most_once_in_148_times(share, others):
    """For spectra that one component leads, which chance alone takes far."""
    spectrum = np.sort([share, *np.full(others, (1 - share) / others + 1e-12)])[::-1]
    pca = replace(fitted(), spectrum_=spectrum / spectrum.sum())
    found = drift(pca, Moments.of(correlated(50, 2)))
    random = np.random.default_rng(0)
    led = share * random.chisquare(1, 200_000)
    drawn = led + (1 - share) / others * random.chisquare(others, 200_000)
    exceeded = np.mean(drawn > (found.chance / found.noise) ** 2)
    assert exceeded <= np.exp(-5)


def test_scores_far_beyond_those_fitted_bring_a_warning_that_counts_them():
    assert not Beyond(rows=0, farthest=30.0, largest=4.0).warning
    said = Beyond(rows=1200, farthest=4e7, largest=4.0).warning
    assert "1,200 images have scores more than 10 times as large" in said
    assert "up to 4e+07 where those reach 4" in said


def test_a_feature_that_hardly_ever_differs_from_zero_does_not_outweigh_the_others():
    rows = np.column_stack([correlated(400, 1), np.zeros(400)])
    rows[0, -1] = 1e-6
    new = np.column_stack([correlated(50, 2), np.zeros(50)])
    new[0, -1] = 1.0
    found = drift(PCA.fit(Moments.of(rows), n_components=3), Moments.of(new))
    without = drift(fitted(), Moments.of(correlated(50, 2)))
    assert found.shift == pytest.approx(without.shift, rel=0.1)
    assert not found.warning


@pytest.mark.parametrize("standardize", [True, False])
def test_images_of_the_same_kind_shift_by_the_noise_and_no_more(standardize):
    pca = fitted(standardize=standardize)
    found = [drift(pca, Moments.of(correlated(40, seed))) for seed in range(2, 202)]
    expected = np.sqrt(np.mean([each.shift**2 for each in found]))
    # one fitted set stands for all of them, so its own share of the noise does not average out
    assert expected == pytest.approx(found[0].noise, rel=0.15)
    assert sum(bool(each.warning) for each in found) <= 2


@pytest.mark.parametrize("standardize", [True, False])
def test_what_was_fitted_is_captured_as_it_was_fitted(standardize):
    pca = fitted(standardize=standardize)
    found = drift(pca, Moments.of(correlated(400, 1)))
    assert found.shift == pytest.approx(0, abs=1e-12)
    assert found.captured == pytest.approx(found.fitted)
    assert found.fitted == pytest.approx(pca.spectrum_[:3].sum())


def test_only_variance_along_the_components_is_captured():
    pca = fitted()
    steps = np.linspace(-1, 1, 9)[:, np.newaxis]
    along = pca.mean_ + steps * pca.components_[1] * pca.scale_
    other = PCA.fit(Moments.of(correlated(400, 1)), n_components=D).components_[5]
    across = pca.mean_ + steps * other * pca.scale_
    assert drift(pca, Moments.of(along)).captured == pytest.approx(1)
    assert drift(pca, Moments.of(across)).captured == pytest.approx(0, abs=1e-9)


def test_one_image_has_no_variance_to_capture():
    found = drift(fitted(), Moments.of(correlated(1, 2)))
    assert found.captured is None
    assert found.noise > 1
    assert not found.warning


def test_images_unlike_those_fitted_bring_a_warning_that_says_how_far():
    found = drift(fitted(), Moments.of(correlated(50, 2, away=1.0)))
    assert found.shift > SHIFT_BOUND
    assert f"shift {found.shift:.2f} ± {found.noise:.2f} of 50 images" in found.warning
    assert "fit one anew" in found.warning


def test_a_shift_that_chance_explains_brings_no_warning():
    few = Drift(rows=4, shift=1.0, noise=0.5, chance=1.0, captured=None, fitted=0.9)
    assert not few.warning
    assert replace(few, shift=1.01).warning
    many = Drift(10_000, SHIFT_BOUND, noise=0.01, chance=0.02, captured=None, fitted=0.9)
    assert not many.warning
    assert replace(many, shift=SHIFT_BOUND + 0.01).warning


def test_the_ledger_gets_plain_values():
    found = drift(fitted(), Moments.of(correlated(50, 2)))
    description = found.description()
    assert description.keys() == {
        "rows",
        "shift",
        "noise",
        "chance",
        "captured",
        "fitted",
        "awake",
        "bound",
    }
    assert description["bound"] == found.bound == max(SHIFT_BOUND, found.chance)
