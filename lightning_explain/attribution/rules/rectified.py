"""Guided backpropagation and deconvolution: other backward steps for rectifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.rules.compositions import COMPOSITIONS
from lightning_explain.attribution.rules.mode import OperatorMode
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pullback import pulled

Step: TypeAlias = Callable[[Call], Tensor]
"""A rectifier -> its value, whose graph is the rule."""


class Rectified(OperatorMode[Step]):
    """Gives rectifiers a backward step of their own; everything else keeps its gradient.

    Args:
        method: The method's name.
        rules: Operator name -> step.
    """

    # All others have no rectifier inside: a normalisation or attention has the gradient of its one fast operator.
    compositions: ClassVar = {name: COMPOSITIONS[name] for name in ("rnn_relu", "rnn_relu_cell")}

    def apply(self, rule: Step, call: Call) -> Any:  # noqa: ANN401
        """Do a rectifier.

        Returns:
            Its value.
        """
        return rule(call)

    def noticed(self, _: Call, result: Any) -> Any:  # noqa: ANN401
        """Say nothing: what is not a rectifier has no rule.

        Returns:
            What it gave.
        """
        return result


def guided(call: Call) -> Tensor:
    """Only positive gradients pass, where the rectifier's own gradient lets them.

    Returns:
        Its value.
    """
    (x,) = call.active
    # Behind the rectifier's own backward step, whose fresh result nobody else holds: in place costs no memory.
    gate = pulled(x.detach(), lambda gradient: (gradient.clamp_(min=0),), x)
    return call.replaced(call.positions, [gate]).run()  # type: ignore[no-any-return]


def deconvolution(call: Call) -> Tensor:
    """Only positive gradients pass, whether or not the rectifier was open.

    Returns:
        Its value.
    """
    with torch.no_grad():
        value: Tensor = call.run()
    return pulled(value, lambda gradient: (gradient.clamp(min=0),), *call.active)


def from_zero(step: Step) -> Step:
    """A step for those hard tanhs that are rectifiers, whose least value is 0; the others keep their gradient.

    Returns:
        A step.
    """
    return lambda call: step(call) if call.argument(1, "min_val", -1.0) == 0 else call.run()


RECTIFIERS = ("relu", "relu6")

GUIDED: dict[str, Step] = {**dict.fromkeys(RECTIFIERS, guided), "hardtanh": from_zero(guided)}
"""Operator name -> step. ``GUIDED["my_relu"] = guided`` adds one."""

DECONVOLUTION: dict[str, Step] = {
    **dict.fromkeys(RECTIFIERS, deconvolution),
    "hardtanh": from_zero(deconvolution),
}
"""Operator name -> step. ``DECONVOLUTION["my_relu"] = deconvolution`` adds one."""
