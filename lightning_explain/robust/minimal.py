"""The least perturbation that misleads a model, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.settings import numbers
from lightning_explain.inputs import Inputs, leaves, rebuild, require_finite
from lightning_explain.robust.attack import Attack
from lightning_explain.robust.losses import Loss
from lightning_explain.robust.perturb import attacked
from lightning_explain.robust.search import smallest
from lightning_explain.targets import Target


@dataclass(frozen=True, eq=False)
class Minimal:
    """The least that misled the model.

    Args:
        values: The smallest value that did, (n,), float64; NaN where none did.
        inputs: The samples, perturbed at that value; as they were where none did.
    """

    values: Tensor
    inputs: Inputs


def minimal_perturbation(  # noqa: PLR0913  (what is asked, and how)
    model: nn.Module,
    inputs: Inputs,
    attack: Callable[[float], Attack],
    values: Sequence[float],
    target: Target = "predicted",
    *,
    label: Tensor | None = None,
    loss: Loss | None = None,
    forward: Forward = call,
    max_rows: int | None = None,
) -> Minimal:
    """Find the smallest of some values at which an attack misleads the model, for each sample.

    By bisection: where a value misleads, larger ones are taken to do so too. All samples are searched together; each
    goes through the model about log2(len(values)) times a step of the attack.

    Args:
        model: Any module, of outputs (n, classes).
        inputs: Samples, as in :func:`~lightning_explain.robust.perturb.perturb`.
        attack: A value -> the attack, such as the class ``FGSM``, or ``lambda radius: PGD(radius, radius / 4, 10)``.
        values: Growing values.
        target: What the model should say; with a targeted attack, what it is to be misled to.
        label: Class labels (n,), for ``target="label"``.
        loss: What the attack climbs; None: the negative logarithm of the target's probability.
        forward: How to call the model.
        max_rows: The most rows that go through the model at once.

    Returns:
        The values and the perturbed samples. 0 may be among the values: it finds samples that the model gets wrong.

    Raises:
        TypeError: If ``attack`` makes no attacks.
        ValueError: If there are no values or they do not grow, or the outputs are no classes.

    Example:
        >>> from lightning_explain.robust import FGSM
        >>> model = nn.Linear(2, 2, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        >>> x = torch.tensor([[0.1, 0.1], [0.6, 0.1], [5.0, 5.0]])
        >>> minimal_perturbation(model, x, FGSM, [0.0, 0.25, 0.5, 0.75, 1.0]).values
        tensor([0.2500, 0.5000,    nan], dtype=torch.float64)
    """
    listed = numbers("values", values)
    if not listed or any(after <= before for before, after in pairwise(listed)):
        raise ValueError("values must be at least one number, and grow, each larger than the one before.")
    require_finite(inputs)
    with borrowed(model):
        problem = pose(model, inputs, target, label=label, forward=forward, budget=RowBudget(max_rows))
        if problem.target is None or problem.outputs.ndim != 2 or problem.outputs.shape[1] < 2:
            raise ValueError(
                f"Whether a model is misled is told by the arg max of outputs (n, classes), got shape"
                f" {tuple(problem.outputs.shape)}."
            )
        return _searched(problem, problem.target, attack, listed, loss)


def correct(outputs: Tensor, target: Tensor) -> Tensor:
    """Whether the largest output is that of the target.

    Args:
        outputs: Outputs (n, classes).
        target: Indices (n,), or one for all.

    Returns:
        Booleans (n,).
    """
    return outputs.argmax(dim=1) == target.to(outputs.device)


def misled(problem: Problem, target: Tensor, attack: Attack) -> Tensor:
    """Whether the model is where an attack wants it.

    Args:
        problem: The problem, at the perturbed inputs.
        target: Its target (n, 1).
        attack: The attack.

    Returns:
        Booleans (n,): away from the target, or, where the attack is targeted, at it.
    """
    at_target = correct(problem.outputs, target[:, 0])
    return at_target if attack.targeted else ~at_target


def _searched(
    problem: Problem,
    target: Tensor,
    attack: Callable[[float], Attack],
    values: tuple[float, ...],
    loss: Loss | None,
) -> Minimal:
    best = tuple(leaf.clone() for leaf in leaves(problem.inputs))

    def succeeds(number: int, cases: Tensor) -> Tensor:
        rows = cases.to(best[0].device)
        asked, chosen = problem.select(rows), attack(values[number])
        point = attacked(asked, chosen, loss)
        won = misled(asked.with_inputs(rebuild(problem.inputs, point)), target[rows], chosen)
        for kept, leaf in zip(best, point, strict=True):  # a later success of a case is one at a smaller value
            kept[rows[won]] = leaf[won]
        return won

    found = smallest(succeeds, len(values), problem.samples)
    table = torch.tensor([*values, torch.nan], dtype=torch.float64)
    return Minimal(table[found], rebuild(problem.inputs, best))
