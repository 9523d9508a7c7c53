"""Public archives of fruit pictures that ``upload`` knows by a name, each at one commit.

What is said of them stands in their README at that commit; no test of this project fetches them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class DataSet:
    """A public archive, and what its makers say is in it.

    Parameters
    ----------
    address : str
        Of the archive.
    about : str
        Version, number of images and of classes, licence.
    strip : int
        Leading folders taken off each name.
    """

    address: str
    about: str
    strip: int = 1


_GITHUB = "https://codeload.github.com"
_100X100 = f"{_GITHUB}/fruits-360/fruits-360-100x100/tar.gz"

KNOWN: Mapping[str, DataSet] = MappingProxyType(
    {
        "fruits-360": DataSet(
            f"{_100X100}/2f981c83e352a9d4c15fb8c886034c817052c80b",
            "version 2024.08.04.0, 94,110 images of 141 classes, MIT licence",
        ),
        "fruits-360-2025": DataSet(
            f"{_100X100}/019ab6f4eec0f6b9bdae4efe8ee55f377bef8812",
            "version 2025.03.09.0, 102,639 images of 155 classes, CC BY-SA 4.0",
        ),
        "fruits-360-2020": DataSet(
            f"{_GITHUB}/Horea94/Fruit-Images-Dataset/tar.gz/ffda2d14eada57a0c5537700190b309cfea2e120",
            "version 2020.05.18.0, 90,483 images of 131 classes, of which Training holds 67,692,"
            " MIT licence",
        ),
        # where the course keeps it, as public repositories of those who took it write it down
        "fruits-course": DataSet(
            "https://s3.eu-west-1.amazonaws.com/course.oc-static.com/projects/Data_Scientist_P8/"
            "fruits.zip",
            "the archive of the course, whose number of images is not known here",
            strip=0,
        ),
    }
)
"""Name → data set; everyone who names it gets the same pictures."""
