"""Guided backpropagation and deconvolution: other backward steps for rectifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.rules.mode import OperatorMode
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pullback import pulled

Local: TypeAlias = Callable[[Call, Tensor], Tensor]
"""(rectifier, its input) -> where its own gradient is one."""


class Guided(OperatorMode[Local]):
    """Lets only positive gradients pass back through rectifiers that were open.

    Args:
        rules: Rectifiers.
    """

    def apply(self, rule: Local, call: Call) -> Any:  # noqa: ANN401
        """Do a rectifier.

        Returns:
            Its value.
        """
        (x,) = call.active
        with torch.no_grad():
            value, is_open = call.run(), rule(call, x.detach())
        return pulled(value, lambda gradient: (gradient.clamp(min=0) * is_open,), x)

    def _noticed(self, call: Call, result: Any) -> Any:  # noqa: ANN401
        return result  # whatever is not a rectifier keeps its gradient


class Deconvolution(Guided):
    """Lets only positive gradients pass back through rectifiers, open or not."""

    def apply(self, rule: Local, call: Call) -> Any:  # noqa: ANN401
        """Do a rectifier.

        Returns:
            Its value.
        """
        (x,) = call.active
        with torch.no_grad():
            value = call.run()
        return pulled(value, lambda gradient: (gradient.clamp(min=0),), x)


def _between(call: Call, x: Tensor) -> Tensor:
    return (x > call.argument(1, "min_val", -1.0)) & (x < call.argument(2, "max_val", 1.0))


RECTIFIERS: dict[str, Local] = {
    "relu": lambda _, x: x > 0,
    "relu6": lambda _, x: (x > 0) & (x < 6),
    "hardtanh": _between,
}
"""Operator name -> where it is open. ``RECTIFIERS["my_relu"] = lambda call, x: x > 0`` adds one."""
