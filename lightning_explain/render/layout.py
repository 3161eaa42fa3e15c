"""Blocks of pixels, put together so that nothing is ever cut off or overlaps."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

# A grey level: one number, since filling with a color takes twenty times as long.
BACKGROUND = 255
EDGE = 205
EMPTY = np.zeros((0, 0, 3), dtype=np.uint8)


def table(rows: Sequence[Sequence[np.ndarray]], gap: tuple[int, int], anchors: Sequence[float]) -> np.ndarray:
    """Put blocks into a table whose columns and rows are as large as their largest block.

    Args:
        rows: Blocks, uint8 (height, width, 3), aligned to the left; ``EMPTY`` for an empty cell. Rows and columns
            without any pixel take no space.
        gap: Space between rows and between columns.
        anchors: Per row, where its blocks stand: 0 at its top, 0.5 in its middle, 1 at its bottom.

    Returns:
        One block.
    """
    columns = max(map(len, rows))
    heights = [max(block.shape[0] for block in row) for row in rows]
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(columns)]
    tops, height = _places(heights, gap[0])
    lefts, width = _places(widths, gap[1])
    canvas = blank(height, width)
    for row, top, space, anchor in zip(rows, tops, heights, anchors, strict=True):
        for block, left in zip(row, lefts, strict=False):
            shift = top + round((space - block.shape[0]) * anchor)
            canvas[shift : shift + block.shape[0], left : left + block.shape[1]] = block
    return canvas


def framed(block: np.ndarray, margin: int) -> np.ndarray:
    """Surround a block with background.

    Returns:
        A block larger by ``margin`` on every side.
    """
    canvas = blank(block.shape[0] + 2 * margin, block.shape[1] + 2 * margin)
    canvas[margin : margin + block.shape[0], margin : margin + block.shape[1]] = block
    return canvas


def edged(image: np.ndarray) -> np.ndarray:
    """Draw a hairline around an image, so that its white parts end somewhere.

    Returns:
        A block larger by one pixel on every side.
    """
    canvas = np.full((image.shape[0] + 2, image.shape[1] + 2, 3), EDGE, dtype=np.uint8)
    canvas[1:-1, 1:-1] = image
    return canvas


def fit(image: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    """Bring an image to a size that can be looked at.

    Args:
        image: uint8 (height, width, 3).
        smallest: The longer side is at least this: smaller images are enlarged by an integer factor, so that a
            pixel stays a square of one color.
        largest: The longer side is at most this: larger images are reduced, pixels averaged.

    Returns:
        The image itself if its size is right.
    """
    longer = max(image.shape[:2])
    if longer < smallest:
        factor = math.ceil(smallest / longer)
        return image.repeat(factor, axis=1).repeat(factor, axis=0)
    if longer > largest:
        height, width = (max(1, round(side * largest / longer)) for side in image.shape[:2])
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    return image


def blank(height: int, width: int) -> np.ndarray:
    """Make an empty canvas.

    Returns:
        uint8 (height, width, 3), all of it background.
    """
    return np.full((height, width, 3), BACKGROUND, dtype=np.uint8)


def _places(sizes: Sequence[int], gap: int) -> tuple[list[int], int]:
    places, end = [], 0
    for size in sizes:
        start = end + gap if size and end else end
        places.append(start)
        end = start + size
    return places, end
