"""Relevance rank: how much of a region is among the most relevant features?"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_explain.metrics.localisation.region import ShareMetric, defined
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.shapes import require_region
from lightning_explain.precision import accurate


def relevance_rank(scores: Tensor, mask: Tensor) -> Tensor:
    """The share of the region that is among the K most relevant features, K the region's size.

    Features tied at the K-th place count with the share of them that still fits: the expected value
    if ties were broken at random.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).

    Returns:
        Shares (n,) in [0, 1], float64; NaN where the region is empty or the map not finite.

    Raises:
        TypeError: If the region is not boolean.
        ValueError: If the shapes do not fit.

    Example:
        >>> relevance_rank(torch.tensor([[3.0, 1.0, 2.0, 2.0]]), torch.tensor([[True, False, True, False]]))
        tensor([0.7500], dtype=torch.float64)
    """
    require_region(scores, mask)
    size = mask.sum(dim=1)
    return torch.where(defined(scores, mask), hits(scores, mask, size) / size.clamp(min=1), torch.nan)


def hits(scores: Tensor, mask: Tensor, k: Tensor) -> Tensor:
    """How many of the k most relevant features lie in a region, those tied at the k-th place counted in part.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).
        k: How many features, for each sample (n,).

    Returns:
        Numbers (n,), float64.
    """
    scores = accurate(scores)
    mask, k = mask.to(scores.device), k.to(scores.device)
    place = (k - 1).clamp(min=0)[:, None]
    least = scores.sort(dim=1, descending=True).values.gather(1, place)
    above, tied = scores > least, scores == least
    fits = (k - above.sum(dim=1)).double() / tied.sum(dim=1).clamp(min=1)
    return (above & mask).sum(dim=1) + fits * (tied & mask).sum(dim=1)


@METRICS.register("relevance_rank")
class RelevanceRank(ShareMetric):
    """The share of the mask among the K most relevant features, divided by the mask's share of the area.

    K is the number of features in the mask. From 0 up, 1 is chance. Higher is better for an object,
    lower for an artefact.

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
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [RelevanceRank()]).explained[0]
        >>> round(explained.scores["relevance_rank"].mean, 3)
        4.0
    """

    default = True

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return relevance_rank(scores, mask)
