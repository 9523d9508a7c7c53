"""What decoding a run's images came to: seconds beyond the ordinary, and pictures without contrast.

A picture that is made to cost much stays below the timeout of one image, and a thousand of them
would still take a night. Ordinary is a second, and two for each megabyte of the file: decoders go
through what is packed, tens of megabytes a second.
"""

from dataclasses import dataclass

from featuremill._utils.formatting import plural
from featuremill.errors import WorkerError

NO_TIME_LEFT = "not decoded: images before it took all the decoder's time that a run allows"
_ORDINARY_SECONDS, _ORDINARY_SECONDS_PER_BYTE = 1.0, 2e-6
_TIMEOUTS = 10
_SECONDS_FOR_EACH = 0.1
"""Beyond the ordinary a run may take ten times what one image may, and this for each image."""
_LEAST_LEVELS = 16
"""Of 256: a picture that uses less than a sixteenth of the range may have lost the rest."""


def most_excess(timeout: float, images: int = 0) -> float:
    """Seconds beyond the ordinary that a run may take for so many images."""
    return _TIMEOUTS * timeout + _SECONDS_FOR_EACH * images


@dataclass
class Decoding:
    """What decoding came to, of one task or of a whole run.

    ``excess`` are seconds beyond the ordinary, most of them for the image at ``slowest``;
    ``flat`` counts images that use less than a sixteenth of the range, one of which is
    ``flat_example``.
    """

    images: int = 0
    excess: float = 0.0
    slowest: str = ""
    slowest_seconds: float = 0.0
    flat: int = 0
    flat_example: str = ""

    def note_seconds(self, path: str, seconds: float, size: int) -> None:
        """Add the time that an image of ``size`` bytes took, whether it was decoded or not."""
        self.excess += max(0.0, seconds - _ORDINARY_SECONDS - _ORDINARY_SECONDS_PER_BYTE * size)
        if seconds > self.slowest_seconds:
            self.slowest, self.slowest_seconds = path, seconds

    def note_levels(self, path: str, spread: int) -> None:
        """Add an image as the network sees it: its brightest level less its darkest."""
        self.images += 1
        if spread < _LEAST_LEVELS:
            self.flat += 1
            self.flat_example = self.flat_example or path

    def add(self, other: "Decoding") -> None:
        """Add what another task came to."""
        self.images += other.images
        self.excess += other.excess
        self.flat += other.flat
        self.flat_example = self.flat_example or other.flat_example
        if other.slowest_seconds > self.slowest_seconds:
            self.slowest, self.slowest_seconds = other.slowest, other.slowest_seconds

    def check(self, timeout: float, images: int) -> None:
        """Raise WorkerError if it took more than a run of so many images may."""
        most = most_excess(timeout, images)
        if self.excess > most:
            raise WorkerError(
                f"images took {self.excess:,.0f} s longer to decode than images of their size do,"
                f" {most:,.0f} s are allowed; the slowest is {self.slowest}"
                f" ({self.slowest_seconds:.1f} s)",
                "Lower --image-timeout to reject such images sooner, or raise it to allow them: the"
                " bound is at least ten times it. What was committed is kept; run the same"
                " command again to resume.",
            )

    @property
    def warning(self) -> str:
        """A sentence on images without contrast; empty where there are none."""
        if not self.flat:
            return ""
        return (
            f"{self.flat:,} of {plural(self.images, 'image')} use under a sixteenth of the range"
            " from black to white once decoded: their features say little"
        )
