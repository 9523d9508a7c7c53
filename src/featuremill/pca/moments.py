"""Computes mergeable moments of features: all that a PCA needs to know of them.

Every worker condenses its rows, moments merge in any order, and one pass over the features is
enough. All sums are float64, whatever the input.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from featuremill.errors import RunError

FloatMatrix = NDArray[np.float64]
Features = NDArray[np.floating[Any]]

BLOCK_BYTES: Final = 32 * 2**20
ROUNDING: Final = 1e-6
FEW: Final = 8
LEAST: Final = 1e-2
"""A feature that rests on fewer images is not divided by less than so much of the median."""

HEAD: Final = struct.Struct("<QQ")


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and centred scatter of rows seen so far.

    Attributes
    ----------
    n : int
        Number of rows.
    mean : ndarray of shape (d,), float64
    scatter : ndarray of shape (d, d), float64
        Sum over the rows of ``outer(x - mean, x - mean)``: symmetric, not divided by anything.
    """

    n: int
    mean: FloatMatrix
    scatter: FloatMatrix

    @classmethod
    def empty(cls, d: int) -> "Moments":
        """Moments of no rows of `d` features, neutral under :meth:`merge`."""
        return cls(0, np.zeros(d), np.zeros((d, d)))

    @classmethod
    def of(cls, X: Features) -> "Moments":  # noqa: N803
        """Condense rows into moments.

        Parameters
        ----------
        X : ndarray of shape (n, d), float32 or float64
            Converted to float64 a block at a time: memory beyond `X` stays at about four
            (d, d) matrices and 32 MiB.

        Raises
        ------
        RunError
            `X` is not two-dimensional, or a value is not finite.

        Notes
        -----
        Cost O(n d^2), nearly all of it in one symmetric rank-k update per block.
        """
        moments = cls.empty(width(X))
        for start, block in blocks(X):
            moments = moments.merge(cls._of_block(block, start))
        return moments

    @classmethod
    def _of_block(cls, rows: Features, start: int) -> "Moments":
        # Shifting by a row first makes a constant feature exactly zero, and with it its variance:
        # no tolerance is needed later to tell a constant feature from a nearly constant one.
        origin = rows[0].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            centred = np.subtract(rows, origin, dtype=np.float64)
            shift = centred.mean(axis=0)
            centred -= shift
            scatter = centred.T @ centred  # (d, d); one array on both sides lets NumPy take syrk
        moments = cls(len(rows), origin + shift, scatter)
        # A bad value spoils its whole column, so d numbers tell what n * d would.
        if not np.isfinite(moments.mean).all() or not np.isfinite(scatter.diagonal()).all():
            raise not_finite(rows, start)
        return moments

    @property
    def d(self) -> int:
        """Number of features."""
        return len(self.mean)

    def merge(self, other: "Moments") -> "Moments":
        """Moments of the rows of both, in any order and grouping.

        Raises
        ------
        RunError
            The two have different numbers of features.

        Notes
        -----
        Cost O(d^2). The pairwise update of Chan, Golub and LeVeque, "Algorithms for computing the
        sample variance: analysis and recommendations", The American Statistician 37(3), 1983; it
        never subtracts large sums of squares, so a mean far from zero loses no digits.
        """
        if self.d != other.d:
            raise RunError(
                f"Moments of {self.d} and of {other.d} features cannot be merged.",
                "Compute all features with one model.",
            )
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        delta = other.mean - self.mean
        scaled = np.sqrt(self.n * other.n / n) * delta
        scatter = np.outer(scaled, scaled)  # symmetric to the last bit, as to_bytes needs
        scatter += self.scatter
        scatter += other.scatter
        return Moments(n, self.mean + delta * (other.n / n), scatter)

    def variance(self) -> FloatMatrix:
        """Sample variance of each feature, with n - 1, of shape (d,); needs two rows."""
        _require_two(self.n)
        return np.asarray(self.scatter.diagonal() / (self.n - 1))

    def scale(self) -> FloatMatrix:
        """The divisor of each feature in standardising, of shape (d,).

        Returns
        -------
        ndarray of shape (d,), float64
            The standard deviation, with n - 1; 0 for constant features. What rests on few images
            is not below a hundredth of the median of the others' standard deviations.

        Notes
        -----
        A feature that a network fired for one image alone, at 1e-6, has a standard deviation so
        small that the next image that fires it would have a score of thousands. How many images a
        feature rests on is told by ``sum(x)**2 / sum(x**2)``: for values that are not negative it
        is at least 1, and their number where all that are above 0 are equal. Few are less than 8,
        or 1 % where that is more, and at most a quarter of the images. Every other feature has
        its own standard deviation, however small.
        """
        spread, total = np.sqrt(self.variance()), np.sqrt(self.n) * np.abs(self.mean)
        # lengths and not their squares, which would be 0 for what is tiny
        length = np.hypot(np.sqrt(self.scatter.diagonal()), total)
        images = self.n * np.divide(total, length, where=length > 0, out=np.ones(self.d)) ** 2
        few = min(max(FEW, self.n / 100), self.n / 4)
        # below 1 the values have both signs, so that their mean tells nothing
        rare = (spread > 0) & (images > 1 - ROUNDING) & (images < few)
        others = spread[(spread > 0) & ~rare]
        floor = LEAST * float(np.median(others)) if len(others) else 0.0
        return np.asarray(np.where(rare, np.maximum(spread, floor), spread))

    def to_bytes(self) -> bytes:
        """Count, mean and upper triangle: ``16 + 8 d + 4 d (d + 1)`` bytes, little-endian."""
        upper = self.scatter[np.triu(np.ones((self.d, self.d), dtype=bool))]
        values = np.concatenate([self.mean, upper]).astype("<f8", copy=False)
        return HEAD.pack(self.n, self.d) + values.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Moments":
        """Exact inverse of :meth:`to_bytes`.

        Raises
        ------
        RunError
            The length does not fit the number of features.
        """
        n, d = HEAD.unpack_from(data) if len(data) >= HEAD.size else (0, 0)
        expected = HEAD.size + 8 * d + 4 * d * (d + 1)
        if len(data) != expected:
            raise RunError(
                f"Moments of {d} features take {expected} bytes, but {len(data)} came.",
                "Run again; if it happens again, this is a defect worth reporting.",
            )
        values = np.frombuffer(data, "<f8", offset=HEAD.size).astype(np.float64)
        scatter = np.zeros((d, d))
        upper = np.triu(np.ones((d, d), dtype=bool))
        scatter[upper] = values[d:]
        scatter.T[upper] = values[d:]
        return cls(n, values[:d], scatter)


def _require_two(n: int) -> None:
    if n < 2:
        raise RunError(
            f"Variance needs at least 2 images, but there {'is' if n == 1 else 'are'} {n}.",
            "Add images, or run with --no-reduce.",
        )


def width(rows: Features) -> int:
    """Number of columns; raises RunError where `rows` is no matrix."""
    if rows.ndim != 2:
        raise RunError(
            f"Features of shape {rows.shape} are no matrix.",
            "Give rows of features, of shape (n, d).",
        )
    return int(rows.shape[1])


def blocks(rows: Features) -> Iterator[tuple[int, Features]]:
    """Runs of rows with the index of their first: 32 MiB as float64, or d rows if that is more.

    Fewer than d rows would spend more time on adding (d, d) matrices than on computing them.
    """
    d = max(1, rows.shape[1])
    height = max(BLOCK_BYTES // (8 * d), d)
    for start in range(0, len(rows), height):
        yield start, rows[start : start + height]


def not_finite(rows: Features, start: int) -> RunError:
    """The error for the first value of `rows` that is not finite, or else for an overflow."""
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad) == 0:
        return RunError("The features are too large for float64.", "Scale them down.")
    row, column = bad[0]
    return RunError(
        f"Feature {column} of row {start + row} is {rows[row, column]}, but must be finite.",
        "Leave such rows out, or compute them again.",
    )
