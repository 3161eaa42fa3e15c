"""Attacking a model: samples in, perturbed samples out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import Forward, call, output
from lightning_explain.attribution.place import Input
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.scoring import replaced
from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, names, rebuild, require_finite, varied
from lightning_explain.robust.attack import Attack, Slope, carried_out
from lightning_explain.robust.losses import Loss, surprise
from lightning_explain.robust.masks import free_elements
from lightning_explain.robust.slope import slope_at
from lightning_explain.targets import Target


def perturb(  # noqa: PLR0913  (what is asked, and how)
    model: nn.Module,
    inputs: Inputs,
    attack: Attack,
    target: Target = "predicted",
    *,
    label: Tensor | None = None,
    loss: Loss | None = None,
    mask: Inputs | None = None,
    forward: Forward = call,
    max_rows: int | None = None,
) -> Inputs:
    """Change samples a little, so that a model is misled. The model is left exactly as it was.

    Integer inputs stay as they are, if there are others.

    Args:
        model: Any module; it is attacked as it is used, in evaluation mode.
        inputs: Samples: a tensor, a tuple or a dict of tensors, the batch first; they are moved to the model's device.
        attack: ``FGSM(epsilon)`` or ``PGD(radius, step_size, steps)``, or any
            :class:`~lightning_explain.robust.attack.Attack`.
        target: What the model should say, or what it is to be misled to if the attack is ``targeted``: as in
            :func:`~lightning_explain.attribution.engine.explain`.
        label: Class labels (n,), for ``target="label"``.
        loss: What the attack climbs; None: the negative logarithm of the target's probability. A sample's loss must
            depend on that sample alone.
        mask: Zeros for elements that must not change, ones for the others, in the structure of the inputs.
        forward: How to call the model, ``(model, inputs) -> outputs``.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.

    Returns:
        Perturbed samples in the structure of the inputs, detached, of the same shapes and types.

    Raises:
        TypeError: If the attack is none, the loss is no tensor, or no input is of floating point.
        ValueError: If the target or the mask does not fit, there is no loss by default, or the attack changes shapes.

    Example:
        >>> from lightning_explain.robust import FGSM
        >>> model = nn.Linear(3, 2)
        >>> model.weight.data = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
        >>> perturb(model, torch.zeros(2, 3), FGSM(0.1), target=0)
        tensor([[-0.1000,  0.1000,  0.0000],
                [-0.1000,  0.1000,  0.0000]])
    """
    require_finite(inputs)
    with borrowed(model):
        problem = pose(model, inputs, target, label=label, forward=forward, budget=RowBudget(max_rows))
        return rebuild(inputs, attacked(problem, attack, loss, mask))


def attacked(problem: Problem, attack: Attack, loss: Loss | None = None, mask: Inputs | None = None) -> Point:
    """Attack the samples of a problem, at the inputs.

    Args:
        problem: The problem, with its target.
        attack: The attack.
        loss: As in :func:`perturb`.
        mask: As in :func:`perturb`.

    Returns:
        All inputs (n, ...), perturbed where they can be, detached.

    Raises:
        TypeError: If the attack is none, or no input is of floating point.
    """
    if isinstance(attack, type) or not isinstance(attack, Attack):
        given = attack.__name__ if isinstance(attack, type) else type(attack).__name__
        raise TypeError(f"An attack is one such as FGSM(epsilon=0.1), got {given}.")
    point, moving = leaves(problem.inputs), varied(problem.inputs)
    if not is_continuous(point[moving[0]]):
        raise TypeError(
            f"There is nothing to move: {', '.join(names(problem.inputs))} hold integers, without a gradient. Attack"
            " the output of their embedding."
        )
    free = free_elements(None if mask is None else leaves(mask), point, names(problem.inputs))
    x = Input().variable(problem, problem.inputs)
    moved = carried_out(attack, _slope(problem, loss), x, tuple(free[i] for i in moving))
    changed = dict(zip(moving, moved, strict=True))
    return tuple(changed.get(i, leaf) for i, leaf in enumerate(point))


def _slope(problem: Problem, loss: Loss | None) -> Slope:
    # Rows through the budget, as everywhere: the memory of an attack is that of one chunk.
    def slope(z: Point) -> Point:
        parts: list[Point] = []

        def body(chunk: slice) -> None:
            rows = torch.arange(chunk.start, chunk.stop, device=z[0].device)
            parts.append(slope_at(_losses(problem, loss, rows), tuple(leaf[chunk] for leaf in z)))

        problem.budget.run(problem.samples, "attack", body)
        return tuple(map(torch.cat, zip(*parts, strict=True)))

    return slope


def _losses(problem: Problem, loss: Loss | None, rows: Tensor) -> Callable[[Point], Tensor]:
    target = None if problem.target is None else problem.target[rows]

    def losses(z: Point) -> Tensor:
        given = output(problem.model, replaced(problem, z, rows), problem.forward)
        if loss is not None:
            flat = target is not None and target.shape[1] == 1
            return loss(given, target[:, 0] if flat and target is not None else target)
        if target is None:
            raise ValueError("The target 'output' has no loss: pass loss=, a function (outputs, None) -> losses.")
        return surprise(given, target)

    return losses
