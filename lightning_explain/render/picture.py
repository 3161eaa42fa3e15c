"""A finished picture: what the loggers write."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COMPRESS_LEVEL = 3
_EIGHT_BIT_RGB = (8, 2, 0, 0, 0)
# The filters of a PNG's rows: as it is, and difference to the row above.
_NONE, _UP = 0, 2


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with the name under which it is logged.

    Args:
        tag: Name in the logger, such as ``"attribution/sample_03"``.
        image: Red, green and blue, uint8, of shape (height, width, 3).
        description: What the picture shows, in Markdown.

    Raises:
        ValueError: If the tag is empty, or the image has another type or shape.
    """

    tag: str
    image: np.ndarray
    description: str = ""

    def __post_init__(self) -> None:
        if not self.tag:
            raise ValueError("A picture needs a tag such as 'attribution/sample_03', got an empty one.")
        require_image(self.image, f"Picture {self.tag!r}")


def require_image(image: np.ndarray, what: str) -> None:
    """Refuse what is not an image.

    Raises:
        ValueError: If ``image`` is not a uint8 array of shape (height, width, 3) with at least one pixel.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{what} must be a numpy array, uint8, (height, width, 3); got {type(image).__name__}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"{what} must be uint8 of shape (height, width, 3), got {image.dtype} of shape {tuple(image.shape)}."
            " heat(), overlay() and tiles() make such images."
        )


def png(image: np.ndarray) -> bytes:
    """Encode an image, uint8 (height, width, 3), as PNG.

    Of twice the speed and four fifths of the size of Pillow's fastest level on enlarged pixels, since most rows
    repeat the row above: Pillow tries five filters per row, here the one that makes such a row zero is known.

    Returns:
        The file's bytes; decoding them gives ``image`` again, exactly.
    """
    require_image(image, "A PNG's image")
    height, width, _ = image.shape
    pixels = np.ascontiguousarray(image).reshape(height, -1)
    fresh = np.ones(height, dtype=bool)
    fresh[1:] = (pixels[1:] != pixels[:-1]).any(axis=1)
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = np.where(fresh, _NONE, _UP)
    rows[fresh, 1:] = pixels[fresh]
    header = struct.pack(">IIBBBBB", width, height, *_EIGHT_BIT_RGB)
    data = zlib.compress(rows.tobytes(), _COMPRESS_LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
