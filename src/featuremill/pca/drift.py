"""Measures how far images are from those that a PCA was fitted to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from featuremill._utils.formatting import plural
from featuremill.pca.components import PCA
from featuremill.pca.moments import FloatMatrix, Moments

FAR: Final = 10.0
"""A score is far off above this many times the largest score of the images fitted."""

SHIFT_BOUND: Final = 0.2
"""Largest shift that is still taken for more of the same; measured in decision 12."""

LUCK: Final = 5.0
"""A shift counts only where chance alone exceeds it at most once in exp(5) = 148 times."""


@dataclass(frozen=True)
class Drift:
    """Distance of some images' features from those that a PCA was fitted to.

    Attributes
    ----------
    rows : int
        How many images.
    shift : float
        Distance of their mean from the fitted one, in standard deviations: the root of the mean,
        over the features that varied when the PCA was fitted, of ``((mean - mean_) / spread)²``.
    noise : float
        What the shift of so many images of the very same kind is expected to be (root mean
        square), ``sqrt(1 / rows + 1 / n_samples_)``.
    chance : float
        What chance alone would hardly exceed.
    captured : float or None
        Share of their own variance, in units of ``spread``, that lies along the components kept;
        None where they have none.
    fitted : float
        The same share of the images that the PCA was fitted to.
    awake : int
        Features that were the same for all images fitted, and are not for these. No component
        holds any of their variance.
    """

    rows: int
    shift: float
    noise: float
    chance: float
    captured: float | None
    fitted: float
    awake: int = 0

    @property
    def warning(self) -> str:
        """A warning if the images are unlike those that the PCA was fitted to, else nothing."""
        if self.shift <= self.bound:
            return ""
        return (
            f"drift: {self}; the bound is {self.bound:.2f}: these images are unlike those that the"
            " PCA was fitted to, so fit one anew to all of them"
        )

    @property
    def bound(self) -> float:
        """Largest shift that brings no warning."""
        return max(SHIFT_BOUND, self.chance)

    def description(self) -> dict[str, Any]:
        """Plain values, for the ledger."""
        return asdict(self) | {"bound": self.bound}

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> "Drift":
        """The drift of a description."""
        return cls(**{name: value for name, value in description.items() if name != "bound"})

    def __str__(self) -> str:
        text = f"shift {self.shift:.2f} ± {self.noise:.2f} of {self.rows:,} images"
        if self.captured is not None:
            text += f", {self.captured:.1%} of their variance captured ({self.fitted:.1%} fitted)"
        if self.awake:
            text += f", {plural(self.awake, 'feature')} varied in none of the images fitted"
        return text


@dataclass(frozen=True)
class Beyond:
    """Images whose scores lie far beyond all that the PCA was fitted to.

    Attributes
    ----------
    rows : int
        How many images have a score of more than :data:`FAR` times `largest`.
    farthest : float
        The largest score there is, whatever its sign.
    largest : float
        The largest score of the images that the PCA was fitted to; where its description holds
        none, the largest that one of them can have had.
    """

    rows: int
    farthest: float
    largest: float

    @property
    def warning(self) -> str:
        """A warning if there are any, else nothing."""
        if not self.rows:
            return ""
        images = "1 image has a score" if self.rows == 1 else f"{self.rows:,} images have scores"
        return (
            f"scores: {images} more than {FAR:g} times as large as any of the images that the PCA"
            f" was fitted to, up to {self.farthest:.3g} where those reach {self.largest:.3g}; fit a"
            " PCA anew to all of them, or look for these images in csv/reduced.csv"
        )


def drift(pca: PCA, moments: Moments) -> Drift:
    """Compare images with those that a PCA was fitted to.

    Parameters
    ----------
    moments : Moments
        Moments of at least one row, with as many features as the PCA.

    Notes
    -----
    The squared spread of a feature is the mean of its fitted variance and the new one, or the
    fitted one if that is larger. Networks have features that hardly ever differ from zero: in
    units of the fitted spread alone, one such feature that answers to one new image would outweigh
    a thousand others. The mean of both variances is that of the standardised mean difference, see
    Austin, "Balance diagnostics for comparing the distribution of baseline covariates between
    treatment groups in propensity-score matched samples", Statistics in Medicine 28(25), 2009.

    For independent draws from the distribution fitted, the expected squared distance of two means
    is ``1 / n + 1 / m`` variances, however the features are correlated. Where the means are about
    normal, it is that many times ``sum(spectrum_ * z**2)`` of independent normal ``z``, which
    exceeds ``1 + 2 sqrt(x sum(spectrum_**2)) + 2 x max(spectrum_)`` with a probability of at most
    ``exp(-x)``: Laurent and Massart, "Adaptive estimation of a quadratic functional by model
    selection", Annals of Statistics 28(5), 2000, lemma 1. Images of one folder are rarely
    independent, which is why a shift is also judged by its size.

    A feature that woke up, constant in the images fitted, is in no component. It counts among the
    variance that is not captured, but not in the shift. Cost O(k d^2).
    """
    varied = np.any(pca.components_ != 0, axis=0)
    spread = _spread(pca, moments, varied)  # (d,)
    away = ((moments.mean - pca.mean_) / spread)[varied]
    noise = np.sqrt(1 / moments.n + 1 / pca.n_samples_)
    wide = LUCK * float((pca.spectrum_**2).sum())
    longest = LUCK * float(pca.spectrum_.max())
    woke = ~varied & ((moments.mean != pca.mean_) | (moments.scatter.diagonal() > 0))
    return Drift(
        rows=moments.n,
        shift=float(np.sqrt(np.mean(away**2))),
        noise=float(noise),
        chance=float(noise * np.sqrt(1 + 2 * np.sqrt(wide) + 2 * longest)),
        captured=_captured(pca, moments, spread),
        fitted=float(min(1.0, pca.spectrum_[: pca.n_components_].sum())),
        awake=int(woke.sum()),
    )


def _spread(pca: PCA, moments: Moments, varied: NDArray[np.bool_]) -> FloatMatrix:
    """Standard deviation of each feature that a distance of means is measured in."""
    new = moments.scatter.diagonal() / max(1, moments.n - 1)
    fitted = np.where(varied, pca.scale_**2, 0)
    if not pca.standardize:
        # the PCA holds only the sum of the variances: the first one over its share of them
        total = pca.explained_variance_[0] / pca.spectrum_[0]
        fitted = np.full(len(new), total / varied.sum())
        new = np.full(len(new), new[varied].mean())
    spread = np.sqrt(np.maximum(fitted, (fitted + new) / 2))
    spread[spread == 0] = 1  # of a feature that is the same everywhere
    return np.asarray(spread)


def _captured(pca: PCA, moments: Moments, spread: FloatMatrix) -> float | None:
    own = float((moments.scatter.diagonal() / spread**2).sum())
    if own <= 0:
        return None
    projection = pca.components_ / spread  # (k, d)
    along = float(np.einsum("kd,kd->", projection @ moments.scatter, projection))
    return min(1.0, along / own)
