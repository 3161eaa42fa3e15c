"""Captum's ``PGD``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from lightning_explain import robust
from lightning_explain.captum.arguments import Tensors, as_arguments
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.lending import Call
from lightning_explain.captum.robust.attacking import LossFunction, Victim, fresh_seed
from lightning_explain.captum.robust.fgsm import FGSM
from lightning_explain.captum.robust.perturbation import Perturbation
from lightning_explain.robust.norms import NORMS


class PGD(Perturbation):
    """Projected gradient descent; see :class:`lightning_explain.robust.PGD`, which does it.

    The steps are those of :class:`FGSM` in both norms.

    Args:
        forward_func: As in :class:`FGSM`, as the other arguments.
        loss_func: See there.
        lower_bound: See there.
        upper_bound: See there.

    Attributes:
        bound: What puts inputs within the bounds; it can be replaced.
        fgsm: The attack that a step is.
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
        self.fgsm = FGSM(forward_func, loss_func)
        self.bound: Callable[..., Any] = robust.Bounds(lower_bound, upper_bound)
        self._uses = itertools.count()

    def perturb(  # noqa: PLR0913  (Captum's)
        self,
        inputs: Tensors,
        radius: float,
        step_size: float,
        step_num: int,
        target: Any,  # noqa: ANN401  (whatever the loss function takes)
        additional_forward_args: object = None,
        targeted: bool = False,
        random_start: bool = False,
        norm: str = "Linf",
        mask: Tensors | None = None,
    ) -> Tensors:
        """Take several steps, none of which leaves the ball around the inputs.

        Args:
            inputs: Inputs (n, ...), a tensor or a tuple; integers stay as they are.
            radius: The ball's radius; each tensor of a tuple has its own ball.
            step_size: How far every element goes in a step.
            step_num: How many steps.
            target: What the model should say, or what it is to be misled to; passed to the loss function.
            additional_forward_args: What the forward function is passed after the inputs.
            targeted: Whether the target is what the model is to be misled to.
            random_start: Begin at a point drawn uniformly from the ball, another one at each call of this object. The
                numbers follow from ``torch.manual_seed``, and do not move the global generator.
            norm: The ball's norm, ``"Linf"`` or ``"L2"``.
            mask: Ones for elements that may change, zeros for the others.

        Returns:
            Perturbed inputs in the form of the inputs, detached.

        Raises:
            ArgumentError: If there is no such norm.
        """
        if norm not in NORMS:
            raise ArgumentError(f"norm must be {' or '.join(map(repr, NORMS))}, got {norm!r}.")
        attack = robust.PGD(
            radius,
            step_size,
            step_num,
            NORMS[norm](),
            targeted,
            self.bound,
            seed=fresh_seed("PGD", next(self._uses)) if random_start else None,
            ascent=robust.LInf(self.fgsm.zero_thresh),
        )
        call = Call(self.fgsm.forward_func, as_arguments(additional_forward_args), target)
        return Victim(call, self.fgsm.loss_func).attacked(attack, inputs, mask)
