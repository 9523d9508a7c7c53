"""Large photos to the network's input size, in one process: Pillow alone, or featuremill."""

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from featuremill.images import decode
from featuremill.images.decode import Limits

SIZE = (224, 224)
LIMITS = Limits()

Pixels = npt.NDArray[np.uint8]


def with_pillow(jpeg: bytes) -> Pixels:
    """Every pixel, by Pillow: the reference."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    return np.asarray(image.resize(SIZE[::-1], Image.Resampling.BICUBIC))


def every_pixel(jpeg: bytes) -> Pixels:
    """As runs at fp32 do it."""
    return decode.resize(decode.decode(jpeg, LIMITS).pixels, SIZE)


def as_needed(jpeg: bytes) -> Pixels:
    """As runs at auto and mixed precision do it: very large ones are decoded smaller."""
    return decode.resize(decode.decode(jpeg, LIMITS, SIZE).pixels, SIZE)


WAYS: dict[str, Callable[[bytes], Pixels]] = {
    "pillow": with_pillow,
    "fp32": every_pixel,
    "auto": as_needed,
}


def main() -> None:
    """Print images per second for every folder of photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    way = WAYS[options.way]
    print(
        json.dumps({str(folder): _rate(way, folder, options.seconds) for folder in options.folders})
    )


def _rate(way: Callable[[bytes], Pixels], folder: Path, seconds: float) -> float:
    photos = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]
    way(photos[0])
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for photo in photos:
            way(photo)
        done += len(photos)
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
