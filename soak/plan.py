"""What happens in a soak, drawn from its seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from soak.trial import CTRL_C, Strike
from soak.watch import Moment

_FEATURES = "features/status=ok/"
_COMMITS = "features/_delta_log/"

KINDS = ("processes", "spark", "cluster")
"""Workers of a run: processes of this machine, a local Spark, or a standalone cluster."""

_SHARES = (55, 30, 15)
_ENDINGS = (
    ("nothing", 20),
    ("kill the driver", 40),
    ("kill Java", 15),
    (CTRL_C, 10),
    ("the disk is full", 8),
    ("the disk is read-only", 7),
)


@dataclass(frozen=True)
class Plan:
    """One run: how its source changes before, what it is asked for, and what strikes it."""

    append: int
    change: int
    remove: int
    forget: int
    forget_strikes: tuple[Strike, ...]
    prune: bool
    keep_pca: bool
    chunk: int
    workers: str
    """One of ``KINDS``."""
    at_once: bool
    """Whether the next run starts while what is left of this one may still be ending."""
    strikes: tuple[Strike, ...]


def draw(chance: random.Random, kinds: Sequence[str] = KINDS) -> Plan:
    """The next run, with workers of one of these kinds."""
    [drawn] = chance.choices(KINDS, _SHARES)
    workers = drawn if drawn in kinds else chance.choice(kinds)
    [ending] = chance.choices(*zip(*_ENDINGS, strict=True))
    if ending == "kill Java" and workers == "processes":
        ending = "kill the driver"
    strikes = _on_workers(chance, workers)
    if ending != "nothing":
        strikes.append(Strike(ending, _moment(chance)))
    return Plan(
        append=chance.randint(40, 110),
        change=chance.choice((0, 0, 5, 20)),
        remove=chance.choice((0, 0, 3, 15)),
        forget=chance.choice((0, 0, 0, 1, 4)),
        forget_strikes=_on_forget(chance),
        prune=chance.random() < 0.3,
        keep_pca=chance.random() < 0.2,
        chunk=chance.choice((8, 16, 24, 40)),
        workers=workers,
        at_once=chance.random() < 0.5,
        strikes=tuple(strikes),
    )


def _on_forget(chance: random.Random) -> tuple[Strike, ...]:
    if chance.random() < 0.5:
        return ()
    return (Strike("kill the driver", Moment("", chance.randint(1, 8), chance.randint(0, 10))),)


def _on_workers(chance: random.Random, workers: str) -> list[Strike]:
    """Up to eight kills of what is replaced while the run goes on, while features are written."""
    kinds: Sequence[str] = {
        "processes": ("kill a worker",),
        "spark": ("kill a worker", "kill a worker", "kill all workers"),
        "cluster": ("kill a worker", "kill an executor"),
    }[workers]
    moments = sorted(chance.sample(range(1, 13), chance.choice((0, 2, 3, 4, 6, 8))))
    return [
        Strike(chance.choice(kinds), Moment(_FEATURES, moment, chance.randint(0, 150)))
        for moment in moments
    ]


def _moment(chance: random.Random) -> Moment:
    """A moment of chunking, writing, committing, reducing or closing, or of the start."""
    return chance.choice(
        (
            Moment("", 0, chance.randint(0, 6000)),
            Moment("run.lock", 1, chance.randint(0, 3000)),
            Moment("model/", chance.randint(1, 4), chance.randint(0, 20)),
            Moment(_COMMITS, chance.randint(1, 6), chance.randint(0, 20)),
            Moment(_COMMITS, chance.randint(1, 3), chance.randint(0, 300)),
            Moment(_FEATURES, chance.randint(1, 12), chance.randint(0, 100)),
            Moment("features/", chance.randint(1, 30), chance.randint(0, 100)),
            Moment("reduced/", chance.randint(1, 5), chance.randint(0, 20)),
            Moment("csv/", 1, chance.randint(0, 10)),
            Moment("rejects.csv", 1, 0),
            Moment("report.html", 1, 0),
            Moment("runs/", 1, 0),
        )
    )
