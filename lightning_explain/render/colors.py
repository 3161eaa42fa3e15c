"""Signed values as colors: red is positive, blue is negative, and zero shows what lies beneath."""

import math
from functools import cache

import matplotlib
import numpy as np

# ColorBrewer's red and blue, without the darkest ends, which would be lost on a dark original.
_COLORMAP, _ENDS = "RdBu_r", (0.08, 0.92)
# An odd number of levels, so that zero has one of its own: the middle one.
_HALF = 127
_NAN_LEVEL = 2 * _HALF + 1
NAN_COLOR = (255, 0, 255)
# The original is drawn between these grey levels, light enough for both colors to stand out.
_DARKEST, _LIGHTEST = 144, 255
# Colors grow with the square root of the value: attributions are a few large values among many small ones, and grow
# while a model trains.
_EXPONENT = 0.5
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
        [[27, 90, 156], [255, 255, 255], [162, 19, 40]]
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
    colors: np.ndarray = np.take(_overlay_table(), rows, axis=0)
    return colors


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


def relative(attributions: np.ndarray) -> np.ndarray:
    """Divide every sample's attributions by their mean absolute value.

    Their size usually grows manyfold while a model trains; where a model looks is then seen best on such a scale, on
    which 1 is what every value would have if relevance were spread evenly.

    Args:
        attributions: (n, ...). Sum those of an image over its channels first, as they are drawn.

    Returns:
        float64 of the same shape; samples without any relevance stay zero, and NaN stays NaN.
    """
    values = np.asarray(attributions, dtype=np.float64)
    flat = np.abs(values.reshape(len(values), -1))
    counted = np.isfinite(flat)
    mean = np.where(counted, flat, 0.0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    shape = (-1,) + (1,) * (values.ndim - 1)
    return values / np.where(mean > 0, mean, 1.0).reshape(shape)


def _levels(values: np.ndarray, scale: float) -> np.ndarray:
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"The color scale must be a positive finite number such as fixed_scale(values), got {scale}.")
    # Clipped before it is divided: by a tiny scale, large values would overflow.
    shares = np.clip(np.asarray(values, dtype=np.float64), -scale, scale) / scale
    levels = np.rint(np.copysign(np.abs(shares) ** _EXPONENT, shares) * _HALF) + _HALF
    return np.where(np.isnan(shares), _NAN_LEVEL, levels).astype(np.uint8)


@cache
def _heat_table() -> np.ndarray:
    colors = matplotlib.colormaps[_COLORMAP](np.linspace(*_ENDS, 2 * _HALF + 1))[:, :3] * 255
    # Zero is exactly white, and both sides run into it: the map's own middle is a light grey.
    colors += (255 - colors[_HALF]) * (1 - _opacity())[: len(colors), None]
    return _frozen(np.vstack([colors, NAN_COLOR]))


@cache
def _overlay_table() -> np.ndarray:
    # Every level over every grey, row `level * 256 + grey`: the heat darkened by what is not white in the original,
    # as far as it is transparent. Over white it is the heat, so that one color bar explains both.
    shadow = 255 - np.linspace(_DARKEST, _LIGHTEST, 256)
    colors = _heat_table().astype(np.float64)[:, None, :] - ((1 - _opacity())[:, None] * shadow)[:, :, None]
    return _frozen(colors.reshape(-1, 3))


def _opacity() -> np.ndarray:
    opacity: np.ndarray = np.minimum(np.abs(np.arange(_NAN_LEVEL + 1) - _HALF) / _HALF, 1.0)
    return opacity


def _frozen(colors: np.ndarray) -> np.ndarray:
    table: np.ndarray = np.rint(np.clip(colors, 0, 255)).astype(np.uint8)
    table.flags.writeable = False
    return table
