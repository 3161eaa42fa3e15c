"""Faithfulness correlation: do attributions and what removals do rise together?"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_explain.attribution.settings import require_kind
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.correlation import pearson
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Subsets


class CorrelationMetric(AttributionMetric):
    """Base of the scores that correlate what attributions foretell with what removals do: in [-1, 1], 1 is perfect."""

    higher_is_better = True
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0
    yardstick = True

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0


@METRICS.register("faithfulness_correlation")
class FaithfulnessCorrelation(CorrelationMetric):
    r"""Pearson's correlation, over random removals, of the attribution that goes and of the fall of the score.

    .. math:: \mathrm{corr}_T\Big(\sum_{i \in T} \phi_i,\; S(x) - S(x_{T \to x^0})\Big)

    In [-1, 1]; higher is better, random attributions have about 0. The removals are those of ``infidelity`` and cost
    nothing beside it. NaN where all removals cost the same, or the attributions foretell the same for all.

    U. Bhatt, A. Weller, J. Moura: Evaluating and Aggregating Feature-based Model Explanations. arXiv:2005.00631, 2020.

    Args:
        subsets: What is removed; metrics and methods that ask for the same share the rows. Three at least.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        TypeError: If ``subsets`` are no :class:`~lightning_explain.metrics.perturbation.Subsets`.
        ValueError: If there are fewer.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [FaithfulnessCorrelation()]).explained[0]
        >>> round(explained.scores["faithfulness_correlation"].mean, 3)
        1.0
    """

    default = True

    def __init__(self, subsets: Subsets = Subsets(), **kwargs: Any) -> None:  # noqa: B008  (frozen)
        super().__init__(**kwargs)
        require_kind("subsets", subsets, Subsets, "Subsets(count=64)")
        if subsets.count < 3:
            raise ValueError(f"A correlation says something from 3 random sets on, got Subsets(count={subsets.count}).")
        self.subsets = subsets

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        perturbations = evaluation.perturbations
        return pearson(
            perturbations.foretold(evaluation.contributions, self.subsets), perturbations.drops(self.subsets)
        )
