"""Figures of attributions of texts: by token, of the whole text, over an image."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input import ImageMaskInput
from lightning_explain.captum.attr._utils.visualization.mask import draw_mask_border, draw_mask_legend
from lightning_explain.captum.attr._utils.visualization.scale import red_white_green

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_POSITIVE, _NEGATIVE = "#4772b3", "#d0365b"
_OPACITY, _DARKER = 0.8, 0.7
_LONGEST_NAME = 50


def draw_tokens(attr: Tensor, features: list[str], tokens: list[str]) -> tuple[Figure, Axes]:
    """Draw the attributions of each token as a table.

    Args:
        attr: (tokens, features).
        features: The names of the columns.
        tokens: The names of the rows.

    Returns:
        The figure and its axes.
    """
    from matplotlib import pyplot

    values = attr.detach().float().cpu().numpy()
    figure, axes = pyplot.subplots()
    figure.set_size_inches(max(values.shape[1] * 1.3, 6.4), max(values.shape[0] / 2.5, 4.8))
    axes.grid(visible=False)
    image = axes.imshow(values, **_range(values), aspect="auto")
    _explain_colors(figure, axes, image, "Token Attribution")
    _name_columns(axes, features)
    axes.set_yticks(range(len(tokens)), labels=[_printable(token) for token in tokens])
    shades = np.asarray(image.norm(values))
    for (row, column), value in np.ndenumerate(values):
        color = "black" if 0.2 < shades[row, column] < 0.8 else "white"
        axes.text(column, row, f"{value:.4f}", ha="center", va="center", color=color)
    figure.set_facecolor("white")
    return figure, axes


def draw_sequence(attr: Tensor, features: list[str]) -> tuple[Figure, Axes]:
    """Draw the attributions of the whole text as bars.

    Args:
        attr: (features,).
        features: The names of the bars.

    Returns:
        The figure and its axes.
    """
    from matplotlib import pyplot

    values = attr.detach().float().cpu().numpy()
    figure, axes = pyplot.subplots()
    figure.set_size_inches(max(len(values) / 2, 6.4), max(len(values) / 4, 4.8))
    axes.bar(range(len(values)), values, color=[_POSITIVE if value > 0 else _NEGATIVE for value in values])
    _name_columns(axes, features)
    axes.set_ylabel("Sequence Attribution", rotation=90, va="bottom")
    figure.set_facecolor("white")
    return figure, axes


def draw_image(inp: ImageMaskInput, attr: Tensor, border_width: int, show_legends: bool) -> tuple[Figure, Axes]:
    """Draw attributions of regions over a grey image.

    Args:
        inp: The image and its regions.
        attr: (regions,).
        border_width: Pixels of each region's border; 0 for none.
        show_legends: Whether the regions' numbers are written on them.

    Returns:
        The figure and its axes.
    """
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.imshow(np.asarray(inp.image.convert("RGB")).mean(axis=2), cmap="gray")
    pixels = inp.format_pixel_attr(attr.detach().float().cpu())
    heat = axes.imshow(pixels.numpy(), **_range(pixels.numpy()), alpha=_OPACITY)
    _explain_colors(figure, axes, heat, "Attribution")
    for number, region, value in zip(inp.mask_id_to_idx, inp.get_mask_list(), attr.tolist(), strict=True):
        inside = region.cpu().numpy().astype(bool)
        red, green, blue, _ = heat.cmap(heat.norm(value))
        color = np.array([red * _DARKER, green * _DARKER, blue * _DARKER, _OPACITY])
        draw_mask_border(axes, inside, border_width, color)
        if show_legends:
            draw_mask_legend(axes, inside, str(number))
    figure.set_facecolor("white")
    axes.axis("off")
    return figure, axes


def _range(values: np.ndarray) -> dict[str, Any]:
    # White is zero. Where all is zero, any range will do that has a middle.
    largest = float(np.abs(values).max(initial=0)) or 1.0
    return {"vmin": -largest, "vmax": largest, "cmap": red_white_green()}


def _explain_colors(figure: Figure, axes: Axes, image: AxesImage, name: str) -> None:
    figure.colorbar(image, ax=axes).ax.set_ylabel(name, rotation=-90, va="bottom")


def _name_columns(axes: Axes, names: list[str]) -> None:
    labels = [shorten(_printable(name), width=_LONGEST_NAME, placeholder="...") for name in names]
    axes.set_xticks(range(len(names)), labels=labels)
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False)
    for label in axes.get_xticklabels():
        label.set(rotation=-30, ha="right", rotation_mode="anchor")


def _printable(text: str) -> str:
    return repr(text)[1:-1]
