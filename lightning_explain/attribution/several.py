"""Several explanations of the same samples, which share what they can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import Explainer, explainer, pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.outputs import of_each
from lightning_explain.attribution.passes import share_pass, with_target
from lightning_explain.attribution.place import Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.replication import Replicating, replicated_or_warn, require_replicating
from lightning_explain.attribution.target import resolve_target
from lightning_explain.baseline import Baseline
from lightning_explain.inputs import Inputs, require_finite
from lightning_explain.targets import Target


def explain_methods(  # noqa: PLR0913  (the whole question in one call)
    model: nn.Module,
    inputs: Inputs,
    methods: Iterable[str | Method],
    place: Place | None = None,
    target: Target = "predicted",
    *,
    baseline: Baseline = "zeros",
    label: Tensor | None = None,
    forward: Forward = call,
    max_rows: int | None = None,
    replica: Replicating = False,
) -> dict[str, Attribution]:
    """Explain samples by several methods: as :func:`explain` does, one after the other.

    The outputs are computed once; methods at the same place share what it holds, its gradient, and the scores.

    Args:
        model: As in :func:`explain`.
        inputs: As in :func:`explain`.
        methods: Names, or methods; different ones.
        place: As in :func:`explain`, for all methods that do not name one.
        target: As in :func:`explain`; a neuron needs none.
        baseline: As in :func:`explain`.
        label: As in :func:`explain`.
        forward: As in :func:`explain`.
        max_rows: As in :func:`explain`.
        replica: As in :func:`explain`.

    Returns:
        Attributions by the method's name, ``"saliency@conv1"``, say.

    Raises:
        ValueError: If two explanations have the same name, or one cannot be.

    Example:
        >>> import torch
        >>> model = nn.Linear(3, 2)
        >>> list(explain_methods(model, torch.randn(4, 3), ["saliency", "integrated_gradients"], target=1))
        ['saliency', 'integrated_gradients']
    """
    require_replicating(replica)
    require_finite(inputs)
    with borrowed(model):
        problem = pose(model, inputs, None, baseline=baseline, forward=forward, budget=RowBudget(max_rows))
        explainers = [explainer(method, problem, place) for method in methods]
        names = [chosen.name for chosen in explainers]
        if len(set(names)) < len(names):
            raise ValueError(f"Every method can be at a place once, got {', '.join(names)}.")
        if any(chosen.needs_target for chosen in explainers):
            problem = with_target(problem, target, label)
        if not all(chosen.method.one_pass for chosen in explainers):
            problem = replicated_or_warn(problem, replica)
        at = {chosen.place: problem.at(chosen.place) for chosen in explainers}
        return {chosen.name: chosen.explained(at[chosen.place]) for chosen in explainers}


def explain_targets(  # noqa: PLR0913  (the whole question in one call)
    model: nn.Module,
    inputs: Inputs,
    targets: Sequence[Target],
    method: str | Method = "saliency",
    place: Place | None = None,
    *,
    baseline: Baseline = "zeros",
    label: Tensor | None = None,
    forward: Forward = call,
    max_rows: int | None = None,
    replica: Replicating = False,
) -> list[Attribution]:
    """Explain several outputs for the same samples.

    Methods that ask for the gradient at the samples alone (saliency, input times gradient, the CAM family) share one
    forward pass, which is followed by a backward pass for each target. Methods that ask for nothing but scores at
    points that do not depend on the target (ablation, permutation, occlusion, Shapley values, LIME, kernel SHAP, RISE,
    Score-CAM) take the rows of one target, however many there are. Others share what the model gives.

    Args:
        model: As in :func:`explain`.
        inputs: As in :func:`explain`.
        targets: Targets as in :func:`explain`, at least one.
        method: As in :func:`explain`.
        place: As in :func:`explain`; not a neuron that is explained in the output's place.
        baseline: As in :func:`explain`.
        label: As in :func:`explain`.
        forward: As in :func:`explain`.
        max_rows: As in :func:`explain`.
        replica: As in :func:`explain`.

    Returns:
        The attributions of each target.

    Raises:
        ValueError: If there is no target, or one does not fit.

    Example:
        >>> import torch
        >>> model = nn.Linear(3, 2)
        >>> found = explain_targets(model, torch.randn(4, 3), [0, 1], "input_x_gradient")
        >>> [attribution.values.shape for attribution in found]
        [torch.Size([4, 3]), torch.Size([4, 3])]
    """
    if not targets:
        raise ValueError("There is nothing to explain: targets is empty.")
    require_replicating(replica)
    require_finite(inputs)
    with borrowed(model):
        problem = pose(model, inputs, None, baseline=baseline, forward=forward, budget=RowBudget(max_rows))
        chosen = explainer(method, problem, place)
        if not chosen.needs_target:
            raise ValueError(f"{chosen.place} is its own target: explain it once, by explain().")
        problem = problem.at(chosen.place)
        resolved = [resolve_target(target, problem.outputs, label) for target in targets]
        problem = replicated_or_warn(problem, replica)
        problems = [problem.at(chosen.place, index) for index in resolved]
        if chosen.method.one_pass:
            share_pass(problems)
        if chosen.method.shares_points and len(problems) > 1:
            return _from_the_rows_of_one(chosen, problems)
        return [chosen.explained(posed) for posed in problems]


def _from_the_rows_of_one(chosen: Explainer, problems: list[Problem]) -> list[Attribution]:
    targets = [problem.target for problem in problems]
    if any(target is None for target in targets):  # of a model that gives one number
        return [chosen.explained(problems[0])] * len(problems)
    together = of_each(problems[0], targets)  # type: ignore[arg-type]
    points = together.split(chosen.method(together))
    if chosen.method.complete_at(chosen.place):
        ends = together.split((together.value, chosen.method.reference(together)))
        for problem, (value, reference) in zip(problems, ends, strict=True):
            problem.remember(value=value, baseline_value=reference)
    for problem in problems[1:]:
        problem.remember(z=problems[0].z)
    return [chosen.described(problem, point) for problem, point in zip(problems, points, strict=True)]
