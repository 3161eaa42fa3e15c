"""From attributions to colors: which of them are shown, and where the color saturates."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import torch
from matplotlib.colors import Colormap, LinearSegmentedColormap
from torch import Tensor

from lightning_explain.captum.errors import ArgumentError

_Choice = TypeVar("_Choice", bound=Enum)


class VisualizeSign(Enum):
    """Which attributions are shown."""

    positive = 1
    absolute_value = 2
    negative = 3
    all = 4


_PARTS: dict[VisualizeSign, Callable[[np.ndarray], np.ndarray]] = {
    VisualizeSign.positive: lambda values: np.maximum(values, 0),
    VisualizeSign.negative: lambda values: np.maximum(-values, 0),
    VisualizeSign.absolute_value: np.abs,
    VisualizeSign.all: lambda values: values,
}
_COLORS = {VisualizeSign.positive: "Greens", VisualizeSign.negative: "Reds", VisualizeSign.absolute_value: "Blues"}


def array(values: object) -> np.ndarray:
    """Take what is a tensor for an array, too.

    Args:
        values: A tensor, or what NumPy makes an array of.

    Returns:
        The array.
    """
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16


def chosen(choices: type[_Choice], name: str) -> _Choice:
    """The choice of that name.

    Args:
        choices: All that there are.
        name: One of their names.

    Returns:
        The choice.

    Raises:
        ArgumentError: If there is none.
    """
    if name not in choices.__members__:
        raise ArgumentError(f"Expected one of {', '.join(map(repr, choices.__members__))}, got {name!r}.")
    return choices[name]


def normalised(attr: np.ndarray, sign: str, outlier_perc: float = 2) -> np.ndarray:
    """Bring attributions to the range of the colors.

    Args:
        attr: Any shape, finite.
        sign: Which of them are shown.
        outlier_perc: The largest values, which make up so many percent of the sum of all, saturate.

    Returns:
        float64 of the same shape: in [0, 1], or in [-1, 1] for ``"all"``. Zeros stay zeros.

    Raises:
        ArgumentError: If there is no such sign or percentage, no value, or one that is not finite.
    """
    values = np.asarray(attr, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ArgumentError(
            f"Expected finite attributions; of {values.size} values {int((~np.isfinite(values)).sum())} are not."
        )
    values = _PARTS[chosen(VisualizeSign, sign)](values)
    saturation = _saturation(np.abs(values), 100.0 - outlier_perc)
    with np.errstate(over="ignore"):
        # Where even the largest value that does not saturate is zero, whatever is not zero does.
        shares: np.ndarray = np.clip(values / max(saturation, np.finfo(np.float64).tiny), -1, 1)
    return shares


def palette(sign: str, cmap: str | Colormap | None = None) -> dict[str, Any]:
    """The colors of a sign.

    Args:
        sign: Which attributions are shown.
        cmap: Other colors than the usual ones.

    Returns:
        Matplotlib's arguments: ``cmap``, and the range ``vmin``, ``vmax``.
    """
    kind = chosen(VisualizeSign, sign)
    if cmap is None:
        cmap = red_white_green() if kind is VisualizeSign.all else _COLORS[kind]
    return {"cmap": cmap, "vmin": -1 if kind is VisualizeSign.all else 0, "vmax": 1}


def red_white_green() -> LinearSegmentedColormap:
    """Captum's colors of signed values: red for negative, white for zero, green for positive.

    Returns:
        The color map.
    """
    return LinearSegmentedColormap.from_list("RdWhGn", ["red", "white", "green"])


def _saturation(sizes: np.ndarray, percentage: float) -> float:
    if not 0 <= percentage <= 100:
        raise ArgumentError(f"Expected a percentage of outliers in [0, 100], got {100 - percentage}.")
    ordered = np.sort(sizes, axis=None)
    sums = np.cumsum(ordered)
    # Rounding may leave the sum of all just below 100 % of it.
    first = np.searchsorted(sums, sums[-1] * 0.01 * percentage)
    return float(ordered[min(first, len(ordered) - 1)])
