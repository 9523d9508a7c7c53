"""Whether two contenders gave the same features for the same images."""

import numpy as np
import pandas as pd

from benchmarks.measure import BenchmarkError


def smallest_cosine(ours: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """The smallest, over all images, of the cosines between two contenders' features.

    Parameters
    ----------
    ours, theirs : DataFrame
        Columns ``path`` and ``features``, rows in any order.

    Raises
    ------
    BenchmarkError
        If they are not of the same images.
    """
    ours_by_name, theirs_by_name = _by_name(ours), _by_name(theirs)
    if not ours_by_name.index.equals(theirs_by_name.index):
        raise BenchmarkError(
            f"two contenders were given the same images, but embedded {len(ours_by_name)} and"
            f" {len(theirs_by_name)}, or others"
        )
    a = np.stack(ours_by_name.to_list()).astype(np.float64)
    b = np.stack(theirs_by_name.to_list()).astype(np.float64)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(cosines.min())


def _by_name(features: pd.DataFrame) -> pd.Series:
    """Features by folder and file: of the rest of a path, everyone has its own spelling."""
    names = features["path"].str.split("/").str[-2:].str.join("/")
    return features.set_index(names)["features"].sort_index()
