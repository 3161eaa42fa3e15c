"""DeepLift's multipliers of products and quotients."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.attribution.rules.pair import Pair
from lightning_explain.attribution.rules.pullback import Pullback


def midpoint(pair: Pair) -> Pullback:
    """The gradient half-way: exact for products, d(ab) = da (b + b0)/2 + db (a + a0)/2.

    Returns:
        The backward step.
    """
    factors = [middle(a, a0) for a, a0 in zip(pair.inputs, pair.inputs0, strict=True)]
    gradients = None if len(factors) != 2 or pair.now.kwargs else GRADIENTS.get(pair.now.name)
    if gradients is not None and min(factor.ndim for factor in factors) > 1:
        a, b = factors
        return lambda gradient: tuple(
            part.sum_to_size(factor.shape) for part, factor in zip(gradients(gradient, a, b), factors, strict=True)
        )
    leaves = [factor.requires_grad_() for factor in factors]
    with torch.enable_grad():
        out = pair.now.replaced(pair.positions, leaves).run()
    return lambda gradient: torch.autograd.grad(out, leaves, gradient)


def quotient(pair: Pair) -> Pullback:
    """The product of the numerator and the reciprocal of the denominator.

    Where the numerator is zero the quotient is too, whatever it is divided by (in a normalisation of nothing next to
    nothing): the denominator has no part in a difference from there.

    Returns:
        The backward step.
    """
    (a, a0), (b, b0) = (_both(pair, position) for position in (0, 1))
    from_nothing, to_nothing = a0 == 0, a == 0
    to_a = torch.where(from_nothing, 1 / b, torch.where(to_nothing, 1 / b0, (1 / b + 1 / b0) / 2))
    to_b = torch.where(from_nothing | to_nothing, 0, -(a + a0) / (2 * b * b0))

    def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
        both = [(gradient * to_a).sum_to_size(a.shape), (gradient * to_b).sum_to_size(b.shape)]
        return tuple(both[position] for position in pair.positions)

    return pullback


def _both(pair: Pair, position: int) -> tuple[Tensor, Tensor]:
    found = [call.argument(position, ("input", "other")[position]) for call in (pair.now, pair.then)]
    first = next(tensor for tensor in (*pair.inputs, *found) if isinstance(tensor, Tensor))
    now, then = (tensor if isinstance(tensor, Tensor) else first.new_tensor(tensor) for tensor in found)
    return now, then


def middle(x: Tensor, x0: Tensor) -> Tensor:
    """Half-way between the samples and the reference.

    Returns:
        A new tensor.
    """
    return (x + x0).div_(2)


def _of_factors(gradient: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return gradient * b, gradient * a


def _of_matrices(gradient: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return gradient @ b.mT, a.mT @ gradient


GRADIENTS = {"mul": _of_factors, **dict.fromkeys(("matmul", "bmm", "mm"), _of_matrices)}
"""Products whose gradient needs no run of them half-way."""
