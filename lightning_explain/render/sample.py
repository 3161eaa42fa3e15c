"""One sample: the original beside what every method says about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_explain.render.bar import color_bar
from lightning_explain.render.layout import EMPTY, edged, fit, framed, table
from lightning_explain.render.picture import Picture, require_image
from lightning_explain.render.text import HEADLINE, NOTE, TITLE, paragraph

_SMALLEST, _LARGEST = 112, 224
_MARGIN, _COLUMN_GAP, _ROW_GAP = 14, 16, 6
_PER_ROW = 6
# Text under and over a tile may be this wide even if the tile is not.
_TEXT_WIDTH = 132
_CAPTION_WIDTH = 420


@dataclass(frozen=True, eq=False)
class Tile:
    """An image with its title, for :func:`sample_picture`.

    Args:
        title: What it shows, such as ``"original"`` or a method's name.
        image: uint8 (height, width, 3), of any size.
        scale: Scale of its colors; draws a color bar beneath.
        note: Text beneath, such as the method's score.

    Raises:
        ValueError: If the image has another type or shape.
    """

    title: str
    image: np.ndarray
    scale: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        require_image(self.image, f"Tile {self.title!r}")


def sample_picture(tag: str, tiles: Sequence[Tile], captions: Sequence[str] = (), description: str = "") -> Picture:
    """Draw the tiles of one sample side by side, in rows of six.

    Args:
        tag: The picture's tag.
        tiles: The original or originals, then one tile per method.
        captions: Lines of text above the tiles; the first is the headline.
        description: The picture's description.

    Returns:
        The picture; it grows with its text, of which nothing is cut off.

    Raises:
        ValueError: If there is no tile.
    """
    if not tiles:
        raise ValueError(f"Picture {tag!r} needs at least one tile, got none.")
    rows: list[list[np.ndarray]] = []
    for start in range(0, len(tiles), _PER_ROW):
        rows += _bands(tiles[start : start + _PER_ROW])
    body = table(rows, (_ROW_GAP, _COLUMN_GAP), [1.0, 0.0, 0.0, 0.0] * (len(rows) // 4))
    width = max(body.shape[1], _CAPTION_WIDTH)
    lines = [paragraph(text, width, NOTE if i else HEADLINE) for i, text in enumerate(captions)]
    header = table([[block] for block in lines], (2, 0), [0.0] * len(lines)) if lines else EMPTY
    page = table([[header], [body]], (_MARGIN, 0), (0.0, 0.0))
    return Picture(tag, framed(page, _MARGIN), description)


def _bands(tiles: Sequence[Tile]) -> list[list[np.ndarray]]:
    # Four rows of blocks: titles, images, color bars and notes.
    images = [edged(fit(tile.image, _SMALLEST, _LARGEST)) for tile in tiles]
    widths = [max(image.shape[1], _TEXT_WIDTH) for image in images]
    return [
        [paragraph(tile.title, width, TITLE) for tile, width in zip(tiles, widths, strict=True)],
        images,
        [
            EMPTY if tile.scale is None else color_bar(tile.scale, image.shape[1])
            for tile, image in zip(tiles, images, strict=True)
        ],
        [paragraph(tile.note, width, NOTE) for tile, width in zip(tiles, widths, strict=True)],
    ]
