"""The options of a sample, validated before anything is touched."""

from dataclasses import dataclass

from featuremill.config.option import at_least, share
from featuremill.errors import ConfigError
from featuremill.storage.listing import Selection

MODES = ("copy", "symlink", "hardlink")
_LARGEST_SEED = 2**64 - 1
_ONE = at_least(1, "Give a larger number.")


@dataclass(frozen=True)
class SampleConfig:
    """One sample; exactly one of ``per_class``, ``fraction`` and ``total`` says how large.

    Parameters
    ----------
    source, destination : str
        A folder or ``s3://bucket/prefix``.
    per_class : int, optional
        Images of each class, or all that a smaller class has.
    fraction : float, optional
        Share of each class, in (0, 1], rounded, and at least one image.
    total : int, optional
        Images altogether, dealt out to the classes in proportion to their sizes.
    classes : tuple of str
        Only images whose parent folder has one of these names; all if empty.
    random_classes : int, optional
        Instead: so many classes, drawn by the seed.
    include, exclude : tuple of str
        Globs over paths below the source; an image must match one of ``include`` (if any) and
        none of ``exclude``.
    seed : int
        Chooses the images, 0 to 2^64 - 1.
    mode : str
        ``copy``, or ``symlink`` or ``hardlink`` between folders.
    follow_links : bool
        Also take what links lead to outside the source, which is left out otherwise.
    dry_run : bool
        Only tell what would be taken.
    endpoint_url, region : str, optional
        Endpoint and region of S3, or of a store that speaks it.

    Raises
    ------
    ConfigError
        If a value is out of its bounds or two contradict each other.
    """

    source: str
    destination: str
    per_class: int | None = None
    fraction: float | None = None
    total: int | None = None
    classes: tuple[str, ...] = ()
    random_classes: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    seed: int = 0
    mode: str = "copy"
    follow_links: bool = False
    dry_run: bool = False
    endpoint_url: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        for name in ("include", "exclude", "classes"):
            if isinstance(getattr(self, name), str):
                raise ConfigError(
                    f"{name} is the text {getattr(self, name)!r}", "Give a tuple of texts."
                )
        self._check_size()
        self._check_choice()

    @property
    def selection(self) -> Selection:
        """The globs; classes are chosen apart, where all of them are known."""
        return Selection(self.include, self.exclude)

    def _check_size(self) -> None:
        sizes = {
            "--per-class": self.per_class,
            "--fraction": self.fraction,
            "--total": self.total,
        }
        given = [f"{option} {value}" for option, value in sizes.items() if value is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} were all given" if given else "no size was given"
            raise ConfigError(what, f"Give one of {', '.join(sizes)}.")
        _ONE.check("--per-class", self.per_class)
        _ONE.check("--total", self.total)
        share("For 10 % write --fraction 0.1.").check("--fraction", self.fraction)

    def _check_choice(self) -> None:
        _ONE.check("--random-classes", self.random_classes)
        if self.classes and self.random_classes is not None:
            raise ConfigError(
                f"--classes {','.join(self.classes)} and --random-classes {self.random_classes}"
                " were both given",
                "Give one of them.",
            )
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise ConfigError(
                f"--seed is {self.seed}, it must be from 0 to {_LARGEST_SEED}",
                "Choose a smaller number.",
            )
        if self.mode not in MODES:
            raise ConfigError(f"--mode is {self.mode!r}", f"Choose one of {', '.join(MODES)}.")
