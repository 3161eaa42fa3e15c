"""Borders and names of regions of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgba

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_mask_border(
    ax: Axes, mask: np.ndarray, border_width: int = 1, border_color: str | np.ndarray = "black"
) -> None:
    """Draw the border of a region, inside of it.

    Args:
        ax: Axes that show the image.
        mask: (H, W), true in the region. Nothing is drawn where it is empty.
        border_width: Pixels, in steps to the side, up or down; what lies beyond the image counts as outside.
        border_color: A color's name, or red, green, blue and opacity in [0, 1].
    """
    mask = np.asarray(mask, dtype=bool)
    border = mask & ~_eroded(mask, border_width)
    if border.any():
        color = np.asarray(to_rgba(border_color) if isinstance(border_color, str) else border_color)
        ax.imshow(border[:, :, None] * color)


def draw_mask_legend(
    ax: Axes,
    mask: np.ndarray,
    label: str,
    fontsize: int = 10,
    text_color: str = "white",
    bbox_facecolor: str = "black",
    bbox_alpha: float = 0.6,
) -> None:
    """Write a region's name at its centre of mass.

    Args:
        ax: Axes that show the image.
        mask: (H, W), true in the region. Nothing is written where it is empty.
        label: The name.
        fontsize: Its size, in points.
        text_color: Its color.
        bbox_facecolor: The color of the box behind it.
        bbox_alpha: The opacity of the box.
    """
    places = np.argwhere(mask)
    if len(places):
        y, x = places.mean(axis=0)
        box = {"boxstyle": "round,pad=0.2", "facecolor": bbox_facecolor, "alpha": bbox_alpha}
        ax.text(x, y, label, color=text_color, fontsize=fontsize, ha="center", va="center", bbox=box)


def _eroded(mask: np.ndarray, steps: int) -> np.ndarray:
    # What is left of a region when all that touches its outside by a side is taken, step by step.
    for _ in range(steps):
        framed = np.pad(mask, 1)
        mask = mask & framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return mask
