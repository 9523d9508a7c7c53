"""What is like what among embedded images: similar ones, duplicates, outliers."""

from featuremill.search.duplication import Duplicates, Group, Member, duplicates
from featuremill.search.outlying import Outlier, Outliers, outliers
from featuremill.search.similarity import Neighbour, Similar, similar
from featuremill.search.table import FEATURES, REDUCED, Embedded, Image, load

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
