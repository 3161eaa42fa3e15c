"""Attributions of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_explain.captum.attr._utils.visualization.figure import canvas, color_bar, new_figure, show
from lightning_explain.captum.attr._utils.visualization.scale import (
    VisualizeSign,
    array,
    chosen,
    normalised,
    palette,
)
from lightning_explain.captum.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


class ImageVisualizationMethod(Enum):
    """How attributions of an image are drawn."""

    heat_map = 1
    blended_heat_map = 2
    original_image = 3
    masked_image = 4
    alpha_scaling = 5


@dataclass(frozen=True)
class _Drawing:
    # What is drawn: bytes (H, W) or (H, W, C) or nothing, and shares of the color's range (H, W).
    axes: Axes
    original: np.ndarray
    shares: np.ndarray
    colors: dict[str, Any]
    alpha: float


def visualize_image_attr(  # noqa: PLR0913  (Captum's signature)
    attr: np.ndarray,
    original_image: np.ndarray | None = None,
    method: str = "heat_map",
    sign: str = "absolute_value",
    plt_fig_axis: tuple[Figure, Axes] | None = None,
    outlier_perc: float = 2,
    cmap: str | Colormap | None = None,
    alpha_overlay: float = 0.5,
    show_colorbar: bool = False,
    title: str | None = None,
    fig_size: tuple[int, int] = (6, 6),
    use_pyplot: bool = True,
) -> tuple[Figure, Axes]:
    """Draw the attributions of an image.

    Args:
        attr: (H, W), or (H, W, C), which is summed over the channels. Finite; all of it may be zero.
        original_image: (H, W, C) or (H, W), in [0, 1] or in [0, 255]; needed by all methods but ``"heat_map"``.
        method: ``"heat_map"``; ``"blended_heat_map"``, over the image in grey; ``"original_image"``;
            ``"masked_image"``, the image times the attributions; ``"alpha_scaling"``, the image as opaque as they are.
        sign: ``"positive"``, ``"negative"``, ``"absolute_value"`` or ``"all"``, which the last two methods cannot show.
        plt_fig_axis: A figure and its axes to draw on, in place of new ones.
        outlier_perc: The largest attributions, which make up so many percent of their sum, saturate.
        cmap: Other colors than the usual ones: greens, reds, blues, and from red to green.
        alpha_overlay: Opacity of the blended heat map.
        show_colorbar: Whether a color bar is drawn, or its place kept where the method has none.
        title: Of the axes.
        fig_size: Of a new figure, in inches.
        use_pyplot: Whether the figure is one of pyplot, and shown.

    Returns:
        The figure and its axes.

    Raises:
        ArgumentError: If a choice does not exist, the original is missing, or shapes or values do not fit.
    """
    kind, attr = chosen(ImageVisualizationMethod, method), array(attr)
    original = None if original_image is None else _bytes(array(original_image))
    _check(kind, sign, attr, original)
    summed = attr.sum(axis=2) if attr.ndim == 3 else attr
    shares = normalised(summed, sign, outlier_perc) if kind is not ImageVisualizationMethod.original_image else summed
    colors = palette(sign, cmap)
    figure, axes = canvas(plt_fig_axis, fig_size, use_pyplot)
    axes = axes[0] if isinstance(axes, list) else axes
    _without_ticks(axes)
    blank = np.zeros((*summed.shape, 3), np.uint8)
    drawn = _METHODS[kind](_Drawing(axes, blank if original is None else original, shares, colors, alpha_overlay))
    if show_colorbar:
        color_bar(figure, axes, drawn, pad=0.1)
    if title:
        axes.set_title(title)
    show(use_pyplot)
    return figure, axes


def visualize_image_attr_multiple(
    attr: np.ndarray,
    original_image: np.ndarray | None,
    methods: list[str],
    signs: list[str],
    titles: list[str] | None = None,
    fig_size: tuple[int, int] = (8, 6),
    use_pyplot: bool = True,
    **kwargs: Any,
) -> tuple[Figure, Axes | list[Axes]]:
    """Draw the attributions of an image in several ways, side by side.

    Args:
        attr: As in :func:`visualize_image_attr`.
        original_image: The same.
        methods: One for each picture.
        signs: One for each picture.
        titles: One for each picture.
        fig_size: Of the whole figure, in inches.
        use_pyplot: Whether the figure is one of pyplot, and shown.
        kwargs: Further arguments for every picture.

    Returns:
        The figure, and its axes: those of the only picture, else a list.

    Raises:
        ArgumentError: If there are not as many methods as signs and titles, or a picture cannot be drawn.
    """
    named = [None] * len(methods) if titles is None else titles
    if not methods or len({len(methods), len(signs), len(named)}) > 1:
        raise ArgumentError(
            "Expected as many methods as signs and titles, at least one:"
            f" got {len(methods)}, {len(signs)} and {len(named)}."
        )
    figure = new_figure(fig_size, use_pyplot)
    axes = figure.subplots(1, len(methods), squeeze=False)[0].tolist()
    for method, sign, title, place in zip(methods, signs, named, axes, strict=True):
        visualize_image_attr(
            attr, original_image, method, sign, (figure, place), title=title, use_pyplot=False, **kwargs
        )
    figure.tight_layout()
    show(use_pyplot)
    return figure, axes[0] if len(axes) == 1 else axes


def _bytes(image: np.ndarray) -> np.ndarray:
    if image.ndim not in {2, 3} or not image.size:
        raise ArgumentError(f"Expected an image (height, width, channels) or (height, width), got {image.shape}.")
    image = image * 255 if image.max() <= 1 else image
    pixels: np.ndarray = np.clip(np.nan_to_num(image), 0, 255).astype(np.uint8)
    return pixels


def _check(kind: ImageVisualizationMethod, sign: str, attr: np.ndarray, original: np.ndarray | None) -> None:
    if attr.ndim not in {2, 3}:
        raise ArgumentError(f"Expected attributions (height, width, channels) or (height, width), got {attr.shape}.")
    if original is None and kind is not ImageVisualizationMethod.heat_map:
        raise ArgumentError(f"The method {kind.name!r} needs the original image; 'heat_map' does not.")
    unsigned = {ImageVisualizationMethod.masked_image, ImageVisualizationMethod.alpha_scaling}
    if chosen(VisualizeSign, sign) is VisualizeSign.all and kind in unsigned:
        raise ArgumentError(f"{kind.name!r} cannot show both signs; choose 'positive', 'negative' or 'absolute_value'.")
    combined = unsigned | {ImageVisualizationMethod.blended_heat_map}
    if original is not None and kind in combined and attr.shape[:2] != original.shape[:2]:
        raise ArgumentError(
            f"Attributions {attr.shape} and original {original.shape} differ in height or width; both have their"
            " channels last: numpy.transpose(x, (1, 2, 0)) of (channels, height, width)."
        )


def _without_ticks(axes: Axes) -> None:
    axes.xaxis.set_ticks_position("none")
    axes.yaxis.set_ticks_position("none")
    axes.set_xticklabels([])
    axes.set_yticklabels([])
    axes.grid(visible=False)


def _colored(image: np.ndarray) -> np.ndarray:
    # Grey images, (H, W) or (H, W, 1), with three channels.
    image = image if image.ndim == 3 else image[:, :, None]
    return image.repeat(3, axis=2) if image.shape[2] == 1 else image


def _heat_map(drawing: _Drawing) -> AxesImage:
    return drawing.axes.imshow(drawing.shares, **drawing.colors)


def _blended_heat_map(drawing: _Drawing) -> AxesImage:
    drawing.axes.imshow(_colored(drawing.original).mean(axis=2), cmap="gray")
    return drawing.axes.imshow(drawing.shares, alpha=drawing.alpha, **drawing.colors)


def _original_image(drawing: _Drawing) -> None:
    drawing.axes.imshow(_colored(drawing.original))


def _masked_image(drawing: _Drawing) -> None:
    drawing.axes.imshow((_colored(drawing.original) * drawing.shares[:, :, None]).astype(np.uint8))


def _alpha_scaling(drawing: _Drawing) -> None:
    opacity = (drawing.shares[:, :, None] * 255).astype(np.uint8)
    drawing.axes.imshow(np.concatenate([_colored(drawing.original)[:, :, :3], opacity], axis=2))


_METHODS: dict[ImageVisualizationMethod, Callable[[_Drawing], AxesImage | None]] = {
    ImageVisualizationMethod.heat_map: _heat_map,
    ImageVisualizationMethod.blended_heat_map: _blended_heat_map,
    ImageVisualizationMethod.original_image: _original_image,
    ImageVisualizationMethod.masked_image: _masked_image,
    ImageVisualizationMethod.alpha_scaling: _alpha_scaling,
}
