"""Degenerate maps: those that say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation


def is_degenerate(scores: Tensor) -> Tensor:
    """Whether maps hold NaN or infinity, or are constant (all zero among them).

    Args:
        scores: Attributions of features (n, D).

    Returns:
        1 or 0 for each map, (n,).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> is_degenerate(torch.tensor([[0.0, 0.0], [2.0, 2.0], [1.0, torch.nan], [1.0, 2.0]]))
        tensor([1., 1., 1., 0.])
    """
    require_alike("(n, D)", scores=scores)
    finite = torch.isfinite(scores).all(dim=1)
    constant = scores.amax(dim=1) == scores.amin(dim=1)
    return (~finite | constant).float()


@METRICS.register("degenerate_rate")
class DegenerateRate(AttributionMetric):
    """The share of maps that say nothing: NaN, all zero or constant. In [0, 1], should be 0; lower is better.

    Dead ReLUs, a saturated softmax, a detached graph or a wrong layer show up here.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [DegenerateRate()]).explained[0]
        >>> round(explained.scores["degenerate_rate"].mean, 3)
        0.5
    """

    higher_is_better = False
    default = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return is_degenerate(evaluation.scores)
