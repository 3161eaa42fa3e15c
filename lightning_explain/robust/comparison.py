"""What several attacks do to the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.settings import require_kind
from lightning_explain.inputs import Inputs, rebuild, require_finite
from lightning_explain.robust.attack import Attack
from lightning_explain.robust.losses import Loss, surprise
from lightning_explain.robust.minimal import correct
from lightning_explain.robust.perturb import attacked
from lightning_explain.targets import Target

ORIGINAL = "original"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model makes of samples.

    Args:
        correct: Whether its largest output is that of the target, (n,), boolean.
        surprise: The negative logarithm of the target's probability, (n,), from 0 up.
        inputs: The samples.
    """

    correct: Tensor
    surprise: Tensor
    inputs: Inputs

    @property
    def accuracy(self) -> float:
        """The share of samples that are right."""
        return float(self.correct.double().mean())


def compare_attacks(  # noqa: PLR0913  (what is asked, and how)
    model: nn.Module,
    inputs: Inputs,
    attacks: Mapping[str, Attack],
    target: Target = "predicted",
    *,
    label: Tensor | None = None,
    loss: Loss | None = None,
    mask: Inputs | None = None,
    forward: Forward = call,
    max_rows: int | None = None,
) -> dict[str, Outcome]:
    """Attack the same samples in several ways.

    Args:
        model: Any module, of outputs (n, classes).
        inputs: Samples, as in :func:`~lightning_explain.robust.perturb.perturb`, as the other arguments.
        attacks: Attacks by name.
        target: What the model should say; with targeted attacks, what it is to be misled to.
        label: Class labels (n,), for ``target="label"``.
        loss: What the attacks climb.
        mask: Which elements may change.
        forward: How to call the model.
        max_rows: The most rows that go through the model at once.

    Returns:
        What the model makes of the samples under each attack, by name, and of the samples themselves, ``"original"``.

    Raises:
        TypeError: If ``attacks`` is no mapping, or one is no attack.
        ValueError: If an attack is called ``"original"``, or the outputs are no classes.

    Example:
        >>> import torch
        >>> from lightning_explain.robust import FGSM
        >>> model = nn.Linear(2, 2, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        >>> x = torch.tensor([[0.1, 0.1], [0.6, 0.1]])
        >>> outcomes = compare_attacks(model, x, {"weak": FGSM(0.2), "strong": FGSM(1.0)})
        >>> [(name, outcome.accuracy) for name, outcome in outcomes.items()]
        [('original', 1.0), ('weak', 0.5), ('strong', 0.0)]
    """
    require_kind("attacks", attacks, Mapping, '{"fgsm": FGSM(0.1)}')
    if ORIGINAL in attacks:
        raise ValueError(f"The name {ORIGINAL!r} stands for the samples without an attack; choose another one.")
    require_finite(inputs)
    with borrowed(model):
        problem = pose(model, inputs, target, label=label, forward=forward, budget=RowBudget(max_rows))
        outcomes = {ORIGINAL: _outcome(problem)}
        for name, attack in attacks.items():
            moved = rebuild(problem.inputs, attacked(problem, attack, loss, mask))
            outcomes[name] = _outcome(problem.with_inputs(moved))
    return outcomes


def _outcome(problem: Problem) -> Outcome:
    if problem.target is None or problem.outputs.ndim != 2:
        raise ValueError(f"Attacks are compared on outputs (n, classes), got shape {tuple(problem.outputs.shape)}.")
    inputs = problem.inputs
    return Outcome(correct(problem.outputs, problem.target[:, 0]), surprise(problem.outputs, problem.target), inputs)
