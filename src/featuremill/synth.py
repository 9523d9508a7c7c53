"""Draws labelled pictures of fruit-like solids, for trying everything without a data set.

A class is a form (apple, pear, banana, …) with a finish (a colour and a skin); a picture is one
pose of it, under one light, before one backdrop. A form is an implicit surface z² = h(x, y): the
sign of h gives the outline and its gradient the normals, and both stay smooth at the outline,
where a height z would have infinite slope. Skins and backdrops are looked up in tileable
patterns that each process makes once.
"""

import colorsys
import io
import math
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageDraw, ImageFilter

from featuremill.errors import ConfigError, DestinationError, StorageError, WorkerError

__all__ = ["SynthConfig", "SynthResult", "class_names", "draw", "encode", "write"]

Plane = npt.NDArray[np.floating]
Colour = tuple[float, float, float]  # red, green, blue from 0 to 1
Vector = tuple[float, float, float]  # down, across, toward the viewer

MAX_CLASSES = 10_000
MIN_SIZE, MAX_SIZE = 16, 4096
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
BATCH = 200  # pictures a worker draws between two reports: about a third of a second


@dataclass(frozen=True)
class SynthConfig:
    """What to draw; checked when made.

    Parameters
    ----------
    classes : int
        Number of classes, 1 to 10,000.
    per_class : int
        Pictures of each class, at least 1.
    seed : int
        Chooses the pictures, not what the classes look like; at least 0.
    size : int
        Width and height in pixels, 16 to 4096.
    varied : bool
        Mix JPEG, PNG and WebP, and let each side be ``size`` to eight times that, at most 4096.

    Raises
    ------
    ConfigError
        If a number is out of its bounds.
    """

    classes: int
    per_class: int
    seed: int = 0
    size: int = 100
    varied: bool = False

    def __post_init__(self) -> None:
        _check("classes", self.classes, 1, MAX_CLASSES)
        _check("per_class", self.per_class, 1)
        _check("seed", self.seed, 0)
        _check("size", self.size, MIN_SIZE, MAX_SIZE)


@dataclass(frozen=True)
class SynthResult:
    """What was written: pictures, bytes in their files, and wall-clock seconds."""

    count: int
    bytes: int
    seconds: float


def _check(name: str, value: int, low: int, high: int | None = None) -> None:
    if value < low or (high is not None and value > high):
        bound = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} is {value}; it must be {bound}.", f"Choose {name} {bound}.")


# The vocabulary: what a class can look like.

COLOURS: dict[str, tuple[Colour, Colour]] = {  # each with the one its patterns are drawn in
    "crimson": ((0.70, 0.05, 0.10), (0.95, 0.66, 0.30)),
    "scarlet": ((0.90, 0.14, 0.08), (1.00, 0.62, 0.22)),
    "coral": ((0.97, 0.47, 0.38), (0.78, 0.16, 0.20)),
    "orange": ((0.97, 0.52, 0.06), (0.80, 0.28, 0.04)),
    "golden": ((0.96, 0.76, 0.14), (0.84, 0.40, 0.08)),
    "lemon": ((0.99, 0.92, 0.28), (0.66, 0.68, 0.12)),
    "lime": ((0.66, 0.84, 0.20), (0.26, 0.50, 0.08)),
    "green": ((0.18, 0.50, 0.14), (0.66, 0.82, 0.36)),
    "olive": ((0.44, 0.46, 0.14), (0.24, 0.22, 0.08)),
    "teal": ((0.08, 0.52, 0.50), (0.60, 0.88, 0.76)),
    "azure": ((0.22, 0.40, 0.74), (0.70, 0.82, 0.96)),
    "violet": ((0.34, 0.13, 0.48), (0.68, 0.48, 0.80)),
    "magenta": ((0.80, 0.12, 0.48), (0.99, 0.66, 0.74)),
    "rose": ((0.97, 0.68, 0.68), (0.82, 0.26, 0.38)),
    "cream": ((0.96, 0.89, 0.72), (0.76, 0.58, 0.36)),
    "russet": ((0.50, 0.28, 0.13), (0.80, 0.58, 0.34)),
    "charcoal": ((0.15, 0.12, 0.16), (0.50, 0.42, 0.56)),
}
SKINS = ("plain", "striped", "speckled", "blotched", "blushed", "netted", "ringed")
ACCENTS = {  # what a pattern is drawn in where that is not the colour's own
    "seeded": (0.99, 0.85, 0.45),
    "segmented": (0.99, 0.94, 0.80),
    "rayed": (0.97, 0.96, 0.78),
    "pipped": (0.12, 0.16, 0.08),
}
RELIEF = {
    "pored": -0.06,
    "netted": 0.05,
    "scaled": 0.22,
    "seeded": -0.05,
}  # height of a pattern, in radii²


@dataclass(frozen=True)
class Form:
    """The body that some classes share; lengths are in units of half its length.

    ``radii`` are percentages at -0.9, -0.45, 0, 0.45 and 0.9, from the stem end down; the
    first classes of a form have its natural ``colours`` and ``skin``. ``berry`` is the radius of
    the berries that fill it, ``points`` makes a star of it, ``cut`` shows the flesh of one half.
    """

    radii: tuple[int, int, int, int, int]
    colours: str
    skin: str = "plain"
    bend: float = 0.0
    dimple: float = 0.0
    seam: float = 0.0
    ribs: int = 0
    berry: float = 0.0
    points: int = 0
    cut: bool = False
    stem: float = 0.0
    leaves: float = 0.0


BALL = (44, 89, 100, 89, 44)
FORMS = {
    "apple": Form((64, 102, 106, 90, 50), "crimson lime golden", "blushed", dimple=0.6, stem=0.3),
    "banana": Form((10, 20, 22, 20, 9), "lemon lime golden", bend=0.55, stem=0.2),
    "pear": Form((22, 37, 56, 76, 48), "lime golden russet", "speckled", stem=0.3),
    "strawberry": Form((50, 84, 78, 52, 18), "scarlet crimson rose", "seeded", leaves=0.6),
    "orange": Form(BALL, "orange golden coral", "pored", dimple=0.1),
    "grapes": Form((50, 72, 66, 46, 20), "violet lime crimson", berry=0.25, stem=0.3),
    "pineapple": Form((34, 54, 58, 54, 34), "golden russet olive", "scaled", leaves=0.9),
    "lemon": Form((15, 52, 62, 52, 15), "lemon lime golden", "pored"),
    "plum": Form((38, 76, 84, 76, 38), "violet crimson azure", "blushed", seam=0.3, stem=0.2),
    "starfruit": Form(BALL, "lemon lime golden", points=5),
    "watermelon": Form((38, 72, 80, 72, 38), "green lime olive", "striped"),
    "kiwi-slice": Form((43, 88, 98, 88, 43), "green golden crimson", "rayed", cut=True),
    "tomato": Form((66, 112, 122, 112, 66), "scarlet orange green", dimple=0.3, leaves=0.4),
    "aubergine": Form((22, 32, 42, 52, 34), "violet charcoal cream", bend=0.1, leaves=0.3),
    "chilli": Form((14, 17, 14, 9, 3), "scarlet green orange", bend=0.35, stem=0.35),
    "pumpkin": Form((78, 122, 132, 122, 78), "orange cream green", ribs=12, dimple=0.6, stem=0.35),
    "raspberry": Form((50, 80, 80, 60, 28), "magenta crimson charcoal", berry=0.17, leaves=0.4),
    "orange-slice": Form(BALL, "orange lemon coral", "segmented", cut=True),
    "cherry": Form(BALL, "crimson scarlet golden", dimple=0.5, stem=0.9),
    "melon": Form((44, 90, 98, 90, 44), "cream lime golden", "netted"),
    "peach": Form((50, 96, 106, 92, 42), "coral golden rose", "blushed", dimple=0.3, seam=0.4),
    "cucumber": Form((15, 21, 22, 21, 14), "green lime olive", "striped", bend=0.12),
    "mango": Form((44, 66, 66, 54, 26), "golden coral green", "blushed", bend=0.12),
    "blueberry": Form(BALL, "azure violet charcoal", "blushed", dimple=0.3, leaves=0.25),
    "pomegranate": Form((52, 95, 104, 96, 50), "crimson rose russet", "blushed", leaves=0.35),
    "avocado": Form((26, 42, 60, 64, 38), "olive charcoal green", "speckled"),
    "carrot": Form((22, 24, 19, 13, 6), "orange violet cream", "ringed", leaves=0.5),
    "pepper": Form((58, 80, 76, 68, 46), "scarlet golden green", ribs=5, dimple=0.7, stem=0.35),
    "fig": Form((14, 34, 66, 86, 52), "violet olive charcoal", "striped", stem=0.15),
    "lychee": Form((42, 86, 94, 88, 44), "magenta coral russet", "scaled", stem=0.2),
    "butternut": Form((26, 36, 36, 60, 40), "orange cream olive", "plain", stem=0.25),
    "radish": Form((54, 92, 82, 40, 8), "magenta cream violet", "plain", leaves=0.7),
    "kiwi": Form((36, 66, 72, 66, 36), "russet olive golden", "speckled"),
    "currants": Form((36, 46, 42, 30, 14), "scarlet charcoal cream", berry=0.17, stem=0.3),
    "melon-slice": Form((43, 88, 98, 88, 43), "scarlet golden lime", "pipped", cut=True),
    "coconut": Form((42, 86, 94, 88, 42), "russet charcoal cream", "ringed", dimple=0.15),
}


@dataclass(frozen=True)
class _Kind:
    """One class: its name, its form, and the colours and pattern of its skin."""

    name: str
    form: Form
    base: Colour
    accent: Colour
    skin: str


@cache
def _finishes(place: int) -> list[tuple[str, str]]:
    """Pairs of colour and skin for the form at ``place``: the natural ones, then all others."""
    form = tuple(FORMS.values())[place]
    natural = [(colour, form.skin) for colour in form.colours.split()]
    colours = tuple(COLOURS)
    steps = range(place, place + len(colours) * len(SKINS))  # coprime: both wheels meet all pairs
    invented = [(colours[n % len(colours)], SKINS[n % len(SKINS)]) for n in steps]
    return natural + [finish for finish in invented if finish not in natural]


@lru_cache(maxsize=MAX_CLASSES)
def _kind(index: int) -> _Kind:
    """Class ``index``: forms alternate fastest, natural finishes come before invented ones."""
    turn, place = divmod(index, len(FORMS))
    form_name, form = tuple(FORMS.items())[place]
    finishes = _finishes(place)
    lap, choice = divmod(turn, len(finishes))
    colour, skin = finishes[choice]
    name = f"{form_name}-{colour}" + (f"-{skin}" if skin != form.skin else "")
    base, accent = COLOURS[colour][0], ACCENTS.get(skin, COLOURS[colour][1])
    return _Kind(
        name=name + (f"-{lap + 1}" if lap else ""),
        form=form,
        base=_hue_shifted(base, lap),
        accent=_hue_shifted(accent, lap),
        skin=skin,
    )


def _hue_shifted(rgb: Colour, lap: int) -> Colour:
    """Turn the hue by ``lap`` golden sections, which never meet an earlier one."""
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb((hue + lap * 0.381966) % 1.0, saturation, value)


def class_names(n: int) -> list[str]:
    """Names of the first ``n`` classes, such as ``pear-golden``: unique and safe as folders."""
    return [_kind(index).name for index in range(n)]


# Patterns: tileable shares of 0 to 1, looked up by wrapped coordinates.

SIDE = 1024


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Plane:
    """Smooth tileable noise of shape (SIDE, SIDE): a small random grid, enlarged."""
    grid = np.pad(rng.random((rows, columns), dtype=np.float32), 2, mode="wrap")
    box = (2, 2, 2 + columns, 2 + rows)
    enlarged = Image.fromarray(grid).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return np.asarray(enlarged, dtype=np.float32)


def _step(value: Plane, low: float, high: float) -> Plane:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    share: Plane = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _dots(rng: np.random.Generator, count: int, radius: float) -> Plane:
    """Soft round dots at random places of shape (SIDE, SIDE)."""
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for x, y, share in rng.random((count, 3)):
        reach = radius * (0.6 + 0.6 * share)
        left, top = x * (SIDE - 2 * reach), y * (SIDE - 2 * reach)
        pen.ellipse((left, top, left + 2 * reach, top + 2 * reach), fill=255)
    soft = image.filter(ImageFilter.GaussianBlur(radius / 4))
    return np.asarray(soft, dtype=np.float32) / 255


def _wave(turns: Plane) -> Plane:
    """A cosine from 0 to 1 that repeats at every whole number of ``turns``."""
    cosine: Plane = np.cos(math.tau * turns)
    return 0.5 + 0.5 * cosine


@cache
def _pattern(name: str) -> npt.NDArray[np.uint8]:
    """Pattern ``name``, flattened from (SIDE, SIDE): rows run along the axis, columns around."""
    rng = np.random.default_rng(list(name.encode()))
    soft, fine = _noise(rng, 5, 5), _noise(rng, 24, 24)
    along, around = _tile()
    patterns: dict[str, Callable[[], Plane]] = {
        "plain": lambda: 0.35 * soft + 0.1 * fine,
        "striped": lambda: _step(_wave(11 * around + 0.5 * soft + 0.25 * fine), 0.35, 0.85),
        "speckled": lambda: np.maximum(_dots(rng, 420, 9), 0.25 * soft),
        "blotched": lambda: _step(0.6 * soft + 0.4 * fine, 0.5, 0.62),
        "blushed": lambda: _step(_wave(around) + 0.7 * soft - 0.35, 0.2, 0.9),
        "netted": lambda: _step(np.abs(fine - _noise(rng, 24, 24)), 0.14, 0.02),
        "ringed": lambda: _step(_wave(18 * along + 0.4 * soft + 0.2 * fine), 0.4, 0.9),
        "scaled": lambda: _wave(10 * around + 8 * along) * _wave(10 * around - 8 * along),
        "seeded": lambda: _step(_wave(14 * around) * _wave(14 * along), 0.6, 0.85),
        "pored": lambda: 0.5 * _dots(rng, 1500, 6) + 0.25 * soft,
        "wood": lambda: _wave(3 * _noise(rng, 3, 40) + 0.3 * fine),
        "cloth": lambda: 0.5 * soft + 0.25 * _wave(64 * along) + 0.25 * _wave(64 * around),
        "leaves": lambda: 0.6 * _step(_noise(rng, 9, 9), 0.3, 0.8) + 0.4 * soft,
    }
    share = patterns[name]() if name in patterns else _cut_face(name)
    return (255 * np.clip(share, 0, 1)).astype(np.uint8).ravel()


def _tile() -> tuple[Plane, Plane]:
    """Coordinates of a pattern from 0 to 1, down and across, (SIDE, SIDE) each."""
    turns = np.arange(SIDE, dtype=np.float32) / SIDE
    down, across = np.broadcast_arrays(turns[:, None], turns[None, :])
    return down, across


def _cut_face(name: str) -> Plane:
    """The flesh of a fruit cut across, its centre in the middle and its rim at a quarter."""
    down, across = _tile()
    radius, turn = 4 * np.hypot(down - 0.5, across - 0.5), np.arctan2(down - 0.5, across - 0.5)
    turn = turn / math.tau
    if name == "segmented":
        membranes = _step(radius * radius * (1 - _wave(10 * turn)), 0.03, 0.005)
        return np.maximum(_step(radius, 0.82, 0.9), membranes)
    if name == "rayed":
        rays = _wave(26 * turn) * _step(radius, 0.8, 0.3)
        return np.maximum(_step(radius, 0.3, 0.2), 0.7 * rays)
    pips = _step(_wave(11 * turn), 0.8, 0.95) * _step(np.abs(radius - 0.55), 0.14, 0.08)
    return np.maximum(_step(radius, 0.88, 0.92), pips)


# The solid: its place in the picture, its surface, its light.


@lru_cache(maxsize=8)
def _axes(height: int, width: int) -> tuple[Plane, Plane]:
    """Pixel centres, rows (height, 1) and columns (1, width); the short side spans -1 to 1."""
    half = min(height, width) / 2
    rows = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    columns = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    return rows[:, None].astype(np.float32), columns[None, :].astype(np.float32)


def _pose(
    form: Form, rng: np.random.Generator, height: int, width: int
) -> tuple[Plane, Plane, float]:
    """Coordinates in the solid's own frame, down its axis and across it, and a pixel's length."""
    rows, columns = _axes(height, width)
    reach = max(1.0, max(form.radii) / 100, 1 + 0.45 * form.leaves + 0.4 * form.stem)
    unit = rng.uniform(0.66, 0.86) / reach
    y = rng.uniform(-0.08, 0.08) + 0.3 * (form.leaves + form.stem) * unit  # room for greenery
    x, angle = rng.uniform(-0.08, 0.08), rng.normal(0, 0.5)
    cos, sin = math.cos(angle) / unit, math.sin(angle) / unit
    u, v = (rows - y) * cos - (columns - x) * sin, (rows - y) * sin + (columns - x) * cos
    pixel = 2 / min(height, width) / unit
    return u, v + form.bend * (u * u - 0.4), pixel


@lru_cache(maxsize=len(FORMS))
def _profile(radii: tuple[int, ...]) -> Plane:
    """Coefficients of g, highest power first, where the radius at t is g(t) · √(1 - t²).

    The root makes any profile end round; what is left is smooth enough for a quartic.
    """
    nodes = np.array([-0.9, -0.45, 0.0, 0.45, 0.9])
    return np.polyfit(nodes, np.array(radii) / 100 / np.sqrt(1 - nodes**2), 4).astype(np.float32)


def _radius2(form: Form, u: Plane) -> Plane:
    """Squared radius at ``u`` along the axis; negative beyond its ends."""
    g = np.polyval(_profile(form.radii), np.clip(u, -1, 1))  # a quartic runs wild further out
    squared: Plane = (1 - u * u) * g * g
    return squared


def _surface(
    form: Form, u: Plane, v: Plane, rng: np.random.Generator
) -> tuple[Plane, Plane, Plane]:
    """Squared height of the bare form, and where its skin pattern is sampled, along and around."""
    roll, shift = rng.uniform(1, 2), rng.uniform(1, 2)
    radius2 = _radius2(form, u)
    if form.cut:
        return np.minimum(radius2 - v * v, 0.06), u / 4 + 0.5, v / 4 + 0.5
    if form.points:
        turn = np.arctan2(u, v) / math.tau
        reach = 0.45 + 0.55 * _wave(form.points * turn)
        return reach * reach - u * u - v * v, u / 4 + shift, v / 4 + roll
    if form.berry:
        return _berries(form, u, v, rng), u / 4 + shift, v / 4 + roll
    sine = np.clip(v / np.sqrt(np.maximum(radius2, 1e-4)), -1, 1)
    around = np.arcsin(sine) / math.tau + roll
    h = radius2 - v * v
    if form.ribs:
        groove = 1 - np.sqrt(_wave(form.ribs * around))
        h -= 0.25 * radius2 * (1 - sine * sine) * groove  # none at the outline, or it would fray
    if form.seam:
        groove = np.maximum(1 - (sine - rng.uniform(-0.6, 0.6)) ** 2 / 0.05, 0)
        h -= form.seam * 0.3 * np.maximum(radius2, 0) * groove * groove
    if form.dimple:
        hollow = np.maximum(1 - ((u + 0.98) ** 2 * 3 + v * v * 3), 0)
        h -= form.dimple * hollow * hollow
    return h, u / 4 + shift, around


def _berries(form: Form, u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Squared height of berries in rows that fill the form's outline, the nearest one winning."""
    h = np.full_like(u, -4)
    step = 1.5 * form.berry
    for row in np.arange(-0.85, 0.9, 0.87 * step):
        radius = math.sqrt(max(float(_radius2(form, np.asarray(row))), 0))
        count = max(1, round(2 * radius / step))
        for place in (np.arange(count) - (count - 1) / 2) * step:
            y, x, size = rng.normal((row, place, form.berry), 0.06 * form.berry).tolist()
            np.maximum(h, size * size - (u - y) ** 2 - (v - x) ** 2, out=h)
    return h + 0.12 * np.clip(_radius2(form, u) - v * v, 0, 1)


def _sample(name: str, along: Plane, around: Plane) -> Plane:
    """Pattern ``name`` at wrapped coordinates in turns, as shares of 0 to 1."""
    row = (along * SIDE).astype(np.int32) & (SIDE - 1)
    column = (around * SIDE).astype(np.int32) & (SIDE - 1)
    return _pattern(name).take(row * SIDE + column).astype(np.float32) / 255


def _slopes(h: Plane) -> tuple[Plane, Plane]:
    """Central differences of ``h`` per pixel, down and across, edges repeated."""
    padded = np.pad(h, 1, mode="edge")
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    return down * 0.5, across * 0.5


def _blend(low: Plane, high: Plane, share: Plane) -> Plane:
    """Mix colours (3, 1, 1) or (3, height, width) by a share (height, width)."""
    return low + share * (high - low)


def _colour(rgb: Colour, rng: np.random.Generator, spread: float) -> Plane:
    """``rgb`` of shape (3, 1, 1), each channel brighter or darker by up to ``spread``."""
    jitter = rng.uniform(1 - spread, 1 + spread, 3)
    return (np.array(rgb) * jitter).astype(np.float32)[:, None, None]


def _lit(albedo: Plane, h: Plane, slopes: tuple[Plane, Plane], light: Vector) -> Plane:
    """Colours (3, height, width) of the surface z² = h under a light at (y, x, z).

    Wrapped Lambert shading with a Blinn highlight of exponent 32.
    """
    down, across = slopes
    steep = 2 * np.sqrt(np.maximum(h, 0))  # ∇(z² - h) = (-∇h, 2z)
    length = np.sqrt(down * down + across * across + steep * steep) + 1e-6

    def toward(y: float, x: float, z: float) -> Plane:
        cosine: Plane = (steep * z - down * y - across * x) / length
        return np.maximum(cosine, 0)

    glint = toward(*_unit(light[0], light[1], light[2] + 1))
    for _ in range(5):
        glint = glint * glint
    lit: Plane = albedo * (0.54 + 0.58 * toward(*light)) + 0.38 * glint
    return lit


def _unit(y: float, x: float, z: float) -> Vector:
    """The vector at length 1."""
    length = math.hypot(y, x, z)
    return y / length, x / length, z / length


def _greenery(
    canvas: Plane, form: Form, u: Plane, v: Plane, pixel: float, rng: np.random.Generator
) -> Plane:
    """``canvas`` with the form's leaves and stem over it."""
    if form.leaves:
        up = -0.92 - u
        up = np.where(up < 0, 2 * up, up)  # seen from the side, the near leaves are foreshortened
        turn = np.arctan2(v, up) / math.tau
        spikes = _wave(7 * turn + rng.uniform(-0.2, 0.2))
        edge = form.leaves * (0.28 + 0.72 * spikes) - np.sqrt(up * up + v * v)
        green = _colour((0.26, 0.52, 0.16), rng, 0.15) * (0.55 + 0.6 * spikes)
        canvas = _blend(canvas, green, np.clip(edge / pixel + 0.5, 0, 1))
    if form.stem:
        up = (-0.75 if form.dimple else -0.95) - u
        aside = v - rng.uniform(-0.5, 0.5) * up * up
        thick = 0.065 if max(form.radii) > 60 else 0.035
        edge = np.minimum(thick - np.abs(aside), np.minimum(up, form.stem + 0.15 - up))
        brown = _colour((0.40, 0.34, 0.16), rng, 0.2) * (0.8 + 0.4 * np.clip(aside / thick, -1, 1))
        canvas = _blend(canvas, brown, np.clip(edge / pixel + 0.5, 0, 1))
    return canvas


def _shadow(cover: Plane, light: Vector) -> Plane:
    """Shares of soft shadow that the outline ``cover`` throws on the ground."""
    short = min(cover.shape)
    fall = round(-0.12 * short * light[0]), round(-0.12 * short * light[1])
    fallen = np.roll(cover, fall, (0, 1))
    image = Image.fromarray((255 * fallen).astype(np.uint8))
    soft = image.filter(ImageFilter.BoxBlur(0.04 * short)).filter(ImageFilter.BoxBlur(0.03 * short))
    return np.asarray(soft, dtype=np.float32) / 255


BACKDROPS: tuple[tuple[float, str, float, Colour, Colour], ...] = (  # odds, pattern, zoom, colours
    (0.45, "white", 0.0, (1.00, 1.00, 1.00), (1.00, 1.00, 1.00)),
    (0.15, "ramp", 0.0, (0.62, 0.66, 0.72), (0.94, 0.93, 0.90)),
    (0.15, "wood", 0.30, (0.56, 0.40, 0.26), (0.72, 0.55, 0.38)),
    (0.13, "cloth", 0.20, (0.56, 0.58, 0.66), (0.90, 0.88, 0.84)),
    (0.12, "leaves", 0.25, (0.12, 0.22, 0.08), (0.46, 0.60, 0.28)),
)


def _backdrop(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Colours (3, height, width) behind the solid."""
    odds = [backdrop[0] for backdrop in BACKDROPS]
    _, name, zoom, low, high = BACKDROPS[rng.choice(len(BACKDROPS), p=odds)]
    if name == "white":
        return np.ones((3, height, width), dtype=np.float32)
    rows, columns = _axes(height, width)
    if name == "ramp":
        angle = rng.uniform(0, math.tau)
        tilt = math.cos(angle) * rows + math.sin(angle) * columns
        share: Plane = np.clip(0.5 + 0.4 * tilt, 0, 1)
    else:
        y, x = rng.uniform(8, 9, 2).tolist()  # well above 0: lookups truncate
        share = _sample(name, zoom * rows + y, zoom * columns + x)
    return _blend(_colour(low, rng, 0.15), _colour(high, rng, 0.06), share)


def _plan(class_index: int, image_index: int, config: SynthConfig) -> tuple[int, int, str]:
    """Height, width and file format of one picture."""
    if not config.varied:
        return config.size, config.size, "jpeg"
    rng = np.random.default_rng([config.seed, class_index, image_index, 1])
    height, width = (min(MAX_SIZE, round(config.size * 8**share)) for share in rng.random(2))
    return height, width, str(rng.choice(tuple(EXTENSIONS)))


def draw(class_index: int, image_index: int, config: SynthConfig) -> npt.NDArray[np.uint8]:
    """Draw one picture.

    It depends on the seed, the class and the number of the picture alone, not on what was
    drawn before or by which process.

    Parameters
    ----------
    class_index, image_index : int
        Which picture of which class, from 0.
    config : SynthConfig
        Seed and sizes.

    Returns
    -------
    rgb : ndarray of shape (height, width, 3), dtype uint8
    """
    rng = np.random.default_rng([config.seed, class_index, image_index])
    height, width, _ = _plan(class_index, image_index, config)
    kind = _kind(class_index)
    u, v, pixel = _pose(kind.form, rng, height, width)
    h, along, around = _surface(kind.form, u, v, rng)
    share = _sample(kind.skin, along, around)
    if kind.skin in RELIEF:
        h = h + RELIEF[kind.skin] * share * np.maximum(h, 0)
    down, across = _slopes(h)
    edge = h / np.sqrt(down * down + across * across + 1e-9)  # in pixels, inside > 0

    light = _unit(rng.uniform(-0.9, -0.3), rng.uniform(-0.8, 0.8), 1)  # from above
    albedo = _blend(_colour(kind.base, rng, 0.06), _colour(kind.accent, rng, 0.06), share)
    solid = _lit(albedo, h, (down / pixel, across / pixel), light)
    cover = np.clip(edge + 0.5, 0, 1)
    canvas = _backdrop(rng, height, width) * (1 - 0.5 * _shadow(cover, light))
    canvas = _blend(canvas, solid, cover)
    canvas = _greenery(canvas, kind.form, u, v, pixel, rng)
    levels = np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))  # (3, h, w) → (h, w, 3)


# The files.


def encode(rgb: npt.NDArray[np.uint8], file_format: str, quality: int = 90) -> bytes:
    """Encode pixels (height, width, 3) as ``jpeg``, ``png`` (where quality is unused) or ``webp``.

    Raises
    ------
    ConfigError
        If the format is none of these or the quality is not from 1 to 100.
    """
    _check("quality", quality, 1, 100)
    if file_format == "jpeg":
        return bytes(simplejpeg.encode_jpeg(rgb, quality, "RGB", "420"))
    if file_format not in EXTENSIONS:
        known = ", ".join(EXTENSIONS)
        raise ConfigError(f"The format {file_format!r} is unknown.", f"Choose one of {known}.")
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def write(
    dest: Path,
    config: SynthConfig,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SynthResult:
    """Write ``dest/<class>/<class>_<number>.<extension>`` for every picture.

    Classes appear in ``dest`` when all pictures are written; after a failure it is empty again.

    Parameters
    ----------
    dest : Path
        A folder that is empty or does not exist yet.
    config : SynthConfig
        What to draw.
    workers : int, optional
        Processes that draw; by default one for each available processor.
    progress : callable, optional
        Called with the number of pictures written since its last call.

    Raises
    ------
    ConfigError
        If ``workers`` is less than 1.
    DestinationError
        If ``dest`` is not an empty folder, or cannot be made.
    StorageError
        If a picture cannot be written.
    WorkerError
        If a process that draws is killed.
    """
    workers = _available_processors() if workers is None else workers
    _check("workers", workers, 1)
    began = time.perf_counter()
    unfinished = _claim(dest)
    count = size = 0
    try:
        for name in class_names(config.classes):
            (unfinished / name).mkdir()
        task = partial(_write_range, unfinished, config)
        for pictures, written in _in_processes(task, config, workers):
            count, size = count + pictures, size + written
            if progress:
                progress(pictures)
        for folder in unfinished.iterdir():
            folder.rename(dest / folder.name)
    except OSError as error:
        raise StorageError(
            f"Writing pictures to {dest} failed: {error}.", "Free some space and start again."
        ) from error
    except BrokenExecutor as error:
        raise WorkerError(
            f"A process that draws pictures died, 1 of {workers}.",
            "Look for a lack of memory, and start again with fewer workers.",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return SynthResult(count, size, time.perf_counter() - began)


def _available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _claim(dest: Path) -> Path:
    """Make ``dest``, refuse it if something is in it, and return the folder to fill inside it."""
    try:
        dest.mkdir(parents=True, exist_ok=True)
        if any(dest.iterdir()):
            raise DestinationError(
                f"{dest} is not empty; pictures are only drawn into an empty folder.",
                "Choose another folder, or delete what is in this one.",
            )
        unfinished = dest / ".partial"
        unfinished.mkdir()
    except OSError as error:
        raise DestinationError(
            f"{dest} cannot be made a folder of pictures: {error}.",
            "Choose a folder that you may write to.",
        ) from error
    return unfinished


def _write_range(folder: Path, config: SynthConfig, pictures: range) -> tuple[int, int]:
    """Write pictures, numbered through all classes; return their count and their bytes."""
    size = 0
    for class_index, image_index in (divmod(n, config.per_class) for n in pictures):
        name = _kind(class_index).name
        file_format = _plan(class_index, image_index, config)[2]
        content = encode(draw(class_index, image_index, config), file_format)
        path = folder / name / f"{name}_{image_index}.{EXTENSIONS[file_format]}"
        size += path.write_bytes(content)
    return len(pictures), size


def _in_processes(
    task: Callable[[range], tuple[int, int]], config: SynthConfig, workers: int
) -> Iterator[tuple[int, int]]:
    """Results of ``task`` over all pictures, a few ranges at a time so that any number fits."""
    total = config.classes * config.per_class
    batch = max(1, min(BATCH, total // (4 * workers)))
    ranges = (range(low, min(low + batch, total)) for low in range(0, total, batch))
    if workers == 1:
        yield from map(task, ranges)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent
    )
    try:
        pending: set[Future[tuple[int, int]]] = set()
        for pictures in ranges:
            pending.add(pool.submit(task, pictures))
            if len(pending) > 2 * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
