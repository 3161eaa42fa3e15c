"""Sensitivity-n: do attributions and what removals do rise together, for removals of one size at a time?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_kind
from lightning_explain.metrics.correlation import pearson
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.faithfulness.faithfulness_correlation import CorrelationMetric
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.perturbation import Subsets
from lightning_explain.metrics.shapes import require_alike

SHARES = (0.05, 0.1, 0.2, 0.4, 0.8)


def sensitivity_n(foretold: Tensor, drops: Tensor, sizes: Tensor) -> Tensor:
    """The mean over sizes of Pearson's correlation over the removals of that size.

    Args:
        foretold: The attributions that each removal takes, summed, (n, removals).
        drops: How much the score falls at each removal, (n, removals).
        sizes: How many regions each removal takes, (removals,).

    Returns:
        Means (n,) in [-1, 1], float64, over the sizes for which the correlation is defined; NaN if it is for none.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> foretold = torch.tensor([[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]])
        >>> drops = torch.tensor([[1.0, 2.0, 3.0, 6.0, 5.0, 4.0]])
        >>> sensitivity_n(foretold, drops, torch.tensor([1, 1, 1, 2, 2, 2]))
        tensor([0.], dtype=torch.float64)
    """
    require_alike("(n, removals)", foretold=foretold, drops=drops)
    of_size = [sizes == size for size in sizes.unique()]
    return torch.stack([pearson(foretold[:, chosen], drops[:, chosen]) for chosen in of_size]).nanmean(dim=0)


@METRICS.register("sensitivity_n")
class SensitivityN(CorrelationMetric):
    r"""Pearson's correlation of attribution that goes and fall of the score, for each size n of removals; the mean.

    .. math:: \frac{1}{|N|} \sum_{n \in N} \mathrm{corr}_{|T| = n}
        \Big(\sum_{i \in T} \phi_i,\; S(x) - S(x_{T \to x^0})\Big)

    In [-1, 1]; higher is better, random attributions have about 0. Within a size no map gains from the fact that
    larger removals cost more, as all would. NaN where the correlation is undefined for every size.

    M. Ancona, E. Ceolini, C. Oeztireli, M. Gross: Towards better understanding of gradient-based attribution methods
    for Deep Neural Networks. arXiv:1711.06104, 2018.

    Args:
        subsets: What is removed; its shares are the sizes. Three sets at least for each.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        TypeError: If ``subsets`` are no :class:`~lightning_explain.metrics.perturbation.Subsets`.
        ValueError: If there are fewer.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> metric = SensitivityN(Subsets(count=12, shares=(0.4, 0.7)))
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [metric]).explained[0]
        >>> round(explained.scores["sensitivity_n"].mean, 3)
        1.0
    """

    def __init__(
        self,
        subsets: Subsets = Subsets(count=100, shares=SHARES),  # noqa: B008  (frozen)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_kind("subsets", subsets, Subsets, "Subsets(count=64)")
        least = 3 * len(subsets.shares)
        if subsets.count < least:
            raise ValueError(
                f"A correlation says something from 3 random sets on: {len(subsets.shares)} shares need"
                f" Subsets(count={least}) at least, got {subsets.count}."
            )
        self.subsets = subsets

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        perturbations = evaluation.perturbations
        foretold = perturbations.foretold(evaluation.contributions, self.subsets)
        sizes = perturbations.taken(self.subsets).sum(dim=1).to(foretold.device)
        return sensitivity_n(foretold, perturbations.drops(self.subsets).to(foretold), sizes)
