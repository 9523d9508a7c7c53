"""A source that changes at random, and what each of its files should turn into."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from featuremill.images.synth import SynthConfig, draw, encode

BAD = -1
"""Content of a file that is no image."""

CLASSES = 6
_SIDE = 40


@dataclass
class World:
    """Files of a source, by their path: the number of the picture in each, or ``BAD``."""

    folder: Path
    pictures: list[bytes]
    files: dict[str, int] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    _named: int = 0

    def append(self, chance: random.Random, count: int) -> None:
        """Add files; one of fifty is no image."""
        for _ in range(count):
            self._named += 1
            path = self.folder / f"class {chance.randrange(CLASSES)}" / f"{self._named:05d}.jpg"
            content = BAD if chance.random() < 0.02 else chance.randrange(len(self.pictures))
            self._write(str(path), content)

    def change(self, chance: random.Random, count: int) -> None:
        """Give files another picture; what is no image can become one, and the other way round."""
        for path in chance.sample(sorted(self.files), min(count, len(self.files))):
            others = [n for n in range(BAD, len(self.pictures)) if n != self.files[path]]
            self._write(path, chance.choice(others))

    def remove(self, chance: random.Random, count: int) -> None:
        """Take files away."""
        for path in chance.sample(sorted(self.files), min(count, len(self.files))):
            Path(path).unlink()
            del self.files[path]

    def version(self, path: str) -> str:
        """Version of a file as it is now, as the table has it."""
        status = Path(path).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"

    def _write(self, path: str, content: int) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        data = b"\xff\xd8 no image" if content == BAD else self.pictures[content]
        Path(path).write_bytes(data)
        self.files[path] = content


def drawn(count: int, seed: int) -> list[bytes]:
    """Small pictures, all different."""
    config = SynthConfig(classes=CLASSES, per_class=-(-count // CLASSES), seed=seed, size=_SIDE)
    return [encode(draw(n % CLASSES, n // CLASSES, config), "jpeg") for n in range(count)]
