"""Captum's ``FGSM``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lightning_explain import robust
from lightning_explain.captum.arguments import Tensors, as_arguments
from lightning_explain.captum.lending import Call
from lightning_explain.captum.robust.attacking import LossFunction, Victim
from lightning_explain.captum.robust.perturbation import Perturbation


class FGSM(Perturbation):
    """The fast gradient sign method; see :class:`lightning_explain.robust.FGSM`, which does it.

    Args:
        forward_func: The model, or any function of the inputs.
        loss_func: (outputs, target) -> losses (n,), or their sum or mean; None: the negative logarithm of the output
            that the target selects, which is to be a probability.
        lower_bound: The least value of an input.
        upper_bound: The largest.

    Attributes:
        bound: What puts inputs within the bounds; it can be replaced.
        zero_thresh: Elements whose gradient is not larger than that stay where they are.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        loss_func: LossFunction | None = None,
        lower_bound: float = -math.inf,
        upper_bound: float = math.inf,
    ) -> None:
        super().__init__()
        self.forward_func = forward_func
        self.loss_func = loss_func
        self.bound: Callable[..., Any] = robust.Bounds(lower_bound, upper_bound)
        self.zero_thresh = 10**-6

    def perturb(
        self,
        inputs: Tensors,
        epsilon: float,
        target: Any,  # noqa: ANN401  (whatever the loss function takes)
        additional_forward_args: object = None,
        targeted: bool = False,
        mask: Tensors | None = None,
    ) -> Tensors:
        """Take one step.

        Args:
            inputs: Inputs (n, ...), a tensor or a tuple; integers stay as they are.
            epsilon: How far every element goes.
            target: What the model should say, or what it is to be misled to; passed to the loss function.
            additional_forward_args: What the forward function is passed after the inputs.
            targeted: Whether the target is what the model is to be misled to.
            mask: Ones for elements that may change, zeros for the others.

        Returns:
            Perturbed inputs in the form of the inputs, detached.
        """
        victim = Victim(Call(self.forward_func, as_arguments(additional_forward_args), target), self.loss_func)
        attack = robust.FGSM(epsilon, targeted, self.bound, robust.LInf(self.zero_thresh))
        return victim.attacked(attack, inputs, mask)
