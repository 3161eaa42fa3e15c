"""The color bar: which color is which attribution."""

from functools import lru_cache

import numpy as np

from lightning_explain.render.colors import heat
from lightning_explain.render.layout import EDGE, blank
from lightning_explain.render.text import NOTE, line

_HEIGHT, _GAP, _SPACING = 8, 2, 8


@lru_cache(maxsize=64)
def color_bar(scale: float, width: int) -> np.ndarray:
    """Draw a color bar with the numbers at its ends and its middle.

    Args:
        scale: Absolute value at its ends.
        width: Width in pixels; it is widened where the numbers need more.

    Returns:
        A read-only block.
    """
    labels = [line(text, NOTE) for text in (f"\N{MINUS SIGN}{scale:.2g}", "0", f"+{scale:.2g}")]
    # The middle number stands in the middle, so the wider of the outer two counts on both sides.
    outer = max(labels[0].shape[1], labels[2].shape[1])
    width = max(width, 2 * (outer + _SPACING) + labels[1].shape[1])
    block = blank(_HEIGHT + _GAP + labels[0].shape[0], width)
    block[:_HEIGHT] = EDGE
    block[1 : _HEIGHT - 1, 1:-1] = heat(np.linspace(-scale, scale, width - 2), scale)
    for label, anchor in zip(labels, (0.0, 0.5, 1.0), strict=True):
        left = round((width - label.shape[1]) * anchor)
        block[_HEIGHT + _GAP :, left : left + label.shape[1]] = label
    block.flags.writeable = False
    return block
