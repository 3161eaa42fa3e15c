"""Drift: how far the attributions are from those at the validation before, or at the best one."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.ranks import map_similarity


@METRICS.register("drift")
class Drift(AttributionMetric):
    """1 - the rank correlation of each map with its map at the validation before.

    In [0, 2]: 0 is the same order of features, 1 an unrelated one. At the first validation of a fit the maps
    are compared with those of the model that the fit began with; ``validate`` and ``test`` have nothing to
    compare with. It has no good direction: it falls and levels off as training settles, and a spike under
    a flat loss means that the model has changed its strategy.

    Example:
        >>> before, now = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[3.0, 1.0, 2.0]])
        >>> 1 - map_similarity(now, before)
        tensor([0.5000], dtype=torch.float64)
    """

    higher_is_better = None
    default = True
    plot_lower_bound = 0.0
    plot_upper_bound = 2.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return _distance(evaluation.scores, evaluation.previous)


@METRICS.register("drift_from_best")
class DriftFromBest(AttributionMetric):
    """1 - the rank correlation of each map with its map at the best validation so far.

    In [0, 2], as :class:`Drift`; the monitor's ``best=`` says which validation is the best. NaN until there is one
    before this. It has no good direction: while the watched score stands still, a growing distance means that the
    model reaches it in another way.

    Example:
        >>> best, now = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[3.0, 1.0, 2.0]])
        >>> 1 - map_similarity(now, best)
        tensor([0.5000], dtype=torch.float64)
    """

    higher_is_better = None
    plot_lower_bound = 0.0
    plot_upper_bound = 2.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return _distance(evaluation.scores, evaluation.best)


def _distance(scores: Tensor, others: Tensor | None) -> Tensor:
    if others is None:
        return torch.full((len(scores),), torch.nan)
    return 1 - map_similarity(scores, others.to(scores.device))
