"""The gradient of losses with respect to the inputs, and to nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.inputs import Point


def slope_at(losses: Callable[[Point], Tensor], x: Point) -> Point:
    """Differentiate losses, each of which depends on its own sample alone.

    It works under ``no_grad`` and ``inference_mode``, with tensors made there, and touches neither the tensors nor any
    ``.grad``.

    Args:
        losses: Inputs -> a loss for each sample, (n,), or their sum or mean.
        x: Where, (n, ...) each, of floating point.

    Returns:
        Tensors like ``x``, float32 at least; zeros where the losses do not depend on one of them.

    Raises:
        TypeError: If they are no tensor.
        ValueError: If they depend on none.

    Example:
        >>> slope_at(lambda z: (z[0] ** 2).sum(dim=1), (torch.tensor([[1.0, -2.0], [0.0, 3.0]]),))
        (tensor([[ 2., -4.],
                [ 0.,  6.]]),)
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        variables = tuple(leaf.detach().clone().requires_grad_() for leaf in x)
        # Clones, for a model may work in place on its inputs.
        given: object = losses(tuple(leaf.clone() for leaf in variables))
        if not isinstance(given, Tensor):
            raise TypeError(
                f"A loss is a tensor, a number for each row or their sum or mean, got {type(given).__name__}."
            )
        total = given.sum()
        gradients: tuple[Tensor | None, ...] = (None,) * len(x)
        if total.requires_grad:
            gradients = torch.autograd.grad(total, variables, allow_unused=True)
        if all(gradient is None for gradient in gradients):
            raise ValueError(
                "The loss does not depend differentiably on the inputs: the model detaches it, rounds it, or runs under"
                " no_grad, so that there is no gradient to attack along."
            )
        return tuple(
            torch.zeros_like(leaf, dtype=accumulator(leaf)) if gradient is None else gradient.to(accumulator(leaf))
            for leaf, gradient in zip(x, gradients, strict=True)
        )
