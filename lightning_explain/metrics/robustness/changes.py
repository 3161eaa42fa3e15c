"""How far tensors are from what they were: the norms that the scores of robustness compare."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.inputs import Point
from lightning_explain.metrics.shapes import require_points
from lightning_explain.precision import accurate


def norm(point: Point, order: float = 2.0) -> Tensor:
    """The norm over all elements of all tensors.

    Args:
        point: Tensors (n, ...).
        order: Which: 2 is the Euclidean norm, infinity the largest absolute value.

    Returns:
        Norms (n,), float64.
    """
    flat = [accurate(leaf).reshape(leaf.shape[0], -1) for leaf in point]
    return torch.linalg.vector_norm(torch.cat(flat, dim=1), order, dim=1)  # type: ignore[no-any-return]


def absolute_sum(point: Point) -> Tensor:
    """The sum of absolute values over all elements of all tensors, the 1-norm.

    Returns:
        Norms (n,), float64.
    """
    return torch.stack([accurate(leaf).reshape(len(leaf), -1).abs().sum(dim=1) for leaf in point]).sum(dim=0)


def difference(changed: Point, original: Point) -> Point:
    """Tensor by tensor, changed - original.

    Returns:
        Differences (n, ...) each.

    Raises:
        ValueError: If the shapes do not fit.
    """
    require_points(changed, original)
    return tuple(a - b for a, b in zip(changed, original, strict=True))


def relative_change(changed: Point, original: Point, order: float = 2.0, *, of_nothing: float = torch.nan) -> Tensor:
    r"""How far attributions moved, relative to their size: :math:`\|\phi' - \phi\|_F / \|\phi\|_F`.

    Args:
        changed: Tensors (n, ...).
        original: Tensors of the same shapes.
        order: Which norm; see :func:`norm`.
        of_nothing: What counts as the size of an original that is all zero: NaN, for nothing is relative to it.

    Returns:
        Changes (n,) >= 0, float64.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> relative_change((torch.tensor([[3.0, 4.0]]),), (torch.tensor([[0.0, 4.0]]),))
        tensor([0.7500], dtype=torch.float64)
    """
    moved = norm(difference(changed, original), order)
    size = norm(original, order)
    return moved / size.masked_fill(size == 0, of_nothing)


def elementwise_change(changed: Point, original: Point, eps_min: float) -> Tensor:
    r"""The norm of the relative change of every element: :math:`\|(a' - a) / a\|_2`.

    An element near 0 would decide alone. One that is smaller than ``eps_min`` times the largest of its tensor counts as
    that large.

    Args:
        changed: Tensors (n, ...).
        original: Tensors of the same shapes.
        eps_min: The least size of an element, in units of the largest of the sample's tensor (of all its
            tensors, where one is all zero).

    Returns:
        Changes (n,) >= 0, float64; NaN where the original is all zero.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> elementwise_change((torch.tensor([[1.5, 6.0]]),), (torch.tensor([[1.0, 5.0]]),), 0.5)
        tensor([0.2828], dtype=torch.float64)
    """
    require_points(changed, original)
    pairs = [
        (accurate(a).reshape(len(a), -1), accurate(b).reshape(len(b), -1))
        for a, b in zip(changed, original, strict=True)
    ]
    largest = torch.stack([before.abs().amax(dim=1) for _, before in pairs])
    largest = torch.where(largest > 0, largest, largest.amax(dim=0))
    quotients = tuple(
        (after - before) / torch.maximum(before.abs(), eps_min * size[:, None])
        for (after, before), size in zip(pairs, largest, strict=True)
    )
    return norm(quotients).masked_fill(largest.amax(dim=0) == 0, torch.nan)
