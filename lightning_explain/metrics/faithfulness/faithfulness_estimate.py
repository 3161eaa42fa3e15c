"""Faithfulness estimate: is each region worth what the attributions say, when it alone is removed?"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_explain.attribution.regions import Grid, Partition, require_partition
from lightning_explain.metrics.correlation import pearson
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.faithfulness.faithfulness_correlation import CorrelationMetric
from lightning_explain.metrics.metric import METRICS
from lightning_explain.precision import accurate


@METRICS.register("faithfulness_estimate")
class FaithfulnessEstimate(CorrelationMetric):
    r"""Pearson's correlation, over regions, of a region's attribution and of the fall of the score without it.

    .. math:: \mathrm{corr}_r\Big(\sum_{i \in r} \phi_i,\; S(x) - S(x_{r \to x^0})\Big)

    In [-1, 1]; higher is better, random attributions have about 0. NaN where all regions are worth the same, to the
    model or to the attributions.

    D. Alvarez-Melis, T. Jaakkola: Towards Robust Interpretability with Self-Explaining Neural Networks.
    arXiv:1806.07538, 2018.

    Args:
        partition: The regions; each costs a row, which all methods share. For two regions the correlation is 1 or -1.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [FaithfulnessEstimate()]).explained[0]
        >>> round(explained.scores["faithfulness_estimate"].mean, 3)
        1.0
    """

    def __init__(self, partition: Partition = Grid(), **kwargs: Any) -> None:  # noqa: B008  (frozen)
        super().__init__(**kwargs)
        require_partition(partition)
        self.partition = partition

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        perturbations = evaluation.perturbations
        regions = perturbations.regions(self.partition)
        foretold = regions.sums(accurate(evaluation.contributions))
        # A sample may have fewer segments than another: regions without features are no regions.
        filled = (regions.sizes > 0).expand_as(foretold)
        return pearson(foretold, perturbations.single_drops(self.partition), filled)
