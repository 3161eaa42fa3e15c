"""Attacks of the engine on a forward function."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_explain.captum.arguments import Tensors, as_inputs, shaped_like
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.lending import Call, as_point, lent
from lightning_explain.captum.selecting import selected
from lightning_explain.inputs import Point, is_continuous, names, varied
from lightning_explain.randomness import stream
from lightning_explain.robust.attack import Attack, carried_out
from lightning_explain.robust.masks import free_elements
from lightning_explain.robust.slope import slope_at

LossFunction = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Victim:
    """What is attacked, and what the attack climbs.

    Args:
        call: The forward function, its further arguments and the target; the whole batch is one call.
        loss: (outputs, target) -> losses (n,), or their sum or mean; None: the negative logarithm of the output
            that the target selects, a probability.
    """

    call: Call
    loss: LossFunction | None = None

    def attacked(self, attack: Attack, inputs: Tensors, mask: Tensors | None = None) -> Tensors:
        """Attack.

        Args:
            attack: The attack.
            inputs: Inputs (n, ...).
            mask: Ones for elements that may change, zeros for the others.

        Returns:
            Perturbed inputs in the form of the inputs, detached.

        Raises:
            ArgumentTypeError: If no input is of floating point.
        """
        point = as_inputs(inputs)
        moving = varied(point)
        if not is_continuous(point[moving[0]]):
            raise ArgumentTypeError("No input is of floating point, so that there is no gradient to attack along.")
        free = free_elements(None if mask is None else as_point(mask, "mask"), point, names(inputs))

        def slope(z: Point) -> Point:
            return slope_at(lambda variables: self._losses(_placed(point, moving, variables)), z)

        with lent(self.call.function):
            x = tuple(point[i] for i in moving)
            moved = carried_out(attack, slope, x, tuple(free[i] for i in moving))
        return shaped_like(inputs, _placed(point, moving, moved))

    def _losses(self, point: Point) -> Tensor:
        outputs, target = self.call.outputs(*point), self.call.target
        loss: Any = selected(outputs, target) if self.loss is None else self.loss(outputs, target)
        if not isinstance(loss, Tensor):
            raise ArgumentTypeError(f"The loss must be a tensor, got {type(loss).__name__}.")
        if loss.ndim > 0 and loss.numel() != len(loss):
            what = "The output has several numbers" if self.loss is None else "The loss function gives several numbers"
            raise ArgumentError(f"{what} for each row, shape {tuple(loss.shape)}; a target selects one of them.")
        return _negative_logarithm(loss) if self.loss is None else loss


def _placed(point: Point, moving: list[int], moved: Point) -> Point:
    found = dict(zip(moving, moved, strict=True))
    return tuple(found.get(i, leaf) for i, leaf in enumerate(point))


def _negative_logarithm(probability: Tensor) -> Tensor:
    if bool((probability <= 0).any()):
        warnings.warn(
            "The default loss is the negative logarithm of the target's output, and some of these are not positive: the"
            " attack then helps the model. Let the forward function give probabilities, or pass loss_func, such as"
            " torch.nn.CrossEntropyLoss() for logits.",
            stacklevel=2,
        )
    return -probability.log()


def fresh_seed(purpose: str, number: int) -> int:
    """A seed for the ``number``-th use of random numbers: ``torch.manual_seed`` chooses it, and is not moved by it.

    Returns:
        The seed.
    """
    return stream(f"{purpose} {number}", torch.initial_seed()).initial_seed()
