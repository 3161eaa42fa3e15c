"""Maps of a layer, as fine as what they are laid over."""

import torch.nn.functional as F
from torch import Tensor

MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


def upsampled(maps: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Interpolate maps linearly.

    Args:
        maps: Maps (n, channels, positions...) with one to three dimensions of positions.
        sides: As many positions as are wanted.

    Returns:
        Maps (n, channels, sides...).

    Example:
        >>> import torch
        >>> upsampled(torch.tensor([[[0.0, 1.0]]]), (4,))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    return F.interpolate(maps, size=sides, mode=MODES[maps.ndim], align_corners=False)
