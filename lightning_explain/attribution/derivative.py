"""The derivative of what is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.inputs import Point

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question

EXACT = (torch.float64, torch.int64, torch.int32)
"""What float32 would cut off: it holds integers up to 2**24."""


def derivative(problem: Question, score: Tensor, z: Point, *, again: bool = False) -> Point:
    """The gradient of scores with respect to the variable: a sample's score depends on its own row alone.

    Args:
        problem: The problem.
        score: One number per row (m,).
        z: The variable (m, ...) that it was computed from.
        again: Whether other scores from the same pass are to follow.

    Returns:
        Tensors like ``z``, at least in float32; zeros where the score does not depend on one of them.

    Raises:
        ValueError: If it depends on none, unless ``problem.zero_where_unused``.
    """
    gradients: tuple[Tensor | None, ...] = (None,) * len(z)
    if score.requires_grad:
        graph = problem.create_graph
        gradients = torch.autograd.grad(
            score.sum(), z, retain_graph=again or graph, create_graph=graph, allow_unused=True
        )
    if all(gradient is None for gradient in gradients) and not problem.zero_where_unused:
        raise ValueError(
            f"The explained output does not depend differentiably on {', '.join(problem.place.names(problem))}: the"
            " model detaches it, rounds it, or runs under no_grad. Use a perturbation method such as occlusion, or"
            " another place."
        )
    return tuple(
        torch.zeros_like(leaf, dtype=accumulator(leaf)) if gradient is None else gradient.to(accumulator(leaf))
        for leaf, gradient in zip(z, gradients, strict=True)
    )


def accumulator(tensor: Tensor) -> torch.dtype:
    """The type in which numbers like those of a tensor are added up.

    Returns:
        float64 for float64 and for integers, float32 for the others.
    """
    return torch.float64 if tensor.dtype in EXACT else torch.float32
