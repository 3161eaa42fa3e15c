"""Steps of layer-wise relevance propagation for operators without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pullback import pulled, scaled
from lightning_explain.attribution.rules.relevance import away_from_zero

if TYPE_CHECKING:
    from lightning_explain.attribution.rules.propagation import Relevance


def halves(_: Relevance, call: Call) -> Any:  # noqa: ANN401
    """A product: half of the relevance to each factor that depends on the variable.

    Returns:
        The product.
    """
    if len(call.positions) == 1:
        return call.run()
    return scaled(call.run(), 1 / len(call.positions))  # once, on the way to all of them


def to_first(_: Relevance, call: Call) -> Any:  # noqa: ANN401
    """A quotient: all relevance to the numerator.

    Returns:
        The quotient.
    """
    if len(call.positions) == 1:
        return call.run()
    return call.replaced(call.positions[1:], [factor.detach() for factor in call.active[1:]]).run()


def constant(_: Relevance, call: Call) -> Any:  # noqa: ANN401
    """What only normalises: no relevance goes through it.

    Returns:
        The value, without a graph.
    """
    return call.replaced(call.positions, [tensor.detach() for tensor in call.active]).run()


def softmax(mode: Relevance, call: Call) -> Any:  # noqa: ANN401
    """Its Taylor expansion, which in a modified gradient is the gradient; or weights taken for constant.

    Returns:
        The weights.
    """
    return call.run() if mode.through_softmax else constant(mode, call)


def activation(_: Relevance, call: Call) -> Any:  # noqa: ANN401
    """Relevance goes through an activation as it is.

    Returns:
        The activation.
    """
    if len(call.positions) != 1:
        return call.run()
    (x,) = call.active
    with torch.no_grad():
        value = call.run()
        ratio = value / away_from_zero(x)
    return pulled(value, lambda gradient: (gradient * ratio,), x)
