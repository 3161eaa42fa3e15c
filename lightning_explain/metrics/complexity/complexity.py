"""Complexity: over how many features is the attribution spread?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.metrics.complexity.shares import magnitude_shares
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation


def complexity(scores: Tensor, *, normalize: bool = False) -> Tensor:
    r"""The entropy of the magnitudes of attributions.

    .. math:: -\sum_i p_i \ln p_i, \qquad p_i = \frac{|\phi_i|}{\sum_j |\phi_j|}

    Args:
        scores: Attributions of features (n, D).
        normalize: Divide by ln D, the entropy of a uniform map.

    Returns:
        Entropies (n,) in [0, ln D], normalised in [0, 1], float64; NaN for maps that are all zero or not finite, and
        normalised for a single feature.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> scores = torch.tensor([[1.0, -1.0, 0.0, 0.0]])
        >>> complexity(scores), complexity(scores, normalize=True)
        (tensor([0.6931], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
    """
    require_alike("(n, D)", scores=scores)
    shares = magnitude_shares(scores)
    entropy: Tensor = torch.special.entr(shares).sum(dim=1)
    if not normalize:
        return entropy
    most = math.log(shares.shape[1])
    return entropy / most if most else torch.full_like(entropy, torch.nan)


@METRICS.register("complexity")
class Complexity(AttributionMetric):
    """The entropy of the magnitudes of each map.

    From 0 (one feature has all) to ln D (all features have the same); lower is better, in the sense that less has to be
    read.

    U. Bhatt, A. Weller, J. Moura: Evaluating and Aggregating Feature-based Model Explanations. arXiv:2005.00631, 2020.

    Args:
        normalize: Divide by ln D: in [0, 1], whatever the resolution.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Complexity()]).explained[0]
        >>> round(explained.scores["complexity"].mean, 3)
        0.902
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalize = normalize

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return complexity(evaluation.scores, normalize=self.normalize)
