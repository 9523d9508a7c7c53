"""Computes the solid of a picture: its place and its surface.

A form is an implicit surface z² = h(x, y): the sign of h gives the outline and its gradient the
normals, and both stay smooth at the outline, where a height z would have infinite slope.
"""

import math
from functools import cache, lru_cache

import numpy as np

from featuremill.images.synth.patterns import Plane, wave
from featuremill.images.synth.vocabulary import Body


@lru_cache(maxsize=8)
def axes(height: int, width: int) -> tuple[Plane, Plane]:
    """Pixel centres, rows (height, 1) and columns (1, width); the short side spans -1 to 1."""
    half = min(height, width) / 2
    rows, columns = (
        (np.arange(side, dtype=np.float32) + 0.5 - side / 2) / half for side in (height, width)
    )
    return rows[:, None], columns[None, :]


def pose(
    form: Body, rng: np.random.Generator, height: int, width: int
) -> tuple[Plane, Plane, float]:
    """Coordinates in the solid's own frame, down its axis and across it, and a pixel's length."""
    rows, columns = axes(height, width)
    reach = max(1.0, max(form.radii) / 100, 1 + 0.45 * form.leaves + 0.4 * form.stem)
    unit = rng.uniform(0.66, 0.86) / reach
    y = rng.uniform(-0.08, 0.08) + 0.3 * (form.leaves + form.stem) * unit  # room for greenery
    x, angle = rng.uniform(-0.08, 0.08), rng.normal(0, 0.5)
    cos, sin = math.cos(angle) / unit, math.sin(angle) / unit
    u, v = (rows - y) * cos - (columns - x) * sin, (rows - y) * sin + (columns - x) * cos
    pixel = 2 / min(height, width) / unit
    return u, v + form.bend * (u * u - 0.4), pixel


@cache
def _profile(radii: tuple[int, ...]) -> Plane:
    """Coefficients of g, highest power first, where the radius at t is g(t) · √(1 - t²).

    The root makes any profile end round; what is left is smooth enough for a quartic.
    """
    nodes = np.array([-0.9, -0.45, 0.0, 0.45, 0.9])
    return np.polyfit(nodes, np.array(radii) / 100 / np.sqrt(1 - nodes**2), 4).astype(np.float32)


def _radius2(form: Body, u: Plane) -> Plane:
    """Squared radius at ``u`` along the axis; negative beyond its ends."""
    g = np.polyval(_profile(form.radii), np.clip(u, -1, 1))  # a quartic runs wild further out
    squared: Plane = (1 - u * u) * g * g
    return squared


def surface(form: Body, u: Plane, v: Plane, rng: np.random.Generator) -> tuple[Plane, Plane, Plane]:
    """Squared height of the bare form, and where its skin pattern is sampled, along and around."""
    roll, shift = rng.uniform(1, 2), rng.uniform(1, 2)
    radius2 = _radius2(form, u)
    if form.cut:
        return np.minimum(radius2 - v * v, 0.06), u / 4 + 0.5, v / 4 + 0.5
    if form.points:
        turn = np.arctan2(u, v) / math.tau
        reach = 0.45 + 0.55 * wave(form.points * turn)
        return reach * reach - u * u - v * v, u / 4 + shift, v / 4 + roll
    if form.berry:
        return _berries(form, u, v, rng), u / 4 + shift, v / 4 + roll
    sine = np.clip(v / np.sqrt(np.maximum(radius2, 1e-4)), -1, 1)
    around = np.arcsin(sine) / math.tau + roll
    h = radius2 - v * v
    if form.ribs:
        groove = 1 - np.sqrt(wave(form.ribs * around))
        h -= 0.25 * radius2 * (1 - sine * sine) * groove  # none at the outline, or it would fray
    if form.seam:
        groove = np.maximum(1 - (sine - rng.uniform(-0.6, 0.6)) ** 2 / 0.05, 0)
        h -= form.seam * 0.3 * np.maximum(radius2, 0) * groove * groove
    if form.dimple:
        hollow = np.maximum(1 - ((u + 0.98) ** 2 * 3 + v * v * 3), 0)
        h -= form.dimple * hollow * hollow
    return h, u / 4 + shift, around


def _berries(form: Body, u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Squared height of berries in rows that fill the form's outline, the nearest one winning."""
    h = np.full_like(u, -4)  # well outside every berry
    step = 1.5 * form.berry
    for row in np.arange(-0.85, 0.9, 0.87 * step):
        radius = math.sqrt(max(float(_radius2(form, np.asarray(row))), 0))
        count = max(1, round(2 * radius / step))
        for place in (np.arange(count) - (count - 1) / 2) * step:
            y, x, size = rng.normal((row, place, form.berry), 0.06 * form.berry).tolist()
            np.maximum(h, size * size - (u - y) ** 2 - (v - x) ** 2, out=h)
    return h + 0.12 * np.clip(_radius2(form, u) - v * v, 0, 1)
