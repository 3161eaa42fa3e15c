"""Checks of the tensors that scores are made of: broadcasting would make numbers of what does not belong together."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.inputs import Point


def require_alike(layout: str, **tensors: Tensor) -> None:
    """Refuse tensors that do not have one and the same shape.

    Args:
        layout: Their dimensions, as the message says them: ``"(n, D)"``.
        tensors: The tensors by name.

    Raises:
        TypeError: If something is no tensor.
        ValueError: If a shape has another number of dimensions, or they differ.

    Example:
        >>> require_alike("(n, D)", scores=torch.ones(4, 9), mask=torch.ones(4, 9))
        >>> require_alike("(n, D)", scores=torch.ones(4, 9), mask=torch.ones(4, 3, 3))
        Traceback (most recent call last):
        ...
        ValueError: scores and mask must have the same shape (n, D), got (4, 9) and (4, 3, 3).
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor of shape {layout}, got {type(tensor).__name__}.")
    shapes = [tuple(tensor.shape) for tensor in tensors.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != len([part for part in layout.strip("()").split(",") if part.strip()]):
        same = "the same shape" if len(shapes) > 1 else "shape"
        raise ValueError(f"{' and '.join(tensors)} must have {same} {layout}, got {' and '.join(map(str, shapes))}.")


def require_region(scores: Tensor, mask: Tensor) -> None:
    """Refuse what is no region of the features.

    Args:
        scores: Attributions of features (n, D).
        mask: The region, which should be boolean and of the same shape.

    Raises:
        TypeError: If the region is not boolean.
        ValueError: If the shapes differ or are not (n, D).
    """
    require_alike("(n, D)", scores=scores, mask=mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True inside the region, got {mask.dtype}; write mask > 0.")


def require_points(changed: Point, original: Point) -> None:
    """Refuse points whose tensors are not alike, one by one.

    Raises:
        ValueError: If there are not as many, or two shapes differ.
    """
    shapes = [[tuple(leaf.shape) for leaf in point] for point in (changed, original)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"Both must be tensors of the same shapes (n, ...), got {shapes[0]} and {shapes[1]}.")
