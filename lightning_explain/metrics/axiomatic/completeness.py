"""Completeness: do the attributions add up?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.probe import ProbeSet


def completeness_gap(delta: Tensor, span: Tensor) -> Tensor:
    r"""The convergence delta relative to what is to be explained.

    .. math:: \frac{|\sum_i \phi_i - (S(x) - S(x^0))|}{|S(x) - S(x^0)|}

    Args:
        delta: Convergence deltas (n,).
        span: Score at the input minus score at the baseline, (n,).

    Returns:
        Gaps (n,) >= 0; NaN where input and baseline have the same score.
    """
    return torch.where(span == 0, torch.nan, delta.abs() / span.abs())


class _Completeness(AttributionMetric):
    """Base of the scores of methods whose attributions promise to add up."""

    plot_lower_bound = 0.0

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:
        return None if method.complete_at(space) else f"{method.name} is not complete: its attributions need not add up"

    def _gap(self, evaluation: Evaluation) -> Tensor:
        attribution = evaluation.attribution
        if attribution.delta is None or attribution.span is None:
            raise ValueError(f"{attribution.method} gives no convergence delta: it is not a complete method.")
        return completeness_gap(attribution.delta, attribution.span)


@METRICS.register("completeness_gap")
class CompletenessGap(_Completeness):
    """How far the attributions are from adding up, as a share of the difference in score.

    From 0 (exact) up; lower is better. Only for complete methods; integrated gradients need more steps
    when it rises.

    M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. arXiv:1703.01365, 2017.
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
    """

    higher_is_better = True
    plot_upper_bound = 1.0

    def __init__(self, tolerance: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not tolerance >= 0:
            raise ValueError(f"The tolerance is a share of the difference in score, at least 0, got {tolerance}.")
        self.tolerance = tolerance

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        gap = self._gap(evaluation)
        return (gap <= self.tolerance).double().where(gap.isfinite(), torch.nan)
