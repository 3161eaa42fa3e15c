"""Selectivity: how fast the score falls when patches go."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_explain.attribution.regions import Partition, Patches
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Course


@METRICS.register("selectivity")
class Selectivity(AttributionMetric):
    """Area under the score while all patches go one by one, the most relevant first. Lower is better.

    In units of the score: the target's probability for a classifier, then in [0, 1]. The deletion area with a point
    for every patch; patches are ordered by their mean attribution.

    G. Montavon, W. Samek, K.-R. Mueller: Methods for Interpreting and Understanding Deep Neural Networks.
    arXiv:1706.07979, 2018.

    Args:
        partition: What goes as one; each region costs a row, but the last.
        fill: What takes the place of features, see :data:`~lightning_explain.attribution.fill.FILLS`.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [Selectivity(Patches(2))]).explained[0]
        >>> round(explained.scores["selectivity"].mean, 3)
        0.167
    """

    higher_is_better = False
    yardstick = True

    def __init__(
        self,
        partition: Partition = Patches(),  # noqa: B008  (frozen)
        fill: str = "baseline",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.course = Course(partition, fill=fill)

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return evaluation.curve(evaluation.perturbations.one_by_one(self.course)).area()
