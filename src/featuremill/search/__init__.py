"""Search among embedded images: similar ones, duplicates and outliers."""

from featuremill.search.duplicate_groups import Duplicates, Group, Member, duplicates
from featuremill.search.embedded import FEATURES, REDUCED, Embedded, Image, load
from featuremill.search.most_similar import Neighbour, Similar, similar
from featuremill.search.outlier_scores import Outlier, Outliers, outliers

__all__ = [
    "FEATURES",
    "REDUCED",
    "Duplicates",
    "Embedded",
    "Group",
    "Image",
    "Member",
    "Neighbour",
    "Outlier",
    "Outliers",
    "Similar",
    "duplicates",
    "load",
    "outliers",
    "similar",
]
