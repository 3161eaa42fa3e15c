"""A value with a backward step of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

Pullback: TypeAlias = Callable[[Tensor], tuple[Tensor, ...]]
"""What comes from above (like the value) -> what goes to each of the inputs (like them)."""


def pulled(value: Tensor, pullback: Pullback, *inputs: Tensor) -> Tensor:
    """``value``, as if it had been computed from ``inputs`` by an operator whose backward is ``pullback``.

    Args:
        value: A tensor without a graph, that nobody else holds.
        pullback: The backward step. It must not hold ``value`` itself, only ``value.detach()``: that would be a cycle.
        *inputs: What gradients go to.

    Returns:
        A tensor that shares the storage of ``value``.
    """
    return _Pulled.apply([value], pullback, *inputs)  # type: ignore[no-any-return, no-untyped-call]


def scaled(tensor: Tensor, factor: Tensor | float) -> Tensor:
    """``tensor`` itself, whose gradient is multiplied with ``factor`` on its way back.

    Returns:
        A tensor that shares the storage of ``tensor``.
    """
    return pulled(tensor.detach(), lambda gradient: (gradient * factor,), tensor)


class _Pulled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: list[Tensor], pullback: Pullback, *_: Tensor) -> Tensor:  # noqa: ANN401
        # The value comes in a list: a tensor given and returned would become a view, which refuses in-place work.
        ctx.pullback = pullback
        return value[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        return (None, None, *ctx.pullback(gradients[0]))
