"""Monotonicity: does the score rise all the way while features come, the least relevant first?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.regions import EveryFeature, Partition
from lightning_explain.attribution.settings import require_number
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.faithfulness.curves import CurveMetric
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate

ROUNDING = 1e-6


def rising_steps(curve: Tensor, tolerance: float = ROUNDING) -> Tensor:
    """The share of steps at which a curve does not fall.

    Args:
        curve: Values (n, points).
        tolerance: A fall by no more than this share of the curve's largest absolute value is rounding.

    Returns:
        Shares (n,) in [0, 1], float64; 1 for a curve that never falls, NaN where a value is not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> rising_steps(torch.tensor([[0.1, 0.2, 0.2, 0.7], [0.1, 0.4, 0.3, 0.7], [torch.nan, 0.4, 0.3, 0.7]]))
        tensor([1.0000, 0.6667,    nan], dtype=torch.float64)
    """
    require_alike("(n, points)", curve=curve)
    values = accurate(curve)
    allowed = tolerance * values.abs().amax(dim=1, keepdim=True)
    share = (values.diff(dim=1) >= -allowed).double().mean(dim=1)
    return torch.where(torch.isfinite(values).all(dim=1), share, torch.nan)


@METRICS.register("monotonicity")
class Monotonicity(CurveMetric):
    """Whether the score never falls while features are put into the baseline, the least relevant first.

    1 or 0 for each sample; higher is better. The points are those of ``deletion_auc``, read backwards, and cost nothing
    beside it. NaN for maps that order nothing. Negative attributions come first, and should lower the score: a map
    that has them, and is right, is not monotone. ``share=True`` is kinder.

    V. Arya et al.: One Explanation Does Not Fit All: A Toolkit and Taxonomy of AI Explainability Techniques.
    arXiv:1909.03012, 2019.

    Args:
        steps: See :class:`CurveMetric`.
        partition: See :class:`CurveMetric`.
        fill: See :class:`CurveMetric`.
        share: The share of steps at which the score does not fall, in [0, 1], instead of whether it never does.
        tolerance: See :func:`rising_steps`; 0 for the paper's letter. Not negative.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If there is no step, or ``tolerance`` is negative.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Monotonicity()]).explained[0]
        >>> round(explained.scores["monotonicity"].mean, 3)
        0.0
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(
        self,
        steps: int = 16,
        partition: Partition = EveryFeature(),  # noqa: B008  (frozen)
        fill: str = "baseline",
        share: bool = False,
        tolerance: float = ROUNDING,
        **kwargs: Any,
    ) -> None:
        super().__init__(steps, partition, fill, **kwargs)
        require_number("tolerance", tolerance)
        if tolerance < 0:
            raise ValueError(f"tolerance must not be negative, got {tolerance}.")
        self.share, self.tolerance = share, tolerance

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        # What is left when the most relevant are gone is what was there before they came.
        rising = rising_steps(evaluation.curve(self.course).values.flip(1), self.tolerance)
        return rising if self.share else rising.floor()
