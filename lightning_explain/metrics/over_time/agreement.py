"""Agreement: do the methods tell the same story?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.ranks import map_similarity


def agreement(maps: Mapping[str, Tensor]) -> Tensor:
    """The rank correlation of every two methods' maps, sample by sample.

    Args:
        maps: Attributions of the same features (n, D), by method.

    Returns:
        Correlations (n, methods, methods) in [-1, 1], symmetric, float64; 1 on the diagonal where a map is not
        degenerate, NaN where one of the two is.

    Example:
        >>> up, down = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 1.0]])
        >>> agreement({"one": up, "other": down}).round(decimals=6)
        tensor([[[ 1., -1.],
                 [-1.,  1.]]], dtype=torch.float64)
    """
    listed = list(maps.values())
    table = torch.full((len(listed[0]), len(listed), len(listed)), torch.nan, dtype=torch.float64)
    for i, one in enumerate(listed):
        for j, other in enumerate(listed[: i + 1]):
            table[:, i, j] = table[:, j, i] = map_similarity(one, other.to(one.device)).cpu()
    return table


@METRICS.register("agreement")
class Agreement(AttributionMetric):
    """The mean rank correlation of each map with those of the other methods at the same place.

    In [-1, 1]; higher is better: methods that agree do not prove each other right, but where they part, one of them is
    wrong. It applies where there is another method. The whole table is in the monitor's report.

    S. Krishna et al.: The Disagreement Problem in Explainable Machine Learning. arXiv:2202.01602, 2022.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["saliency", "input_x_gradient"], [Agreement()]).explained[0]
        >>> round(explained.scores["agreement"].mean, 3)
        0.75
    """

    higher_is_better = True
    compares = True
    default = True
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        scores = evaluation.scores
        if not evaluation.others:
            return torch.full((len(scores),), torch.nan)
        return torch.stack([map_similarity(scores, other) for other in evaluation.others.values()]).nanmean(dim=0)
