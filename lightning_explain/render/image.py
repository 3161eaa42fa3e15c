"""Images: samples (channels, height, width)."""

import numpy as np


def background(samples: np.ndarray) -> np.ndarray:
    """Arrange images for display.

    Args:
        samples: (n, channels, height, width).

    Returns:
        (n, height, width, 3) for three channels, else the channels' mean, (n, height, width).
    """
    return np.moveaxis(samples, 1, -1) if samples.shape[1] == 3 else samples.mean(axis=1)


def relevance(attributions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum attributions over the channels.

    Args:
        attributions: (n, channels or 1, height, width).
        shape: Shape of the samples they belong to.

    Returns:
        (n, height, width).

    Raises:
        ValueError: If the shapes do not belong together.
    """
    if attributions.shape not in (shape, (shape[0], 1, *shape[2:])):
        raise ValueError(
            f"Attributions of samples of shape {shape} must have that shape, or one channel; got {attributions.shape}."
        )
    summed: np.ndarray = attributions.sum(axis=1)
    return summed


def arrange(colors: np.ndarray) -> np.ndarray:
    """Arrange colored pixels.

    Returns:
        The same: images are already arranged.
    """
    return colors
