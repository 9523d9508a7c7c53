"""The colour and the shape of each class.

Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which people with colour-blindness can
tell apart, less the black and the yellow, which vanish on one ground or the other. Where there
are more classes than colours, shapes tell further ones apart, and classes that lie near each
other get different colours, as countries on a map do.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
SHAPES: Final = ("circle", "square", "diamond", "triangle-up", "cross", "star")


class Look(NamedTuple):
    """How the points of a class are drawn; indices into :data:`COLOURS` and :data:`SHAPES`."""

    colour: int
    shape: int


def looks(order: Sequence[int], near: NDArray[np.int64]) -> list[Look]:
    """A look for each class.

    Parameters
    ----------
    order : sequence of int
        Classes, the one to be served first in front.
    near : ndarray of shape (c, m), int64
        The classes that are nearest to each.

    Returns
    -------
    list of Look
        By class. No look is given a second time before each was given once, and the colours of
        a class's nearest ones are avoided while others are as little used.
    """
    if len(order) <= len(COLOURS):
        given = {chosen: Look(place, 0) for place, chosen in enumerate(order)}
        return [given[index] for index in range(len(order))]
    used: Counter[Look] = Counter()
    given = {}
    every = [Look(c, s) for s in range(len(SHAPES)) for c in range(len(COLOURS))]
    for chosen in order:
        beside = Counter(given[index].colour for index in near[chosen].tolist() if index in given)
        given[chosen] = min(every, key=lambda look: (used[look], beside[look.colour]))
        used[given[chosen]] += 1
    return [given[index] for index in range(len(order))]
