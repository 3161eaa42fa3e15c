"""Which elements an attack may change."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.inputs import Point


def free_elements(mask: Point | None, x: Point, names: tuple[str, ...]) -> Point:
    """Read a mask of what may change.

    Args:
        mask: For each input zeros and ones, or booleans, that broadcast to it; None: everything may.
        x: Inputs (n, ...) each.
        names: What they are called.

    Returns:
        Tensors like ``x``: 1 for elements that may change, 0 for those that may not.

    Raises:
        ValueError: If there are not as many masks as inputs, or one does not fit its input or holds other numbers.

    Example:
        >>> free_elements((torch.tensor([True, False]),), (torch.randn(2, 2),), ("input",))
        (tensor([[1., 0.],
                [1., 0.]]),)
    """
    if mask is None:
        return tuple(torch.ones_like(leaf) for leaf in x)
    if len(mask) != len(x):
        raise ValueError(f"Expected a mask for each of {len(x)} inputs, got {len(mask)}.")
    return tuple(_expanded(held, leaf, name) for held, leaf, name in zip(mask, x, names, strict=True))


def _expanded(mask: Tensor, leaf: Tensor, name: str) -> Tensor:
    try:
        expanded = mask.to(leaf.device).expand(leaf.shape)
    except RuntimeError:
        raise ValueError(
            f"The mask of {name} has shape {tuple(mask.shape)}, which does not broadcast to {tuple(leaf.shape)}."
        ) from None
    if not bool(((expanded == 0) | (expanded == 1)).all()):
        raise ValueError(f"The mask of {name} must hold zeros (leave alone) and ones (may change) alone.")
    return expanded.to(leaf)
