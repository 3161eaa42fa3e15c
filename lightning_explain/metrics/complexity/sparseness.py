"""Sparseness: is the attribution concentrated on few features?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.metrics.complexity.shares import magnitude_shares
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation


def sparseness(scores: Tensor) -> Tensor:
    r"""The Gini index of the magnitudes of attributions.

    .. math:: 1 - 2 \sum_{k=1}^{D} \frac{|\phi|_{(k)}}{\sum_i |\phi_i|} \cdot \frac{D - k + \frac12}{D}

    with :math:`|\phi|_{(1)} \le \dots \le |\phi|_{(D)}`.

    Args:
        scores: Attributions of features (n, D).

    Returns:
        Indices (n,) in [0, 1 - 1/D], float64: 0 where all magnitudes are equal, 1 - 1/D where one feature has all; NaN
        for maps that are all zero or not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> sparseness(torch.tensor([[0.0, 0.0, -3.0, 0.0], [1.0, -1.0, 1.0, 1.0]]))
        tensor([0.7500, 0.0000], dtype=torch.float64)
    """
    require_alike("(n, D)", scores=scores)
    ascending = magnitude_shares(scores).sort(dim=1).values
    count = ascending.shape[1]
    # 1 - 2 (D - k + 1/2) / D, for the shares add up to 1: then equal ones give exactly 0.
    weights = (2 * torch.arange(1, count + 1, device=ascending.device, dtype=torch.float64) - count - 1) / count
    return (ascending * weights).sum(dim=1).where(ascending.isfinite().all(dim=1), torch.nan).clamp(min=0)


@METRICS.register("sparseness")
class Sparseness(AttributionMetric):
    """The Gini index of the magnitudes of each map.

    In [0, 1): 0 where all features have the same, near 1 where few have all. Higher is better, in the sense that less
    has to be read; it says nothing of whether the map is right.

    P. Chalasani et al.: Concise Explanations of Neural Networks using Adversarial Training. arXiv:1810.06583, 2020.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Sparseness()]).explained[0]
        >>> round(explained.scores["sparseness"].mean, 3)
        0.264
    """

    higher_is_better = True
    default = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return sparseness(evaluation.scores)
