"""Completeness: do the attributions add up?"""

from __future__ import annotations

from typing import TYPE_CHECKING

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


@METRICS.register("completeness_gap")
class CompletenessGap(AttributionMetric):
    """How far the attributions are from adding up, as a share of the difference in score.

    From 0 (exact) up; lower is better. Only for complete methods; integrated gradients need more steps
    when it rises.

    M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. arXiv:1703.01365, 2017.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    @classmethod
    def missing(cls, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        complete = method.complete_at(space)
        return None if complete else f"{method.name} is not complete: its attributions need not add up"

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        attribution = evaluation.attribution
        if attribution.delta is None or attribution.span is None:
            raise ValueError(f"{attribution.method} gives no convergence delta: it is not a complete method.")
        return completeness_gap(attribution.delta, attribution.span)
