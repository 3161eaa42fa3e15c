"""Samples that are no images, such as tabular rows, time series and token ids: a grid of cells."""

import math

import numpy as np

from lightning_explain.render.layout import BACKGROUND

# Vectors up to this length stay in one row.
_LONGEST_ROW = 16
# A grid is drawn at most this many times wider than high, or higher than wide: thin ones get higher or wider cells.
_LARGEST_RATIO = 4


def background(samples: np.ndarray) -> np.ndarray:
    """Arrange samples as matrices: rows are channels, columns are positions.

    Args:
        samples: (n, ...).

    Returns:
        (n, rows, columns), a single row for vectors, a single cell for numbers.
    """
    columns = samples.shape[-1] if samples.ndim > 1 else 1
    return samples.reshape(len(samples), -1, columns)


def relevance(attributions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Arrange attributions as their samples are.

    Args:
        attributions: Of the samples' shape; axes that have length 1 are repeated.
        shape: Shape of the samples they belong to.

    Returns:
        (n, rows, columns).

    Raises:
        ValueError: If the shapes do not belong together.
    """
    try:
        fitting = np.broadcast_to(attributions, shape)
    except ValueError:
        raise ValueError(
            f"Attributions of samples of shape {shape} must have that shape, or length 1 along an axis;"
            f" got {attributions.shape}."
        ) from None
    return background(fitting)


def arrange(colors: np.ndarray) -> np.ndarray:
    """Arrange colored cells, so that the grid is neither a line nor a needle.

    Args:
        colors: uint8 (n, rows, columns, 3).

    Returns:
        uint8 (n, height, width, 3): long vectors are wrapped into a roughly square grid, which unused cells leave
        blank; in thin matrices the cells are stretched.
    """
    if colors.shape[1] == 1 and colors.shape[2] > _LONGEST_ROW:
        colors = _wrap(colors)
    rows, columns = colors.shape[1:3]
    taller, wider = math.ceil(columns / (_LARGEST_RATIO * rows)), math.ceil(rows / (_LARGEST_RATIO * columns))
    return colors.repeat(taller, axis=1).repeat(wider, axis=2)


def _wrap(colors: np.ndarray) -> np.ndarray:
    n, _, length, _ = colors.shape
    columns = math.ceil(math.sqrt(length))
    rows = math.ceil(length / columns)
    cells = np.full((n, rows * columns, 3), BACKGROUND, dtype=np.uint8)
    cells[:, :length] = colors[:, 0]
    return cells.reshape(n, rows, columns, 3)
