"""Signed values as colors: red is positive, blue is negative, and zero shows what lies beneath."""

import math
from functools import cache

import matplotlib
import numpy as np

# Pure blue and red at the ends: on a light, greyed original they stay apart at every opacity.
_COLORMAP = "bwr"
# An odd number of levels, so that zero has one of its own: the middle one.
_HALF = 127
_NAN_LEVEL = 2 * _HALF + 1
NAN_COLOR = (255, 0, 255)
# The original is drawn between these grey levels, light enough for both colors to stand out.
_DARKEST, _LIGHTEST = 96, 255
# Below one, so that small values are not lost beside the few large ones.
_OPACITY_EXPONENT = 0.7
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def heat(values: np.ndarray, scale: float) -> np.ndarray:
    """Color signed values; the color depends on ``value / scale`` alone.

    Args:
        values: Any shape.
        scale: Absolute value at which the color saturates, positive. Keep it for a whole run, so that pictures compare.

    Returns:
        Colors uint8, of shape ``(*values.shape, 3)``; NaN has a color of its own, magenta.

    Example:
        >>> heat(np.array([-1.0, 0.0, 1.0]), scale=1.0).tolist()
        [[0, 0, 255], [255, 255, 255], [255, 0, 0]]
    """
    return np.take(_heat_table(), _levels(values, scale), axis=0)


def overlay(background: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """Lay the colors of signed values over a greyed original, more opaque the larger the value is.

    Args:
        background: The original in [0, 1], of the shape of ``values``, or with three colors as a last axis.
        values: Any shape, such as (height, width) or (n, height, width).
        scale: As in :func:`heat`.

    Returns:
        Colors uint8, of shape ``(*values.shape, 3)``; where the value is zero, the greyed original.

    Raises:
        ValueError: If the shapes do not belong together.
    """
    values, background = np.asarray(values), np.asarray(background)
    if background.shape == (*values.shape, 3):
        background = background @ _LUMINANCE
    if background.shape != values.shape:
        raise ValueError(
            f"The background of values of shape {values.shape} must have shape {values.shape} or"
            f" {(*values.shape, 3)}, got {background.shape}."
        )
    rows = _levels(values, scale).astype(np.intp) * 256 + to_bytes(background)
    return np.take(_overlay_table(), rows, axis=0)


def to_bytes(unit: np.ndarray) -> np.ndarray:
    """Brightness in [0, 1] as bytes.

    Returns:
        uint8 of the same shape, rounded; values outside the range saturate and NaN is black.
    """
    scaled = np.nan_to_num(np.asarray(unit, dtype=np.float32) * 255, nan=0.0)
    pixels: np.ndarray = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return pixels


def fixed_scale(values: np.ndarray, quantile: float = 0.99) -> float:
    """Choose a scale from the first values of a run, to be kept for the rest of it.

    Args:
        values: Any shape.
        quantile: Share of the absolute values that shall not saturate; zeros do not count, since sparse maps
            would otherwise be given a scale far below what they show.

    Returns:
        A positive finite number, 1 if there is no value but zero and NaN.
    """
    magnitudes = np.abs(np.asarray(values, dtype=np.float64)).ravel()
    magnitudes = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    return float(np.quantile(magnitudes, quantile)) if magnitudes.size else 1.0


def _levels(values: np.ndarray, scale: float) -> np.ndarray:
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"The color scale must be a positive finite number such as fixed_scale(values), got {scale}.")
    # Float64: dividing by a tiny scale must saturate, not overflow.
    shares = np.asarray(values, dtype=np.float64) / scale
    levels = np.rint(np.clip(shares, -1, 1) * _HALF) + _HALF
    return np.where(np.isnan(shares), _NAN_LEVEL, levels).astype(np.uint8)


@cache
def _heat_table() -> np.ndarray:
    colormap = matplotlib.colormaps[_COLORMAP]
    colors = colormap(np.linspace(0.0, 1.0, 2 * _HALF + 1))[:, :3]
    # The map has an even number of entries, none of which is exactly its middle.
    colors[_HALF] = (colors[_HALF - 1] + colors[_HALF + 1]) / 2
    table = np.rint(np.vstack([colors, np.array(NAN_COLOR) / 255]) * 255).astype(np.uint8)
    return _frozen(table)


@cache
def _overlay_table() -> np.ndarray:
    # Every level over every grey: 256 times 256 colors, row `level * 256 + grey`.
    shares = np.abs(np.arange(256) - _HALF) / _HALF
    opacity = np.minimum(shares, 1.0) ** _OPACITY_EXPONENT
    grey = np.linspace(_DARKEST, _LIGHTEST, 256)
    colors = _heat_table().astype(np.float64)
    mixed = opacity[:, None, None] * colors[:, None, :] + (1 - opacity)[:, None, None] * grey[None, :, None]
    return _frozen(np.rint(mixed).astype(np.uint8).reshape(-1, 3))


def _frozen(table: np.ndarray) -> np.ndarray:
    table.flags.writeable = False
    return table
