"""Localisation AUC: how well do the attributions tell a region from the rest?"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.metrics.localisation.region import RegionMetric, defined
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.ranks import average_ranks
from lightning_explain.metrics.shapes import require_region
from lightning_explain.precision import accurate


def localisation_auc(scores: Tensor, mask: Tensor) -> Tensor:
    """The area under the ROC curve of the attributions as a detector of a region.

    That is the probability that a feature inside has a higher attribution than one outside, equal ones counted half.
    A constant map therefore has 0.5, chance.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).

    Returns:
        Areas (n,) in [0, 1], float64; NaN where the region is empty or everything, or the map not finite.

    Raises:
        TypeError: If the region is not boolean.
        ValueError: If the shapes do not fit.

    Example:
        >>> localisation_auc(torch.tensor([[4.0, 1.0, 2.0, 1.0]]), torch.tensor([[True, True, False, False]]))
        tensor([0.6250], dtype=torch.float64)
    """
    require_region(scores, mask)
    ranks = average_ranks(accurate(scores))
    mask = mask.to(ranks.device)
    inside = mask.sum(dim=1).double()
    outside = mask.shape[1] - inside
    # Mann and Whitney's U: how often inside wins, from the sum of its ranks.
    wins = (ranks * mask).sum(dim=1) - inside * (inside + 1) / 2
    return torch.where(defined(scores, mask) & (outside > 0), wins / (inside * outside), torch.nan)


@METRICS.register("localisation_auc")
class LocalisationAUC(RegionMetric):
    """The area under the ROC curve of the attributions as a detector of the mask.

    In [0, 1]; 0.5 is chance, whatever the mask's size. Higher is better for an object, lower for an artefact. It looks
    at the order of all features, and so at the many that matter little as much as at the few that matter.

    T. Fawcett: An Introduction to ROC Analysis. doi:10.1016/j.patrec.2005.10.010, 2006.

    Args:
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> mask = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) >= 12
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0, mask=mask)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [LocalisationAUC()]).explained[0]
        >>> round(explained.scores["localisation_auc"].mean, 3)
        1.0
    """

    plot_upper_bound = 1.0

    def inside(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return localisation_auc(scores, mask)
