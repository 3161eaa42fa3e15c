"""Attributions of time series."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, Normalize

from lightning_explain.captum.attr._utils.visualization.figure import canvas, color_bar, show
from lightning_explain.captum.attr._utils.visualization.scale import array, chosen, normalised, palette
from lightning_explain.captum.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN = 0.1


class TimeseriesVisualizationMethod(Enum):
    """How attributions of a time series are drawn."""

    overlay_individual = 1
    overlay_combined = 2
    colored_graph = 3


@dataclass(frozen=True)
class _Series:
    # Data (C, N) at times (N,), shares of the color's range (C, N) or (N,).
    times: np.ndarray
    data: np.ndarray
    shares: np.ndarray
    labels: list[str] | None
    colors: dict[str, Any]
    alpha: float
    line: dict[str, Any]


def visualize_timeseries_attr(  # noqa: PLR0913  (Captum's signature)
    attr: np.ndarray,
    data: np.ndarray,
    x_values: np.ndarray | None = None,
    method: str = "overlay_individual",
    sign: str = "absolute_value",
    channel_labels: list[str] | None = None,
    channels_last: bool = True,
    plt_fig_axis: tuple[Figure, Axes | list[Axes]] | None = None,
    outlier_perc: float = 2,
    cmap: str | Colormap | None = None,
    alpha_overlay: float = 0.7,
    show_colorbar: bool = False,
    title: str | None = None,
    fig_size: tuple[int, int] = (6, 6),
    use_pyplot: bool = True,
    **pyplot_kwargs: Any,
) -> tuple[Figure, Axes | list[Axes]]:
    """Draw a time series and its attributions.

    Args:
        attr: (N, C), finite; all of it may be zero.
        data: (N, C), at times of equal distance.
        x_values: The times (N,); 0 to N - 1 where there are none.
        method: ``"overlay_individual"``, a panel for each channel over its attributions as a heat map;
            ``"overlay_combined"``, one panel over their sum; ``"colored_graph"``, a panel for each channel, drawn in
            their colors.
        sign: ``"positive"``, ``"negative"``, ``"absolute_value"`` or ``"all"``.
        channel_labels: One for each channel.
        channels_last: Whether channels are the last dimension, else the first.
        plt_fig_axis: A figure and its axes to draw on, one for each panel, in place of new ones.
        outlier_perc: The largest attributions, which make up so many percent of their sum, saturate.
        cmap: Other colors than the usual ones: greens, reds, blues, and from red to green.
        alpha_overlay: Opacity of the heat map.
        show_colorbar: Whether a color bar is drawn beneath the last panel.
        title: Of the first panel.
        fig_size: Of a new figure, in inches.
        use_pyplot: Whether the figure is one of pyplot, and shown.
        pyplot_kwargs: How the lines are drawn, such as ``linewidth=3``.

    Returns:
        The figure and its axes, an array of them where there are several panels.

    Raises:
        ArgumentError: If a choice does not exist, or shapes or values do not fit.
    """
    kind = chosen(TimeseriesVisualizationMethod, method)
    attr, data = (_channels_first(array(x), channels_last, what) for x, what in ((attr, "attr"), (data, "data")))
    times = np.arange(data.shape[1]) if x_values is None else array(x_values)
    _check(attr, data, times)
    combined = kind is TimeseriesVisualizationMethod.overlay_combined
    shares = normalised(attr.sum(axis=0) if combined else attr, sign, outlier_perc)
    series = _Series(times, data, shares, channel_labels, _colors(sign, cmap), alpha_overlay, pyplot_kwargs)
    panels = 1 if combined else len(data)
    figure, axes = canvas(plt_fig_axis, fig_size, use_pyplot, nrows=panels, sharex=True)
    places = np.ravel(np.asarray(axes, dtype=object)).tolist()
    if len(places) < panels:
        raise ArgumentError(f"Expected axes for {panels} panels, got {len(places)}.")
    _draw(kind, series, places, figure)
    if show_colorbar:
        opaque = kind is TimeseriesVisualizationMethod.colored_graph
        color_bar(figure, places[-1], _mappable(series), pad=0.4, alpha=1.0 if opaque else alpha_overlay)
    if title:
        places[0].set_title(title)
    show(use_pyplot)
    return figure, axes


def _channels_first(values: np.ndarray, channels_last: bool, what: str) -> np.ndarray:
    if values.ndim != 2:
        raise ArgumentError(f"Expected {what} of shape (times, channels), got {values.shape}.")
    return values.T if channels_last else values


def _check(attr: np.ndarray, data: np.ndarray, times: np.ndarray) -> None:
    channels, length = data.shape
    if attr.shape != data.shape:
        raise ArgumentError(f"Attributions and data differ in shape: {attr.shape} and {data.shape}, channels first.")
    if times.shape != (length,):
        raise ArgumentError(f"Expected x_values of shape ({length},), one for each time, got {times.shape}.")
    if channels > length:
        warnings.warn(
            f"{channels} channels of only {length} times each: should channels_last be changed?", stacklevel=3
        )


def _colors(sign: str, cmap: str | Colormap | None) -> dict[str, Any]:
    colors = palette(sign, cmap)
    found = colors["cmap"]
    return {
        "cmap": found if isinstance(found, Colormap) else matplotlib.colormaps[found],
        "norm": Normalize(colors["vmin"], colors["vmax"]),
    }


def _mappable(series: _Series) -> matplotlib.cm.ScalarMappable:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(**series.colors)


def _draw(kind: TimeseriesVisualizationMethod, series: _Series, places: list[Axes], figure: Figure) -> None:
    if kind is TimeseriesVisualizationMethod.overlay_combined:
        _draw_combined(series, places[0])
    else:
        one = _draw_over if kind is TimeseriesVisualizationMethod.overlay_individual else _draw_colored
        for channel in range(len(series.data)):
            one(series, channel, places[channel])
            if series.labels is not None:
                places[channel].set_ylabel(series.labels[channel])
        figure.subplots_adjust(hspace=0)
    for place in places:
        if len(series.times) > 1:
            place.set_xlim(series.times[0], series.times[-1])


def _draw_over(series: _Series, channel: int, axes: Axes) -> None:
    axes.plot(series.times, series.data[channel], **series.line)
    _columns(series, series.shares[channel], axes)


def _draw_combined(series: _Series, axes: Axes) -> None:
    axes.set_prop_cycle(color=matplotlib.colormaps["Dark2"].colors)  # type: ignore[attr-defined]  # it is a listed one
    for channel, values in enumerate(series.data):
        axes.plot(series.times, values, label=series.labels[channel] if series.labels else None, **series.line)
    _columns(series, series.shares, axes)
    if series.labels:
        axes.legend(loc="best")


def _draw_colored(series: _Series, channel: int, axes: Axes) -> None:
    from matplotlib.collections import LineCollection

    values = series.data[channel]
    points = np.stack([series.times, values], axis=1)
    pieces = LineCollection(np.stack([points[:-1], points[1:]], axis=1), **series.colors, **series.line)  # type: ignore[arg-type]
    pieces.set_array(series.shares[channel][:-1])
    axes.add_collection(pieces)
    margin = _MARGIN * (values.max() - values.min()) or 0.5
    axes.set_ylim(values.min() - margin, values.max() + margin)


def _columns(series: _Series, shares: np.ndarray, axes: Axes) -> None:
    # All columns in one artist; they reach from the bottom to the top, whatever the data's range becomes.
    from matplotlib.collections import PolyCollection

    half = (series.times[1] - series.times[0]) / 2 if len(series.times) > 1 else 0.5
    across = series.times[:, None] + np.array([-half, -half, half, half])
    corners = np.stack([across, np.broadcast_to([0.0, 1.0, 1.0, 0.0], across.shape)], axis=2)
    columns = PolyCollection(
        list(corners), transform=axes.get_xaxis_transform(), alpha=series.alpha, edgecolors="none", antialiaseds=False
    )
    columns.set(array=shares, **series.colors)
    axes.add_collection(columns, autolim=False)
