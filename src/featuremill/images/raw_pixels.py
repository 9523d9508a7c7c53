"""Reads uncompressed pixels at once with NumPy, where Pillow reads them one by one.

Pillow reads the header. PNM with numbers as text or with an odd largest value, and DDS without
compression, take it 1 to 3 seconds a megapixel. What is not plainly in order is left to Pillow.
"""

from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

Pixels = npt.NDArray[np.uint8]

_BANDS = {"L": 1, "I": 1, "RGB": 3, "RGBA": 4}
_BLOCK, _LONGEST_NUMBER = 1 << 20, 10
"""Bytes of text that are read at a time, and of one number."""
_DIGITS_AND_SPACE = b"0123456789 \t\r\n\v\f"


def read_pixels(image: Image.Image) -> Pixels | None:
    """Pixels as Pillow would give them in RGB, of shape (height, width, 3), or None.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened and not loaded.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    if not isinstance(image, ImageFile.ImageFile) or len(tiles) != 1 or image.mode not in _BANDS:
        return None
    reader = _READERS.get(tiles[0].codec_name)
    if reader is None or image.fp is None:
        return None
    # as ImageFile.load does: the file of a DDS stands where its pixels begin
    getattr(image, "load_seek", image.fp.seek)(tiles[0].offset)
    levels = reader(image.fp, image, tiles[0].args)
    if levels is None:
        return None
    bands = levels.reshape(image.height, image.width, -1)[:, :, :3]
    return np.ascontiguousarray(np.broadcast_to(bands, (image.height, image.width, 3)))


def _of_text(file: IO[bytes], image: Image.Image, arguments: Any) -> Pixels | None:
    count, filled, rest = image.width * image.height * _BANDS[image.mode], 0, b""
    table = _table(image.mode, _largest(arguments))
    levels = np.empty(count, np.uint8)
    while filled < count:
        read = file.read(_BLOCK)
        # the last number of a block may go on in the next one; behind the last block it does not
        block = rest + (read or b" ")
        end = max(block.rfind(space) for space in (b" ", b"\n", b"\r", b"\t")) + 1
        block, rest = block[:end], block[end:]
        if block.translate(None, _DIGITS_AND_SPACE) or len(rest) > _LONGEST_NUMBER:
            return None  # comments, too
        numbers = np.fromstring(block, np.int32, sep=" ")[: count - filled]
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(table):
            return None
        levels[filled : filled + len(numbers)] = table[numbers]
        filled += len(numbers)
        if not read and filled < count:
            return None
    return levels


def _of_bytes(file: IO[bytes], image: Image.Image, arguments: Any) -> Pixels | None:
    count, largest = image.width * image.height * _BANDS[image.mode], _largest(arguments)
    kind = np.dtype(">u2" if largest > 255 else "u1")
    data = file.read(count * kind.itemsize)
    if len(data) < count * kind.itemsize:
        return None
    numbers = np.minimum(np.frombuffer(data, kind, count), largest)
    return _table(image.mode, largest)[numbers]


def _largest(arguments: Any) -> int:
    return int(arguments[-1] if isinstance(arguments, tuple) else arguments)


def _table(mode: str, largest: int) -> Pixels:
    """The level of each number."""
    # gray of more than 8 bits is brought to 16 by Pillow, of which the upper eight count
    most, shift = (65_535, 8) if mode == "I" else (255, 0)
    levels = [round(number / largest * most) >> shift for number in range(largest + 1)]
    return np.array(levels, np.uint8)


def _of_masks(file: IO[bytes], image: Image.Image, arguments: Any) -> Pixels | None:
    bits, masks = arguments
    count, size = image.width * image.height, bits // 8
    if not 1 <= size <= 4:
        return None
    data = file.read(count * size)
    if len(data) < count * size:
        return None
    packed = np.frombuffer(data, np.uint8, count * size).reshape(count, size)
    levels = np.zeros((count, min(3, len(masks))), np.uint8)
    for band, mask in enumerate(masks[:3]):
        zeros = (mask & -mask).bit_length() - 1 if mask else 0
        most = mask >> zeros
        if not 0 < most < 1 << 16:
            return None
        values = np.zeros(count, np.uint32)
        for byte in range(size):
            values |= packed[:, byte].astype(np.uint32) << np.uint32(8 * byte)
        values = (values & np.uint32(mask)) >> np.uint32(zeros)
        table = [int(value / most * 255) for value in range(most + 1)]
        levels[:, band] = np.array(table, np.uint8)[values]
    return levels


_READERS: dict[str, Callable[[IO[bytes], Image.Image, Any], Pixels | None]] = {
    "ppm_plain": _of_text,
    "ppm": _of_bytes,
    "dds_rgb": _of_masks,
}
