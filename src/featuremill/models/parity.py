"""How close two sets of features are."""

from typing import Any

import numpy as np
import numpy.typing as npt


def smallest_cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Smallest cosine between rows of the same index.

    Parameters
    ----------
    a, b : ndarray of shape (n, n_features)
        Computed with in float64.

    Returns
    -------
    float
        In [-1, 1]. Two rows of zeros agree (1), one row of zeros agrees with nothing (0), a row
        that is not finite is as wrong as can be (-1); without rows nothing disagrees (1).

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    left, right = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    if not finite.all():
        return -1.0
    norms = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    scale = norms[0] * norms[1]
    products = np.einsum("ij,ij->i", left, right)
    cosines = np.divide(products, scale, out=both_zero.astype(np.float64), where=scale > 0)
    return float(np.clip(cosines, -1, 1).min(initial=1))
