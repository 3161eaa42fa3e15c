"""Effective complexity: how many features have an attribution worth mentioning?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_number
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation


def effective_complexity(scores: Tensor, threshold: float = 0.01) -> Tensor:
    """The number of features whose attribution exceeds a share of the largest one of the same map, signs left out.

    Args:
        scores: Attributions of features (n, D).
        threshold: The share of the map's largest magnitude that a feature must exceed, in [0, 1).

    Returns:
        Numbers (n,) from 1 to D, float64; NaN for maps that are all zero or not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> effective_complexity(torch.tensor([[100.0, -2.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]]))
        tensor([2., nan], dtype=torch.float64)
    """
    require_alike("(n, D)", scores=scores)
    magnitudes = accurate(scores).abs()
    largest = magnitudes.amax(dim=1, keepdim=True)
    number = (magnitudes > threshold * largest).sum(dim=1).double()
    return number.where((largest[:, 0] > 0) & torch.isfinite(magnitudes).all(dim=1), torch.nan)


@METRICS.register("effective_complexity")
class EffectiveComplexity(AttributionMetric):
    """The share of the features whose attribution exceeds a hundredth of the largest one of their map.

    In (0, 1]; lower is better, in the sense that less has to be read.

    A. Nguyen, M. Martínez: On Quantitative Aspects of Model Interpretability. arXiv:2007.07584, 2020.

    Args:
        threshold: The share of the map's largest magnitude that a feature must exceed, in [0, 1).
        share: Divide by the number of features; False: the number itself, from 1 to D.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If the threshold is no such share.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [EffectiveComplexity(threshold=0.5)]).explained[0]
        >>> round(explained.scores["effective_complexity"].mean, 3)
        0.667
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, threshold: float = 0.01, share: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_number("threshold", threshold)
        if not 0 <= threshold < 1:
            raise ValueError(f"The threshold is a share of each map's largest magnitude, in [0, 1), got {threshold}.")
        self.threshold, self.share = threshold, share

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        number = effective_complexity(evaluation.scores, self.threshold)
        return number / evaluation.scores.shape[1] if self.share else number
