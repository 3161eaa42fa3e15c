"""The contact sheet: how the pictures of all samples changed over the last validations."""

from collections.abc import Sequence

import numpy as np

from lightning_explain.render.bar import color_bar
from lightning_explain.render.layout import EMPTY, edged, fit, framed, table
from lightning_explain.render.picture import Picture, require_image
from lightning_explain.render.text import HEADLINE, NOTE, paragraph

_SMALLEST, _LARGEST = 64, 112
_MARGIN, _GAP = 14, 5
_ROW_NAME_WIDTH = 120
_SMALLEST_TITLE_WIDTH = 72
_TITLE_WIDTH = 420
_BAR_WIDTH = 160


def contact_sheet(
    tag: str,
    columns: Sequence[tuple[str, Sequence[np.ndarray]]],
    row_names: Sequence[str],
    title: str,
    description: str = "",
    scale: float | None = None,
) -> Picture:
    """Draw a table of images: rows are samples, columns are validations.

    Args:
        tag: The picture's tag.
        columns: Title (such as ``"step 125"``) and images of every column, oldest first; the left-most may be the
            originals. Images are uint8 (height, width, 3), of any size, one per row.
        row_names: One name per sample.
        title: Headline of the sheet.
        description: The picture's description.
        scale: Scale of the images' colors; draws a color bar beneath the title.

    Returns:
        The picture.
    """
    _check(tag, columns, row_names)
    images = [[edged(fit(image, _SMALLEST, _LARGEST)) for image in column] for _, column in columns]
    widths = [max(_SMALLEST_TITLE_WIDTH, *(image.shape[1] for image in column)) for column in images]
    titles = [paragraph(name, width, NOTE) for (name, _), width in zip(columns, widths, strict=True)]
    names = [paragraph(name, _ROW_NAME_WIDTH, NOTE) for name in row_names]
    rows = [[EMPTY, *titles], *([name, *row] for name, *row in zip(names, *images, strict=True))]
    body = table(rows, (_GAP, _GAP), [1.0, *[0.5] * len(names)])
    header = paragraph(title, max(body.shape[1], _TITLE_WIDTH), HEADLINE)
    bar = EMPTY if scale is None else color_bar(scale, _BAR_WIDTH)
    page = table([[header], [bar], [body]], (_MARGIN, 0), (0.0, 0.0, 0.0))
    return Picture(tag, framed(page, _MARGIN), description)


def _check(tag: str, columns: Sequence[tuple[str, Sequence[np.ndarray]]], row_names: Sequence[str]) -> None:
    if not columns or not row_names:
        raise ValueError(
            f"Contact sheet {tag!r} needs at least one column and one row, got {len(columns)} and {len(row_names)}."
        )
    for name, images in columns:
        if len(images) != len(row_names):
            raise ValueError(
                f"Column {name!r} of contact sheet {tag!r} must have one image for each of the {len(row_names)} row"
                f" names, got {len(images)}."
            )
        for image in images:
            require_image(image, f"An image of column {name!r} of contact sheet {tag!r}")
