"""Relative stability: how much do attributions change for how much the input, a representation or the output does?"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, is_continuous, leaves
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.layers import ROOT, parameter_layers
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.robustness.noise import (
    displacement,
    noisy_copies,
    noisy_explanations,
    noisy_outputs,
    worst,
)
from lightning_explain.metrics.robustness.sensitivity import SensitivityMetric, norm
from lightning_explain.precision import accurate


def elementwise_change(changed: Point, original: Point, eps_min: float) -> Tensor:
    r"""The norm of the relative change of every element: :math:`\|(a' - a) / a\|_2`.

    An element near 0 would decide alone. One that is smaller than ``eps_min`` times the largest of its tensor counts as
    that large.

    Args:
        changed: Tensors (n, ...).
        original: Tensors of the same shapes.
        eps_min: The least size of an element, in units of the largest of the sample's tensor (of all its
            tensors, where one is all zero).

    Returns:
        Changes (n,) >= 0, float64; NaN where the original is all zero.

    Example:
        >>> elementwise_change((torch.tensor([[1.5, 6.0]]),), (torch.tensor([[1.0, 5.0]]),), 0.5)
        tensor([0.2828], dtype=torch.float64)
    """
    pairs = [
        (accurate(a).reshape(len(a), -1), accurate(b).reshape(len(b), -1))
        for a, b in zip(changed, original, strict=True)
    ]
    largest = torch.stack([before.abs().amax(dim=1) for _, before in pairs])
    largest = torch.where(largest > 0, largest, largest.amax(dim=0))
    quotients = tuple(
        (after - before) / torch.maximum(before.abs(), eps_min * size[:, None])
        for (after, before), size in zip(pairs, largest, strict=True)
    )
    return norm(quotients).masked_fill(largest.amax(dim=0) == 0, torch.nan)


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


class RelativeStability(SensitivityMetric):
    """Base of the relative stabilities.

    Args:
        copies: Noisy copies of each sample; each costs an explanation and a row, which all metrics of the same noise
            share.
        radius: The noise's half width, in units of the standard deviation of the probe set's inputs.
        seed: Where the noise begins.
        eps_min: Twice a least size: of an element that something is divided by, see :func:`elementwise_change`, and
            of the change that the attributions' change is divided by. Positive.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``copies`` is less than 1, or ``radius`` or ``eps_min`` is not positive.
    """

    def __init__(
        self, copies: int = 3, radius: float = 0.1, seed: int = 0, eps_min: float = 1e-2, **kwargs: Any
    ) -> None:
        super().__init__(copies, radius, seed, **kwargs)
        if eps_min <= 0:
            raise ValueError(f"eps_min must be positive, got {eps_min}.")
        self.eps_min = eps_min

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        problem, explained = evaluation.problem, noisy_explanations(evaluation, self.noise)
        changes = [elementwise_change(point, evaluation.point, self.eps_min) for _, point in explained]
        distances = [norm(displacement(noisy, problem.inputs)) for noisy, _ in explained]
        moved = torch.stack(distances) > 0
        counts = self._same_prediction(evaluation).to(moved.device) & moved
        divisor = torch.stack(list(self.divisors(evaluation))).clamp(min=self.eps_min)
        return worst(torch.stack(changes) / divisor, counts)

    @abstractmethod
    def divisors(self, evaluation: Evaluation) -> Sequence[Tensor]:
        """How much it changed that the attributions' change is compared with.

        Returns:
            Changes (n,), float64, for each copy.
        """

    def _same_prediction(self, evaluation: Evaluation) -> Tensor:
        problem = evaluation.problem
        before = predicted(problem.outputs, problem.target)
        return torch.stack([
            (predicted(given, problem.target) == before).all(dim=1) for given in noisy_outputs(evaluation, self.noise)
        ])


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
    """

    def divisors(self, evaluation: Evaluation) -> Sequence[Tensor]:  # noqa: D102
        before = tuple(filter(is_continuous, leaves(evaluation.problem.inputs)))
        return [
            elementwise_change(tuple(filter(is_continuous, leaves(noisy))), before, self.eps_min)
            for noisy, _ in noisy_explanations(evaluation, self.noise)
        ]


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
    """

    def divisors(self, evaluation: Evaluation) -> Sequence[Tensor]:  # noqa: D102
        before = accurate(evaluation.problem.outputs)
        return [norm((accurate(given) - before,)) for given in noisy_outputs(evaluation, self.noise)]


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
    """

    def __init__(
        self,
        layer: str | Layer | None = None,
        copies: int = 3,
        radius: float = 0.1,
        seed: int = 0,
        eps_min: float = 1e-2,
        **kwargs: Any,
    ) -> None:
        super().__init__(copies, radius, seed, eps_min, **kwargs)
        self.layer = Layer(layer) if isinstance(layer, str) else layer

    def divisors(self, evaluation: Evaluation) -> Sequence[Tensor]:  # noqa: D102
        before, *noisy = self._representations(evaluation.problem)
        return [elementwise_change(point, before, self.eps_min) for point in noisy]

    def _representations(self, problem: Problem) -> list[Point]:
        layer = self.layer or Layer(_head(problem), of="input")

        def represent() -> list[Point]:
            copies = noisy_copies(problem.inputs, self.noise)
            return [problem.at(layer).z, *(problem.with_inputs(noisy).at(layer).z for noisy in copies)]

        return problem.remembered(("noisy representations", layer, self.noise), represent)


def _head(problem: Problem) -> str:
    *_, last = parameter_layers(problem) or [ROOT]
    if last == ROOT:
        raise ValueError(
            "No layer of the model owns parameters and is called, so none is its head; name the one whose output is the"
            " representation, RelativeRepresentationStability(layer=...)."
        )
    return last
