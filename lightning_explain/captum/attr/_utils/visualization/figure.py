"""Figures to draw on, with pyplot or without; pyplot is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure


def new_figure(fig_size: tuple[int, int], use_pyplot: bool) -> Figure:
    """A new figure.

    Args:
        fig_size: Width and height in inches.
        use_pyplot: Whether pyplot is to know and to show it.

    Returns:
        The figure, without axes.
    """
    if use_pyplot:
        from matplotlib import pyplot

        return pyplot.figure(figsize=fig_size)
    from matplotlib.figure import Figure

    return Figure(figsize=fig_size)


def canvas(
    given: tuple[Figure, Any] | None, fig_size: tuple[int, int], use_pyplot: bool, **layout: Any
) -> tuple[Figure, Any]:
    """The figure and the axes to draw on.

    Args:
        given: Those of the user.
        fig_size: As in :func:`new_figure`, where none are given.
        use_pyplot: The same.
        layout: How a new figure is divided.

    Returns:
        A figure, and its axes or an array of them.
    """
    if given is not None:
        return given
    figure = new_figure(fig_size, use_pyplot)
    return figure, figure.subplots(**layout)


def show(use_pyplot: bool) -> None:
    """Show the figures that pyplot knows.

    Args:
        use_pyplot: Whether to.
    """
    if use_pyplot:
        from matplotlib import pyplot

        pyplot.show()


def color_bar(
    figure: Figure, axes: Axes, colored: ScalarMappable | None, pad: float, alpha: float | None = None
) -> None:
    """Draw a color bar beneath axes.

    Args:
        figure: The figure.
        axes: Some of its axes.
        colored: What it explains; None leaves its place empty, so that axes side by side stay in line.
        pad: Distance from the axes, in inches.
        alpha: Opacity.
    """
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    place = make_axes_locatable(axes).append_axes("bottom", size="5%", pad=pad)
    if colored is None:
        place.axis("off")
    else:
        figure.colorbar(colored, cax=place, orientation="horizontal", alpha=alpha)
