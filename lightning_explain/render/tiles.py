"""Samples and their attributions as small images, one per sample."""

import numpy as np

from lightning_explain.render import grid, image
from lightning_explain.render.colors import overlay, to_bytes

Range = tuple[float, float]


def tiles(
    samples: np.ndarray,
    attributions: np.ndarray | None = None,
    scale: float = 1.0,
    value_range: Range | None = None,
) -> list[np.ndarray]:
    """Draw samples, or their attributions over the greyed samples.

    Args:
        samples: (n, ...), of any type of number. Samples (channels, height, width) are drawn as images, all others
            as a grid of cells.
        attributions: Of the samples' shape, or with one channel; summed over the channels of images. None draws the
            samples themselves.
        scale: Absolute attribution at which the color saturates, see :func:`~lightning_explain.render.colors.heat`.
        value_range: The sample values drawn black and white; None takes each sample's own smallest and largest.

    Returns:
        n images uint8 (height, width, 3), one pixel per value; they are brought to size where they are used.

    Raises:
        ValueError: If the shapes do not belong together, or a sample holds no value.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim == 0 or 0 in samples.shape[1:]:
        raise ValueError(f"Samples to draw must be (n, ...) with at least one value each, got shape {samples.shape}.")
    modality = image if samples.ndim == 4 else grid
    background = modality.background(_unit(samples, value_range))
    if attributions is None:
        return list(modality.arrange(_shown(background)))
    values = modality.relevance(np.asarray(attributions, dtype=np.float32), samples.shape)
    return list(modality.arrange(overlay(background, values, scale)))


def _unit(samples: np.ndarray, value_range: Range | None) -> np.ndarray:
    within = tuple(range(1, samples.ndim))
    low, high = value_range or (samples.min(axis=within, keepdims=True), samples.max(axis=within, keepdims=True))
    span = np.asarray(high, dtype=np.float32) - np.asarray(low, dtype=np.float32)
    # A sample of one value is drawn in middle grey: it is neither the smallest nor the largest.
    return np.where(span > 0, (samples - low) / np.where(span > 0, span, 1), np.float32(0.5))


def _shown(background: np.ndarray) -> np.ndarray:
    pixels = to_bytes(background)
    return pixels if background.ndim == 4 else np.repeat(pixels[..., None], 3, axis=-1)
