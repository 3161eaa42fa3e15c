"""Maps of a layer, as fine as what they are laid over."""

import torch.nn.functional as F
from torch import Tensor

from lightning_explain.registry import unknown

LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
MODES = {
    "linear": (3, 4, 5),
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "bilinear": (4,),
    "bicubic": (4,),
    "trilinear": (5,),
}
"""How to interpolate -> the numbers of dimensions, batch and channels counted, that it is there for."""


def upsampled(maps: Tensor, sides: tuple[int, ...], mode: str = "linear") -> Tensor:
    """Interpolate maps.

    Args:
        maps: Maps (n, channels, positions...) with one to three dimensions of positions.
        sides: As many positions as are wanted.
        mode: One of ``MODES``; ``"linear"`` along every dimension, whatever their number.

    Returns:
        Maps (n, channels, sides...).

    Raises:
        ValueError: If the mode is not there for as many dimensions.

    Example:
        >>> import torch
        >>> upsampled(torch.tensor([[[0.0, 1.0]]]), (4,))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
        >>> upsampled(torch.tensor([[[0.0, 1.0]]]), (4,), "nearest")
        tensor([[[0., 0., 1., 1.]]])
    """
    if mode not in MODES:
        raise ValueError(unknown("interpolation", mode, MODES))
    if maps.ndim not in MODES[mode]:
        raise ValueError(
            f"The interpolation {mode!r} is not there for maps of shape {tuple(maps.shape)}; 'linear' and 'nearest' are"
            " for any with one to three dimensions of positions."
        )
    chosen = LINEAR[maps.ndim] if mode == "linear" else mode
    corners = False if chosen in {"linear", "bilinear", "bicubic", "trilinear"} else None
    return F.interpolate(maps, size=sides, mode=chosen, align_corners=corners)
