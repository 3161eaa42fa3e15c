"""Relative stability: how much do attributions change for how much the input, a representation or the output does?"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.settings import require_number
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.layers import ROOT, parameter_layers
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.robustness.changes import elementwise_change, norm
from lightning_explain.metrics.robustness.noise import EPS_MIN, Noise, noisy_changes, noisy_copies, worst
from lightning_explain.metrics.robustness.sensitivity import SensitivityMetric
from lightning_explain.precision import accurate


def predicted(given: Tensor, target: Tensor | None) -> Tensor:
    """The class that each output predicts, where the target is if there are several.

    Args:
        given: The model's outputs (n, classes, ...), or one number for each sample.
        target: Output indices (n, k), or None.

    Returns:
        Class numbers (n, m); 0 where there are no classes.
    """
    if given.ndim < 2:
        return given.new_zeros(len(given), 1, dtype=torch.long)
    if target is not None and given.ndim > 2:
        rows = torch.arange(len(given), device=given.device)
        given = given.movedim(1, -1)[(rows, *target[:, 1:].unbind(dim=1))]
    return given.reshape(*given.shape[:2], -1).argmax(dim=1)


@dataclass(frozen=True, eq=False)
class OutputChanges:
    """How the outputs for noisy copies differ from those for the samples.

    Args:
        same: Whether the predicted class is the same, (copies, n) boolean.
        norms: The Euclidean norm of the change of all outputs, (copies, n), float64.
    """

    same: Tensor
    norms: Tensor


def noisy_outputs(problem: Problem, noise: Noise) -> OutputChanges:
    """What the model makes of the noisy copies that :func:`noisy_changes` explains.

    Returns:
        Numbers for each copy; computed once for all methods at a place. No copy's outputs are kept.
    """

    def compute() -> OutputChanges:
        before, classes = accurate(problem.outputs), predicted(problem.outputs, problem.target)
        same, norms = [], []
        for noisy in noisy_copies(problem.inputs, noise):
            given = problem.with_inputs(noisy).outputs
            same.append((predicted(given, problem.target) == classes).all(dim=1))
            norms.append(norm((accurate(given) - before,)))
        return OutputChanges(torch.stack(same), torch.stack(norms))

    return problem.remembered(("noisy outputs", noise), compute)


class RelativeStability(SensitivityMetric):
    """Base of the relative stabilities.

    Args:
        copies: Noisy copies of each sample; each costs an explanation and a row, which all metrics of the same noise
            share (as long as ``eps_min`` is the same too).
        radius: The noise's half width, in units of each sample's standard deviation in that input.
        seed: Where the noise begins.
        eps_min: Twice a least size: of an element that something is divided by, see :func:`elementwise_change`, and
            of the change that the attributions' change is divided by. Positive.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``copies`` is less than 1, or ``radius`` or ``eps_min`` is not positive.
    """

    def __init__(
        self, copies: int = 3, radius: float = 0.1, seed: int = 0, eps_min: float = EPS_MIN, **kwargs: Any
    ) -> None:
        super().__init__(copies, radius, seed, **kwargs)
        require_number("eps_min", eps_min)
        if eps_min <= 0:
            raise ValueError(f"eps_min must be positive, got {eps_min}.")
        self.eps_min = eps_min

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        changes = noisy_changes(evaluation, self.noise, self.eps_min)
        same = noisy_outputs(evaluation.problem, self.noise).same.to(changes.moved.device)
        divisor = self.divisors(evaluation).clamp(min=self.eps_min)
        return worst(changes.elementwise / divisor, same & changes.moved)

    @abstractmethod
    def divisors(self, evaluation: Evaluation) -> Tensor:
        """How much it changed that the attributions' change is compared with.

        Returns:
            Changes (copies, n), float64.
        """


@METRICS.register("relative_input_stability")
class RelativeInputStability(RelativeStability):
    r"""The largest relative change of the attributions for the relative change of the input, under uniform noise.

    .. math:: \max_{x': \hat y(x') = \hat y(x)}
        \frac{\|(\phi(x) - \phi(x')) / \phi(x)\|_2}{\max(\|(x - x') / x\|_2, \epsilon_{\min})}

    From 0 up; lower is better. Copies whose predicted class changed do not count; NaN if none is left, and for all-zero
    maps.

    C. Agarwal et al.: Rethinking Stability for Attribution-based Explanations. arXiv:2203.06877, 2022.

    Args:
        copies: See :class:`RelativeStability`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [RelativeInputStability()]).explained[0]
        >>> round(explained.scores["relative_input_stability"].mean, 3)
        0.75
    """

    def divisors(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return noisy_changes(evaluation, self.noise, self.eps_min).of_input


@METRICS.register("relative_output_stability")
class RelativeOutputStability(RelativeStability):
    r"""The largest relative change of the attributions for the change of the model's outputs, under uniform noise.

    .. math:: \max_{x': \hat y(x') = \hat y(x)}
        \frac{\|(\phi(x) - \phi(x')) / \phi(x)\|_2}{\max(\|h(x) - h(x')\|_2, \epsilon_{\min})}

    :math:`h` are all outputs, before a softmax; their change is absolute, as in the paper. From 0 up; lower is better.
    Copies whose predicted class changed do not count; NaN if none is left, and for all-zero maps.

    C. Agarwal et al.: Rethinking Stability for Attribution-based Explanations. arXiv:2203.06877, 2022.

    Args:
        copies: See :class:`RelativeStability`, as for the other arguments.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [RelativeOutputStability()]).explained[0]
        >>> round(explained.scores["relative_output_stability"].mean, 3)
        2.812
    """

    def divisors(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return noisy_outputs(evaluation.problem, self.noise).norms


@METRICS.register("relative_representation_stability")
class RelativeRepresentationStability(RelativeStability):
    r"""The largest relative change of the attributions for that of a hidden representation, under uniform noise.

    .. math:: \max_{x': \hat y(x') = \hat y(x)}
        \frac{\|(\phi(x) - \phi(x')) / \phi(x)\|_2}{\max(\|(L(x) - L(x')) / L(x)\|_2, \epsilon_{\min})}

    From 0 up; lower is better. Copies whose predicted class changed do not count; NaN if none is left, for all-zero
    maps, and where the representation is all zero.

    C. Agarwal et al.: Rethinking Stability for Attribution-based Explanations. arXiv:2203.06877, 2022.

    Args:
        layer: What gives the representation, a layer's dotted name or a place; None: what goes into the last layer that
            has parameters, the head.
        copies: See :class:`RelativeStability`, as for the other arguments.
        radius: See there.
        seed: See there.
        eps_min: See there.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [RelativeRepresentationStability()]).explained[0]
        >>> round(explained.scores["relative_representation_stability"].mean, 3)
        0.821
    """

    def __init__(
        self,
        layer: str | Layer | None = None,
        copies: int = 3,
        radius: float = 0.1,
        seed: int = 0,
        eps_min: float = EPS_MIN,
        **kwargs: Any,
    ) -> None:
        super().__init__(copies, radius, seed, eps_min, **kwargs)
        self.layer = Layer(layer) if isinstance(layer, str) else layer

    def divisors(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        problem = evaluation.problem
        layer = self.layer or Layer(_head(problem), of="input")

        def compute() -> Tensor:
            before = problem.at(layer).z
            copies = noisy_copies(problem.inputs, self.noise)
            after = (problem.with_inputs(noisy).at(layer).z for noisy in copies)
            return torch.stack([elementwise_change(point, before, self.eps_min) for point in after])

        return problem.remembered(("noisy representations", layer, self.noise, self.eps_min), compute)


def _head(problem: Problem) -> str:
    *_, last = parameter_layers(problem) or [ROOT]
    if last == ROOT:
        raise ValueError(
            "No layer of the model owns parameters and is called, so none is its head; name the one whose output is the"
            " representation, RelativeRepresentationStability(layer=...)."
        )
    return last
