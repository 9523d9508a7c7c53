"""Packs the images and the class colours of the report's explorer.

Scores are bytes, paths go by folder. A score is a 16-bit number between plus and minus the largest
of its component. Its upper byte goes in for every component, which is enough to find neighbours by;
its lower byte only for the components that may become an axis, where one would see steps. The
page's script `data.js` undoes what is done here.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featuremill.images.thumbnails import ACROSS, TILES, Sheets

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which people with colour-blindness
can tell apart, less the black and the yellow, which vanish on one ground or the other. Where there
are more classes than colours, shapes tell further ones apart, and classes that lie near each other
get different colours, as countries on a map do."""
SHAPES: Final = ("circle", "square", "diamond", "triangle-up", "cross", "star")


class Look(NamedTuple):
    """Colour and shape of a class's points, as indices into :data:`COLOURS` and :data:`SHAPES`."""

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


UPPER_BYTES: Final = 6_000_000
"""Room for the scores that neighbours are found by: 60 components of 100,000 images."""

LOWER_BYTES: Final = 1_000_000
LEAST_AXES: Final = 10
"""Axes to choose from, of however many images; more of fewer."""

MOST_COMPONENTS: Final = 256

_MOST_VALUES: Final = len(COLOURS) * len(SHAPES) - 1


class Axis(NamedTuple):
    """A component in the explorer: its share of the variance and its largest score."""

    share: float
    largest: float


class Colouring(NamedTuple):
    """A column that points may have the colour of: its values, and base64 of uint8 codes."""

    name: str
    values: list[str]
    codes: str


def colourings(columns: Mapping[str, Sequence[str]]) -> list[Colouring]:
    """Columns with more than one value, as codes.

    Parameters
    ----------
    columns : mapping of name to sequence of n str
        Of each image its value. Where there are more than there are looks, the rarest become
        "others".
    """
    made = []
    for name, column in columns.items():
        common = Counter(column).most_common(_MOST_VALUES)
        values = sorted(value for value, _ in common)
        if len(set(column)) > len(values):
            values.append("others")
        code = {value: index for index, value in enumerate(values)}
        codes = np.array([code.get(value, len(values) - 1) for value in column], np.uint8)
        if len(values) > 1:
            made.append(Colouring(name, values, _text(codes)))
    return made


class Folder(NamedTuple):
    """Images of one class in one folder: what their paths begin and end with, and what differs."""

    start: str
    label: int
    end: str
    names: list[str]


@dataclass(frozen=True, eq=False)
class Explorer:
    """Every image of the explorer.

    Attributes
    ----------
    images : int
    components : sequence of Axis
        Those by which neighbours are found.
    axes : int
        How many of them, the first, may be axes.
    labels : list of str
        Labels of the classes, sorted.
    looks : list of Look
        How the points of each class are drawn.
    folders : list of Folder
        The images in their order.
    upper : str
        Base64 of int8 of shape (components, images).
    lower : str
        Base64 of uint8 of shape (axes, images).
    colourings : sequence of Colouring
        What points may have the colour of besides their class.
    """

    images: int
    components: Sequence[Axis]
    axes: int
    labels: list[str]
    looks: list[Look]
    folders: list[Folder]
    upper: str
    lower: str
    colourings: Sequence[Colouring] = ()

    def description(self) -> dict[str, Any]:
        """All but the scores, as plain JSON values."""
        return {
            "images": self.images,
            "components": [list(axis) for axis in self.components],
            "axes": self.axes,
            "labels": self.labels,
            "looks": [list(look) for look in self.looks],
            "colours": COLOURS,
            "shapes": SHAPES,
            "colourings": [list(colouring) for colouring in self.colourings],
            "folders": [list(folder) for folder in self.folders],
        }


def pack(
    paths: Sequence[str],
    labels: Sequence[str],
    scores: NDArray[np.float32],
    shares: NDArray[np.float64],
    names: list[str],
    looks: list[Look],
) -> Explorer:
    """Pack images.

    Parameters
    ----------
    paths : sequence of n str
        In the order in which images of a folder stand together.
    labels : sequence of n str
    scores : ndarray of shape (n, k), float32
    shares : ndarray of shape (k,), float64
        Share of the variance of each component.
    names : list of str
        Every label.
    looks : list of Look
        How the points of each of `names` are drawn.
    """
    n, k = scores.shape
    kept = min(k, MOST_COMPONENTS, max(LEAST_AXES, UPPER_BYTES // max(1, n)))
    axes = min(kept, max(LEAST_AXES, LOWER_BYTES // max(1, n)))
    planes = np.ascontiguousarray(scores[:, :kept].T)  # (kept, n)
    largest = np.abs(planes).max(axis=1, initial=0)
    largest[largest == 0] = 1
    whole = np.rint(planes / largest[:, np.newaxis] * 32767).astype(np.int16)
    return Explorer(
        images=n,
        components=[
            Axis(float(f"{share:.6g}"), float(f"{most:.6g}"))
            for share, most in zip(shares[:kept], largest, strict=True)
        ],
        axes=axes,
        labels=names,
        looks=looks,
        folders=_folders(paths, labels, names),
        upper=_text((whole >> 8).astype(np.int8)),
        lower=_text((whole[:axes] & 255).astype(np.uint8)),
    )


def places(sheets: Sheets, images: int) -> dict[str, Any]:
    """Tell the page which tile shows which image.

    Returns
    -------
    dict
        ``place``: base64 of int32 of shape (images,), the number of the tile or -1; ``size``:
        base64 of uint8 of shape (images, 2), how much of its tile an image covers.
    """
    place = np.full(images, -1, "<i4")
    size = np.zeros((images, 2), np.uint8)
    for number, tiles in enumerate(sheets.tiles):
        for index, tile in enumerate(tiles):
            place[tile.row] = number * TILES + index
            size[tile.row] = tile.width, tile.height
    return {
        "edge": sheets.edge,
        "across": ACROSS,
        "tiles": TILES,
        "media": sheets.media,
        "place": _text(place),
        "size": _text(size),
    }


def _folders(paths: Sequence[str], labels: Sequence[str], names: list[str]) -> list[Folder]:
    number = {name: index for index, name in enumerate(names)}
    images = zip(paths, labels, strict=True)
    together = groupby(images, lambda image: (image[0].rpartition("/")[0], image[1]))
    return [_folder(number[label], [path for path, _ in inside]) for (_, label), inside in together]


def _folder(label: int, paths: list[str]) -> Folder:
    start = _common_start(paths)
    rests = [path[len(start) :] for path in paths]
    end = _common_start([rest[::-1] for rest in rests])[::-1]
    return Folder(start, label, end, [rest[: len(rest) - len(end)] for rest in rests])


def _common_start(texts: list[str]) -> str:
    # what lies between the first and the last in order begins as both of them do
    first, last = min(texts), max(texts)
    pairs = zip(first, last, strict=False)
    return first[: next((at for at, (a, b) in enumerate(pairs) if a != b), len(first))]


def _text(array: NDArray[np.generic]) -> str:
    return b64encode(array.tobytes()).decode("ascii")
