"""Finds rows of features that are near by cosine: exactly, in blocks of bounded memory.

All functions take *unit rows*: float32 rows of length 1, as :func:`unit_rows` gives them, whose
scalar product is their cosine. NumPy's BLAS computes the products, with as many threads as it has.

A float32 product of d numbers may be off by d times 2**-24, which is 7.7e-5 for 1280, and how far
it is depends on the processor. So whatever is decided by less is decided in float64: which
candidates are nearest, in which order, and whether a pair is above a threshold.
"""

from featuremill.search.neighbors.pairs import leaders
from featuremill.search.neighbors.ranking import nearest, outlyingness
from featuremill.search.neighbors.rows import unit_rows
from featuremill.search.neighbors.vote import LeaveOneOut, leave_one_out, majority, mistakes, wilson

__all__ = [
    "LeaveOneOut",
    "leaders",
    "leave_one_out",
    "majority",
    "mistakes",
    "nearest",
    "outlyingness",
    "unit_rows",
    "wilson",
]
