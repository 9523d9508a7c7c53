"""The options of drawn pictures, and the size and format of each picture."""

from dataclasses import dataclass

import numpy as np

from featuremill.errors import ConfigError

MAX_CLASSES = 10_000
MIN_SIZE, MAX_SIZE = 16, 4096
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}


@dataclass(frozen=True)
class SynthConfig:
    """The pictures to draw; checked when it is made.

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
        check("classes", self.classes, 1, MAX_CLASSES)
        check("per_class", self.per_class, 1)
        check("seed", self.seed, 0)
        check("size", self.size, MIN_SIZE, MAX_SIZE)


def check(name: str, value: int, low: int, high: int | None = None) -> None:
    """Refuse a number out of its bounds."""
    if value < low or (high is not None and value > high):
        bound = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} is {value}; it must be {bound}.", f"Choose {name} {bound}.")


def plan(class_index: int, image_index: int, config: SynthConfig) -> tuple[int, int, str]:
    """Height, width and file format of one picture."""
    if not config.varied:
        return config.size, config.size, "jpeg"
    rng = np.random.default_rng([config.seed, class_index, image_index, 1])
    height, width = (min(MAX_SIZE, round(config.size * 8**share)) for share in rng.random(2))
    return height, width, str(rng.choice(tuple(EXTENSIONS)))
