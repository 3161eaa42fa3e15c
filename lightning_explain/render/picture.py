"""A finished picture: what the loggers write."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

# Pictures are written at every validation: speed counts more than size.
_COMPRESS_LEVEL = 1


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

    Returns:
        The file's bytes; decoding them gives ``image`` again, exactly.
    """
    require_image(image, "A PNG's image")
    file = BytesIO()
    Image.fromarray(image).save(file, format="png", compress_level=_COMPRESS_LEVEL)
    return file.getvalue()
