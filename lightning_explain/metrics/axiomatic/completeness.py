"""Completeness: do the attributions add up?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_number
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.robustness.changes import absolute_sum
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


LEAST = 1e-3


def completeness_gap(delta: Tensor, span: Tensor, size: Tensor, least: float = LEAST) -> Tensor:
    r"""The convergence delta relative to what is to be explained.

    .. math:: \frac{|\sum_i \phi_i - (S(x) - S(x^0))|}{|S(x) - S(x^0)|}

    Args:
        delta: Convergence deltas (n,).
        span: Score at the input minus score at the baseline, (n,).
        size: How large the numbers are of which the span is a difference or a sum: the larger of the score and the sum
            of the absolute attributions, (n,).
        least: The least span, a share of ``size``; of a smaller one a gap would be the error of a cancellation.

    Returns:
        Gaps (n,) >= 0; NaN where input and baseline have the same score, nearly.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> delta, span = torch.tensor([0.5, 0.5]), torch.tensor([2.0, 1e-6])
        >>> completeness_gap(delta, span, size=torch.tensor([3.0, 3.0]))
        tensor([0.2500,    nan])
    """
    require_alike("(n,)", delta=delta, span=span, size=size)
    return torch.where((span != 0) & (span.abs() >= least * size), delta.abs() / span.abs(), torch.nan)


class _Completeness(AttributionMetric):
    """Base of the scores of methods whose attributions promise to add up."""

    plot_lower_bound = 0.0

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:
        return None if method.complete_at(space) else f"{method.name} is not complete: its attributions need not add up"

    def _gap(self, evaluation: Evaluation) -> Tensor:
        attribution = evaluation.attribution
        if attribution.delta is None or attribution.span is None:
            raise ValueError(f"{attribution.method} gives no convergence delta: it is not a complete method.")
        added = evaluation.point if attribution.coefficients is None else (attribution.coefficients,)
        # The score at the input is known: the span was made of it.
        size = torch.maximum(absolute_sum(added), accurate(evaluation.problem.value).abs())
        return completeness_gap(attribution.delta, attribution.span, size.to(attribution.span.device))


@METRICS.register("completeness_gap")
class CompletenessGap(_Completeness):
    """How far the attributions are from adding up, as a share of the difference in score.

    From 0 (exact) up; lower is better. Only for complete methods; integrated gradients need more steps
    when it rises. NaN where that difference is less than a thousandth of the score or of the absolute attributions: a
    share of nearly nothing says nothing.

    M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. arXiv:1703.01365, 2017.

    Example:
        >>> from lightning_explain import IntegratedGradients, ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, [IntegratedGradients(1)], [CompletenessGap()]).explained[0]
        >>> round(explained.scores["completeness_gap"].mean, 3)
        0.021
    """

    higher_is_better = False
    default = True

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return self._gap(evaluation)


@METRICS.register("completeness")
class Completeness(_Completeness):
    """The share of samples whose attributions add up: 1 where the gap is within a tolerance, else 0.

    In [0, 1]; higher is better. Floating point sums are never exactly equal, so that a comparison without tolerance
    would find hardly any attribution complete. Undefined where :class:`CompletenessGap` is.

    M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. arXiv:1703.01365, 2017.

    Args:
        tolerance: The largest gap that counts as complete, a share of the difference in score. At least 0.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If the tolerance is negative.

    Example:
        >>> from lightning_explain import IntegratedGradients, ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, [IntegratedGradients(1)], [Completeness()]).explained[0]
        >>> round(explained.scores["completeness"].mean, 3)
        0.0
    """

    higher_is_better = True
    plot_upper_bound = 1.0

    def __init__(self, tolerance: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_number("tolerance", tolerance)
        if not tolerance >= 0:
            raise ValueError(f"The tolerance is a share of the difference in score, at least 0, got {tolerance}.")
        self.tolerance = tolerance

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        gap = self._gap(evaluation)
        return (gap <= self.tolerance).double().where(gap.isfinite(), torch.nan)
