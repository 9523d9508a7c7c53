"""Fits principal components to the moments of features, and projects features onto them.

safetensors is imported where a fitted PCA is saved or loaded, so that importing this module
costs no more than NumPy.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from featuremill.config.option import share
from featuremill.errors import ConfigError, InputError, RunError
from featuremill.pca.moments import Features, FloatMatrix, Moments, blocks, not_finite, width

__all__ = ["PCA", "Moments", "components_needed"]

FORMAT: Final = 1
"""Version of what :meth:`PCA.to_safetensors` writes."""

COMPONENT_MARKS: Final = (50, 80, 256)
"""Numbers of components whose cumulative share of the variance is reported."""

VARIANCE_MARKS: Final = (0.90, 0.95, 0.99)
"""Shares of the variance whose number of components is reported."""

TIE: Final = 1e-6

_REMEDY: Final = "Fit again with this version of featuremill, or restore model/pca.safetensors."


@dataclass(frozen=True, eq=False)
class PCA:
    """A fitted principal component analysis; immutable, arrays included.

    Attributes
    ----------
    mean_ : ndarray of shape (d,), float64
    scale_ : ndarray of shape (d,), float64
        What :meth:`Moments.scale` gives, or 1 for constant features and where not standardised.
    components_ : ndarray of shape (k, d), float64
        Orthonormal rows, by decreasing variance. In each row the loading of largest magnitude is
        positive (the first of them, where several agree to 1e-6).
    explained_variance_ : ndarray of shape (k,), float64
        Variance along each component, with n - 1.
    spectrum_ : ndarray of shape (rank,), float64
        Share of the total variance for every component there is, kept or not; sums to 1.
    n_samples_ : int
    standardize : bool
    n_components_requested_ : int or None
        What was asked for by number; :attr:`n_components_` is lower where the data had less.
    variance_requested_ : float or None
        What was asked for by share of the variance.
    """

    mean_: FloatMatrix
    scale_: FloatMatrix
    components_: FloatMatrix
    explained_variance_: FloatMatrix
    spectrum_: FloatMatrix
    n_samples_: int
    standardize: bool
    n_components_requested_: int | None = None
    variance_requested_: float | None = None

    def __post_init__(self) -> None:
        for array in self._arrays().values():
            array.setflags(write=False)

    @classmethod
    def fit(
        cls,
        moments: Moments,
        *,
        n_components: int | None = None,
        variance: float | None = None,
        standardize: bool = True,
    ) -> Self:
        """Find the principal components.

        Parameters
        ----------
        moments : Moments
            Moments of at least two rows.
        n_components : int, optional
            Number of components, 1 to d; lowered to what the data hold, min(n - 1, d, rank).
        variance : float, optional
            Take the fewest components that hold this share of the variance, 0 < variance <= 1.
            Without either, every component is kept.
        standardize : bool
            Divide each feature by its standard deviation (n - 1), or by the floor that
            :meth:`Moments.scale` has for features that hardly ever fired. Where it has none to
            apply, scores are scikit-learn's. Constant features stay zero.

        Raises
        ------
        ConfigError
            `n_components` or `variance` is out of bounds, or both are given.
        RunError
            Fewer than two rows, or rows that do not differ.

        Notes
        -----
        Cost O(d^3) for the eigendecomposition of the symmetric (d, d) covariance matrix (the
        correlation matrix when standardised), memory about 4 d^2 float64; neither depends on n,
        and n < d is fine. Eigenvalues carry an absolute error of about d * eps times the largest,
        so smaller ones count as zero (the numerical rank) and negative ones never appear.
        See Jolliffe, "Principal Component Analysis", 2nd ed., Springer 2002, chapters 2 and 3.
        """
        _check_request(n_components, variance, moments.d)
        spread = moments.variance()
        varies = spread > np.finfo(np.float64).tiny
        if not varies.any():
            raise RunError(
                f"All {moments.n} images have the same features, so there is no variance to hold.",
                "Add images that differ, or run with --no-reduce.",
            )
        scale = np.ones(moments.d)
        if standardize:
            scale[varies] = moments.scale()[varies]
        # Constant features are left out rather than carried as zero rows, because a zero
        # eigenvalue would let rounding mix them into the weakest components.
        covariance = moments.scatter[np.ix_(varies, varies)] / (moments.n - 1)
        covariance /= scale[varies]
        covariance /= scale[varies, np.newaxis]
        values, vectors = _eigen(covariance, moments.n)
        spectrum = values / values.sum()
        kept = len(values)
        if n_components is not None:
            kept = min(n_components, kept)
        elif variance is not None:
            kept = components_needed(spectrum, variance)
        components = np.zeros((kept, moments.d))
        components[:, varies] = _with_fixed_signs(vectors[:kept])
        return cls(
            mean_=moments.mean.copy(),
            scale_=scale,
            components_=components,
            explained_variance_=values[:kept].copy(),
            spectrum_=spectrum,
            n_samples_=moments.n,
            standardize=standardize,
            n_components_requested_=n_components,
            variance_requested_=variance,
        )

    @property
    def n_components_(self) -> int:
        """Number of components kept, k."""
        return len(self.components_)

    @property
    def n_features_in_(self) -> int:
        """Number of features, d."""
        return len(self.mean_)

    @property
    def explained_variance_ratio_(self) -> FloatMatrix:
        """Share of the total variance along each kept component, of shape (k,)."""
        return self.spectrum_[: self.n_components_]

    @property
    def lowered_(self) -> bool:
        """Whether the data held fewer components than were asked for."""
        return self.n_components_ < (self.n_components_requested_ or 0)

    def transform(self, X: Features) -> FloatMatrix:  # noqa: N803
        """Project rows onto the components.

        Parameters
        ----------
        X : ndarray of shape (n, d), float32 or float64
            Taken in blocks, so that memory beyond the result stays at about 32 MiB.

        Returns
        -------
        ndarray of shape (n, k), float64
            ``((X - mean_) / scale_) @ components_.T``. Rows are centred before they are
            projected: the other way round, a mean far from zero would cancel digits.

        Raises
        ------
        RunError
            `X` has another number of features, or a value is not finite.

        Notes
        -----
        Cost O(n d k).
        """
        _require_width(X, self.n_features_in_, "features")
        projection = (self.components_ / self.scale_).T  # (d, k)
        projected = np.empty((len(X), self.n_components_))
        for start, block in blocks(X):
            with np.errstate(invalid="ignore", over="ignore"):
                rows = np.subtract(block, self.mean_, dtype=np.float64) @ projection
            if not np.isfinite(rows).all():
                raise not_finite(block, start)
            projected[start : start + len(rows)] = rows
        return projected

    def inverse_transform(self, Z: Features) -> FloatMatrix:  # noqa: N803
        """Features, of shape (n, d), that project onto `Z` of shape (n, k); exact where k = rank.

        Raises
        ------
        RunError
            `Z` has another number of components.
        """
        _require_width(Z, self.n_components_, "components")
        return np.asarray(Z @ self.components_ * self.scale_ + self.mean_, dtype=np.float64)

    def description(self) -> dict[str, Any]:
        """The fit as plain JSON values, for ``pca.json`` and for people."""
        cumulative = np.cumsum(self.spectrum_)
        return {
            "format": FORMAT,
            "n_samples": self.n_samples_,
            "n_features": self.n_features_in_,
            "n_components": self.n_components_,
            "n_components_requested": self.n_components_requested_,
            "variance_requested": self.variance_requested_,
            "standardize": self.standardize,
            "rank": len(self.spectrum_),
            "variance_held": float(cumulative[self.n_components_ - 1]),
            "explained_variance_ratio": self.explained_variance_ratio_.tolist(),
            "cumulative_variance": {
                str(k): float(cumulative[k - 1]) for k in COMPONENT_MARKS if k <= len(cumulative)
            },
            "components_for_variance": {
                f"{share:.2f}": components_needed(self.spectrum_, share) for share in VARIANCE_MARKS
            },
        }

    def to_safetensors(self) -> bytes:
        """All arrays, exactly, with :meth:`description` as the metadata entry ``featuremill``."""
        from safetensors.numpy import save

        # One entry, because safetensors does not promise an order among several.
        data: bytes = save(self._arrays(), {"featuremill": json.dumps(self.description())})
        return data

    @classmethod
    def from_safetensors(cls, data: bytes) -> Self:
        """Exact inverse of :meth:`to_safetensors`.

        Raises
        ------
        InputError
            The bytes are no PCA of this format, or its arrays do not fit each other, or hold what
            is not finite.
        """
        pca = cls.unchecked(data)
        if fault := _fault(pca):
            raise InputError(f"This is not a PCA saved by featuremill: {fault}", _REMEDY)
        return pca

    @classmethod
    def unchecked(cls, data: bytes) -> Self:
        """Like :meth:`from_safetensors`, but values and lengths of the arrays may be any.

        Raises
        ------
        InputError
            The bytes are no PCA of this format.
        """
        from safetensors import SafetensorError, deserialize

        try:
            description = json.loads(_safetensors_metadata(data)["featuremill"])
            if (found := description["format"]) != FORMAT:
                raise InputError(f"The PCA has format {found}, not {FORMAT}.", _REMEDY)
            parts = deserialize(data)  # type: ignore[no-untyped-call]
            return cls(
                **{f"{name}_": _array(name, held) for name, held in parts},
                n_samples_=_of(description, "n_samples", int),
                standardize=_of(description, "standardize", bool),
                n_components_requested_=_of(description, "n_components_requested", int, None),
                variance_requested_=_of(description, "variance_requested", float, int, None),
            )
        except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"This is not a PCA saved by featuremill: {error}", _REMEDY) from error

    def _arrays(self) -> dict[str, FloatMatrix]:
        return {
            "mean": self.mean_,
            "scale": self.scale_,
            "components": self.components_,
            "explained_variance": self.explained_variance_,
            "spectrum": self.spectrum_,
        }


def components_needed(spectrum: FloatMatrix, variance: float) -> int:
    """Fewest leading components whose shares sum to `variance`.

    Parameters
    ----------
    spectrum : ndarray of shape (rank,), float64
        Shares of the total variance, decreasing, summing to 1.
    variance : float
        0 < variance <= 1; reached where the sum falls short by :func:`rounding` only. 1 takes
        them all, however little the last ones hold.
    """
    if variance == 1:
        return len(spectrum)
    cumulative = np.cumsum(spectrum)
    return min(int(np.searchsorted(cumulative, variance - rounding(spectrum))) + 1, len(spectrum))


def rounding(spectrum: FloatMatrix) -> float:
    """Rounding error of a sum of shares: len(spectrum) times the spacing of float64 at 1."""
    return len(spectrum) * float(np.finfo(np.float64).eps)


def _eigen(covariance: FloatMatrix, n: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Eigenvalues (rank,) that differ from zero, decreasing, and their vectors (rank, d)."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors.T[::-1]
    floor = values[0] * len(values) * np.finfo(np.float64).eps
    rank = min(int((values > floor).sum()), n - 1)
    return values[:rank], vectors[:rank]


def _with_fixed_signs(components: FloatMatrix) -> FloatMatrix:
    """Turn each row so that its largest loading is positive, as scikit-learn's `svd_flip` does.

    Of loadings equal but for rounding the first decides: two standardised features always load
    with the same magnitude, and the sign should not hang on the last bit.
    """
    size = np.abs(components)
    decides = (size >= size.max(axis=1, keepdims=True) * (1 - TIE)).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), decides])
    return np.asarray(components * signs[:, np.newaxis])


def _check_request(n_components: int | None, variance: float | None, d: int) -> None:
    if n_components is not None and variance is not None:
        raise ConfigError(
            f"Both n_components = {n_components} and variance = {variance} were given.",
            "Give one of them.",
        )
    if n_components is not None and not 1 <= n_components <= d:
        raise ConfigError(
            f"n_components is {n_components}, but must be from 1 to {d}, the number of features.",
            f"Ask for at most {d} components, or for a share of the variance.",
        )
    share("Give a share, such as 0.9 for 90 %.").check("variance", variance)


def _require_width(rows: Features, d: int, what: str) -> None:
    if width(rows) != d:
        raise RunError(
            f"The rows have {rows.shape[1]} {what}, but this PCA was fitted for {d}.",
            "Use features of the model that it was fitted with.",
        )


def _array(name: str, held: Mapping[str, Any]) -> FloatMatrix:
    """One array of a safetensors file; raises ValueError where it can be none of a PCA."""
    shape, dtype = list(held["shape"]), held["dtype"]
    if dtype != "F64" or len(shape) != (2 if name == "components" else 1) or 0 in shape:
        raise ValueError(f"array {name} is of shape {shape} and type {dtype}")
    return np.frombuffer(held["data"], "<f8").reshape(shape).astype(np.float64)


def _of(description: Mapping[str, Any], name: str, *kinds: type | None) -> Any:
    """An entry of the description; raises ValueError where it is of none of these types."""
    value = description[name]
    # by its very type, since True is an int too
    if (None if value is None else type(value)) not in kinds:
        raise ValueError(f"{name} is {value!r}")
    return value


def _fault(pca: PCA) -> str:
    """Say why arrays cannot be those of a PCA; empty if they can."""
    d, k = len(pca.mean_), len(pca.components_)
    arrays = pca._arrays()
    wanted = {"mean": (d,), "scale": (d,), "components": (k, d), "explained_variance": (k,)}
    for name, array in arrays.items():
        if array.shape != wanted.get(name, (max(k, len(array)),)):
            return f"array {name} is of shape {array.shape}, beside {k} components of {d} features"
        if not np.isfinite(array).all():
            return f"array {name} holds what is not finite"
        if name in ("scale", "explained_variance", "spectrum") and not (array > 0).all():
            return f"array {name} holds what is not above 0"
    return f"it is of {pca.n_samples_} images" if pca.n_samples_ < 2 else ""


def _safetensors_metadata(data: bytes) -> dict[str, str]:
    """The free-form entries of the header: a uint64 length, then so many bytes of JSON."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
