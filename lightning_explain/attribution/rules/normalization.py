"""DeepLift's multipliers of a normalisation by statistics of its own input."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pair import Pair
from lightning_explain.attribution.rules.pullback import Pullback


def layer_norm(pair: Pair) -> Pullback:
    r"""Centre, and multiply with :math:`r = (\overline{c^2} + \epsilon)^{-1/2}`: by the rules of product and quotient.

    What those say of the operators that it is made of, in one step: with :math:`s = c + c^0` for the centred inputs,
    :math:`\Delta y = \frac{r + r^0}2 \Delta c + \frac s2 \Delta r` and
    :math:`\Delta r = -\frac{(r r^0)^2}{r + r^0} \overline{s \Delta c}`.

    Returns:
        The backward step.
    """
    (x,), (x0,) = pair.inputs, pair.inputs0
    dims = tuple(range(-len(pair.now.argument(1, "normalized_shape")), 0))
    weight, eps = pair.now.argument(2, "weight"), pair.now.argument(4, "eps", 1e-5)
    (both, root), (centred0, root0) = (_statistics(a, dims, eps) for a in (x, x0))
    both.add_(centred0)
    middle, product = (root + root0) / 2, root * root0
    slope = product * (product / middle) / -4

    def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
        gradient = gradient if weight is None else gradient * weight
        centred = gradient - gradient.mean(dim=dims, keepdim=True)
        return (centred.mul_(middle).addcmul_(both, slope * (gradient * both).mean(dim=dims, keepdim=True)),)

    return pullback


def of_input_alone(call: Call) -> bool:
    """Whether no parameter of a normalisation depends on the variable.

    Returns:
        True or False.
    """
    return len(call.positions) == 1 and call.active[0] is call.argument(0, "input")


def _statistics(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    x = x.to(accumulator(x))  # as the operator does: in float16 squares overflow
    centred = x - x.mean(dim=dims, keepdim=True)
    return centred, torch.rsqrt((centred * centred).mean(dim=dims, keepdim=True) + eps)
