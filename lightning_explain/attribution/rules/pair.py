"""An operator at the samples and at the reference, and what DeepLift's rules make of the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pullback import Pullback


@dataclass(frozen=True)
class Pair:
    """An operator at the samples and at the reference.

    Args:
        now: The call at the samples, without a graph.
        then: The call at the reference.
        positions: Which of its arguments depend on the variable.
        out: What it gave at the samples.
        out0: What it gave at the reference.
        eps: Differences that are taken for none.
    """

    now: Call
    then: Call
    positions: tuple[int, ...]
    out: Tensor
    out0: Tensor
    eps: float

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The arguments at the samples."""
        return self.now.at(self.positions)

    @property
    def inputs0(self) -> tuple[Tensor, ...]:
        """The arguments at the reference."""
        return self.then.at(self.positions)

    def near(self, difference: Tensor, size: Tensor) -> tuple[Tensor, ...] | None:
        """Where a difference is so small that a quotient by it means nothing.

        Args:
            difference: The difference; it is written to.
            size: How large what differs is.

        Returns:
            The indices of these elements; None if there are none.
        """
        # Most often there are none, and on a CPU a mask costs several times what the arithmetic does.
        beyond = difference.abs_().sub_(size, alpha=4 * torch.finfo(difference.dtype).eps)
        if not beyond.numel() or beyond.amin() > self.eps:
            return None
        return (beyond <= self.eps).nonzero(as_tuple=True)


@dataclass(frozen=True)
class Multipliers:
    """DeepLift's rule for a family of operators.

    Args:
        multipliers: Makes the backward step.
        linear: Whether a call is linear in what depends on the variable, and keeps its gradient.
        fits: Whether the rule holds for a call.
    """

    multipliers: Callable[[Pair], Pullback]
    linear: Callable[[Call], bool] = lambda _: False
    fits: Callable[[Call], bool] = lambda call: len(call.positions) == 1
