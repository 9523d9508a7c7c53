"""Which rows of features are near to each other, by cosine: exact, in blocks of bounded memory.

All functions take *unit rows*: float32 rows of length 1, as :func:`unit_rows` gives them, whose
scalar product is their cosine. NumPy's BLAS computes the products, with as many threads as it has.

A float32 product of 1280 numbers is off by less than 2e-6. So whatever is decided by less than
1e-5 is decided in float64: which of the best candidates are nearest, in which order, and whether
a pair is above a threshold.
"""

from featuremill.neighbours.pairs import leaders, pairs_above
from featuremill.neighbours.ranking import nearest, outlyingness
from featuremill.neighbours.rows import unit_rows
from featuremill.neighbours.vote import LeaveOneOut, leave_one_out, majority, wilson

__all__ = [
    "LeaveOneOut",
    "leaders",
    "leave_one_out",
    "majority",
    "nearest",
    "outlyingness",
    "pairs_above",
    "unit_rows",
    "wilson",
]
