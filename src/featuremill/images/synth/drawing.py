"""Draws one picture: a solid with its skin, lit, before a backdrop."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from featuremill.images.synth.config import SynthConfig, plan
from featuremill.images.synth.patterns import Plane, sample, wave
from featuremill.images.synth.shapes import axes, pose, surface
from featuremill.images.synth.vocabulary import RELIEF, Body, Colour, kind_at

Vector = tuple[float, float, float]  # down, across, toward the viewer

BACKDROPS: tuple[tuple[float, str, float, Colour, Colour], ...] = (  # odds, pattern, zoom, colours
    (0.45, "white", 0.0, (1.00, 1.00, 1.00), (1.00, 1.00, 1.00)),
    (0.15, "ramp", 0.0, (0.62, 0.66, 0.72), (0.94, 0.93, 0.90)),
    (0.15, "wood", 0.30, (0.56, 0.40, 0.26), (0.72, 0.55, 0.38)),
    (0.13, "cloth", 0.20, (0.56, 0.58, 0.66), (0.90, 0.88, 0.84)),
    (0.12, "leaves", 0.25, (0.12, 0.22, 0.08), (0.46, 0.60, 0.28)),
)


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
    height, width, _ = plan(class_index, image_index, config)
    kind = kind_at(class_index)
    form = kind.form
    u, v, pixel = pose(form, rng, height, width)
    h, along, around = surface(form, u, v, rng)
    share = sample(kind.skin, along, around)
    if kind.skin in RELIEF:
        h = h + RELIEF[kind.skin] * share * np.maximum(h, 0)
    down, across = _slopes(h)
    edge = h / np.sqrt(down * down + across * across + 1e-9)  # in pixels, inside > 0

    light = _unit(rng.uniform(-0.9, -0.3), rng.uniform(-0.8, 0.8), 1)  # from above
    albedo = _blend(_colour(kind.base, rng, 0.06), _colour(kind.accent, rng, 0.06), share)
    solid = _lit(albedo, h, (down / pixel, across / pixel), light)
    cover = _cover(edge)
    canvas = _backdrop(rng, height, width) * (1 - 0.5 * _shadow(cover, light))
    canvas = _blend(canvas, solid, cover)
    if form.leaves:
        canvas = _blend(canvas, *_leaves(form, u, v, pixel, rng))
    if form.stem:
        canvas = _blend(canvas, *_stem(form, u, v, pixel, rng))
    levels = np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))  # (3, h, w) → (h, w, 3)


def _slopes(h: Plane) -> tuple[Plane, Plane]:
    """Central differences of ``h`` per pixel, down and across, edges repeated."""
    padded = np.pad(h, 1, mode="edge")
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    return down * 0.5, across * 0.5


def _cover(edge: Plane) -> Plane:
    """Share of each pixel inside an outline that is ``edge`` pixels away, inside > 0."""
    share: Plane = np.clip(edge + 0.5, 0, 1)
    return share


def _blend(low: Plane, high: Plane, share: Plane) -> Plane:
    """Mix colours (3, 1, 1) or (3, height, width) by a share (height, width)."""
    return low + share * (high - low)


def _colour(rgb: Colour, rng: np.random.Generator, spread: float) -> Plane:
    """``rgb`` of shape (3, 1, 1), each channel brighter or darker by up to ``spread``."""
    jitter = rng.uniform(1 - spread, 1 + spread, 3)
    return (np.array(rgb) * jitter).astype(np.float32)[:, None, None]


def _lit(albedo: Plane, h: Plane, slopes: tuple[Plane, Plane], light: Vector) -> Plane:
    """Colours (3, height, width) of the surface z² = h under a light at (y, x, z).

    Ambient light and Lambert shading with a Blinn highlight of exponent 32.
    """
    down, across = slopes
    steep = 2 * np.sqrt(np.maximum(h, 0))  # ∇(z² - h) = (-∇h, 2z)
    length = np.sqrt(down * down + across * across + steep * steep) + 1e-6

    def toward(y: float, x: float, z: float) -> Plane:
        cosine: Plane = (steep * z - down * y - across * x) / length
        return np.maximum(cosine, 0)

    glint = toward(*_unit(light[0], light[1], light[2] + 1))
    for _ in range(5):  # the 32nd power, five times as fast as by **
        glint = glint * glint
    lit: Plane = albedo * (0.54 + 0.58 * toward(*light)) + 0.38 * glint
    return lit


def _unit(y: float, x: float, z: float) -> Vector:
    """The vector at length 1."""
    length = math.hypot(y, x, z)
    return y / length, x / length, z / length


def _leaves(
    form: Body, u: Plane, v: Plane, pixel: float, rng: np.random.Generator
) -> tuple[Plane, Plane]:
    """Colours of the leaves around the stem end, and the share of each pixel that they cover."""
    up = -0.92 - u
    up = np.where(up < 0, 2 * up, up)  # seen from the side, the near leaves are foreshortened
    turn = np.arctan2(v, up) / math.tau
    spikes = wave(7 * turn + rng.uniform(-0.2, 0.2))
    edge = form.leaves * (0.28 + 0.72 * spikes) - np.sqrt(up * up + v * v)
    green = _colour((0.26, 0.52, 0.16), rng, 0.15) * (0.55 + 0.6 * spikes)
    return green, _cover(edge / pixel)


def _stem(
    form: Body, u: Plane, v: Plane, pixel: float, rng: np.random.Generator
) -> tuple[Plane, Plane]:
    """Colours of the stem, and the share of each pixel that it covers."""
    up = (-0.75 if form.dimple else -0.95) - u
    aside = v - rng.uniform(-0.5, 0.5) * up * up
    thick = 0.065 if max(form.radii) > 60 else 0.035
    edge = np.minimum(thick - np.abs(aside), np.minimum(up, form.stem + 0.15 - up))
    brown = _colour((0.40, 0.34, 0.16), rng, 0.2) * (0.8 + 0.4 * np.clip(aside / thick, -1, 1))
    return brown, _cover(edge / pixel)


def _shadow(cover: Plane, light: Vector) -> Plane:
    """Shares of soft shadow that the outline ``cover`` throws on the ground."""
    short = min(cover.shape)
    fall = round(-0.12 * short * light[0]), round(-0.12 * short * light[1])
    fallen = np.roll(cover, fall, (0, 1))
    image = Image.fromarray((255 * fallen).astype(np.uint8))
    soft = image.filter(ImageFilter.BoxBlur(0.04 * short)).filter(ImageFilter.BoxBlur(0.03 * short))
    return np.asarray(soft, dtype=np.float32) / 255


def _backdrop(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Colours (3, height, width) behind the solid."""
    odds = [backdrop[0] for backdrop in BACKDROPS]
    _, name, zoom, low, high = BACKDROPS[rng.choice(len(BACKDROPS), p=odds)]
    if name == "white":
        return np.ones((3, height, width), dtype=np.float32)
    rows, columns = axes(height, width)
    if name == "ramp":
        angle = rng.uniform(0, math.tau)
        tilt = math.cos(angle) * rows + math.sin(angle) * columns
        share: Plane = np.clip(0.5 + 0.4 * tilt, 0, 1)
    else:
        y, x = rng.uniform(8, 9, 2).tolist()  # well above 0: lookups truncate
        share = sample(name, zoom * rows + y, zoom * columns + x)
    return _blend(_colour(low, rng, 0.15), _colour(high, rng, 0.06), share)
