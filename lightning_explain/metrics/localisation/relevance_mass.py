"""Relevance mass: how much of the relevance lies in a region?"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.metrics.localisation.region import ShareMetric, defined
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.shapes import require_region
from lightning_explain.precision import accurate


def relevance_mass(scores: Tensor, mask: Tensor) -> Tensor:
    """The share of the positive attribution that lies in a region.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).

    Returns:
        Shares (n,) in [0, 1], float64; NaN where the region is empty, nothing is positive or the map is not finite.

    Raises:
        TypeError: If the region is not boolean.
        ValueError: If the shapes do not fit.

    Example:
        >>> relevance_mass(torch.tensor([[3.0, -5.0, 1.0]]), torch.tensor([[True, True, False]]))
        tensor([0.7500], dtype=torch.float64)
    """
    require_region(scores, mask)
    positive = accurate(scores).clamp(min=0)
    total = positive.sum(dim=1)
    share = (positive * mask.to(positive)).sum(dim=1) / total
    return torch.where((total > 0) & defined(scores, mask), share, torch.nan)


@METRICS.register("relevance_mass")
class RelevanceMass(ShareMetric):
    """The share of the positive attribution that lies in the mask, divided by the mask's share of the area.

    From 0 up, 1 is chance. Higher is better for an object, lower for an artefact.

    L. Arras, A. Osman, W. Samek: CLEVR-XAI. arXiv:2003.07258, 2022.

    Args:
        enrichment: Divide by the region's share of the area: 1 is chance, whatever the region's size.
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> mask = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) >= 12
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0, mask=mask)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [RelevanceMass()]).explained[0]
        >>> round(explained.scores["relevance_mass"].mean, 3)
        1.8
    """

    default = True

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return relevance_mass(scores, mask)
