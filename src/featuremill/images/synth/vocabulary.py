"""Lists what a class can look like, and names it."""

import colorsys
from dataclasses import dataclass
from functools import cache

Colour = tuple[float, float, float]  # red, green, blue from 0 to 1

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
RELIEF = {"pored": -0.06, "netted": 0.05, "scaled": 0.22, "seeded": -0.05}  # heights in radii²


@dataclass(frozen=True)
class Body:
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
    "apple": Body((64, 102, 106, 90, 50), "crimson lime golden", "blushed", dimple=0.6, stem=0.3),
    "banana": Body((10, 20, 22, 20, 9), "lemon lime golden", bend=0.55, stem=0.2),
    "pear": Body((22, 37, 56, 76, 48), "lime golden russet", "speckled", stem=0.3),
    "strawberry": Body((50, 84, 78, 52, 18), "scarlet crimson rose", "seeded", leaves=0.6),
    "orange": Body(BALL, "orange golden coral", "pored", dimple=0.1),
    "grapes": Body((50, 72, 66, 46, 20), "violet lime crimson", berry=0.25, stem=0.3),
    "pineapple": Body((34, 54, 58, 54, 34), "golden russet olive", "scaled", leaves=0.9),
    "lemon": Body((15, 52, 62, 52, 15), "lemon lime golden", "pored"),
    "plum": Body((38, 76, 84, 76, 38), "violet crimson azure", "blushed", seam=0.3, stem=0.2),
    "starfruit": Body(BALL, "lemon lime golden", points=5),
    "watermelon": Body((38, 72, 80, 72, 38), "green lime olive", "striped"),
    "kiwi-slice": Body((43, 88, 98, 88, 43), "green golden crimson", "rayed", cut=True),
    "tomato": Body((66, 112, 122, 112, 66), "scarlet orange green", dimple=0.3, leaves=0.4),
    "aubergine": Body((22, 32, 42, 52, 34), "violet charcoal cream", bend=0.1, leaves=0.3),
    "chilli": Body((14, 17, 14, 9, 3), "scarlet green orange", bend=0.35, stem=0.35),
    "pumpkin": Body((78, 122, 132, 122, 78), "orange cream green", ribs=12, dimple=0.6, stem=0.35),
    "raspberry": Body((50, 80, 80, 60, 28), "magenta crimson charcoal", berry=0.17, leaves=0.4),
    "orange-slice": Body(BALL, "orange lemon coral", "segmented", cut=True),
    "cherry": Body(BALL, "crimson scarlet golden", dimple=0.5, stem=0.9),
    "melon": Body((44, 90, 98, 90, 44), "cream lime golden", "netted"),
    "peach": Body((50, 96, 106, 92, 42), "coral golden rose", "blushed", dimple=0.3, seam=0.4),
    "cucumber": Body((15, 21, 22, 21, 14), "green lime olive", "striped", bend=0.12),
    "mango": Body((44, 66, 66, 54, 26), "golden coral green", "blushed", bend=0.12),
    "blueberry": Body(BALL, "azure violet charcoal", "blushed", dimple=0.3, leaves=0.25),
    "pomegranate": Body((52, 95, 104, 96, 50), "crimson rose russet", "blushed", leaves=0.35),
    "avocado": Body((26, 42, 60, 64, 38), "olive charcoal green", "speckled"),
    "carrot": Body((22, 24, 19, 13, 6), "orange violet cream", "ringed", leaves=0.5),
    "pepper": Body((58, 80, 76, 68, 46), "scarlet golden green", ribs=5, dimple=0.7, stem=0.35),
    "fig": Body((14, 34, 66, 86, 52), "violet olive charcoal", "striped", stem=0.15),
    "lychee": Body((42, 86, 94, 88, 44), "magenta coral russet", "scaled", stem=0.2),
    "butternut": Body((26, 36, 36, 60, 40), "orange cream olive", "plain", stem=0.25),
    "radish": Body((54, 92, 82, 40, 8), "magenta cream violet", "plain", leaves=0.7),
    "kiwi": Body((36, 66, 72, 66, 36), "russet olive golden", "speckled"),
    "currants": Body((36, 46, 42, 30, 14), "scarlet charcoal cream", berry=0.17, stem=0.3),
    "melon-slice": Body((43, 88, 98, 88, 43), "scarlet golden lime", "pipped", cut=True),
    "coconut": Body((42, 86, 94, 88, 42), "russet charcoal cream", "ringed", dimple=0.15),
}


@dataclass(frozen=True)
class Kind:
    """One class: its name, its form, and the colours and pattern of its skin."""

    name: str
    form: Body
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
    return list(dict.fromkeys(natural + invented))


@cache
def kind_at(index: int) -> Kind:
    """Class ``index``: forms alternate fastest, natural finishes come before invented ones."""
    turn, place = divmod(index, len(FORMS))
    form_name, form = tuple(FORMS.items())[place]
    finishes = _finishes(place)
    lap, choice = divmod(turn, len(finishes))
    colour, skin = finishes[choice]
    name = f"{form_name}-{colour}" + (f"-{skin}" if skin != form.skin else "")
    base, accent = COLOURS[colour][0], ACCENTS.get(skin, COLOURS[colour][1])
    return Kind(
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
    return [kind_at(index).name for index in range(n)]
