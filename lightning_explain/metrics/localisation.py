"""Relevance in a region: is the model looking at the object, or at the watermark?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.place import Layer, Place
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.probe import ProbeSet


def relevance_mass(scores: Tensor, mask: Tensor) -> Tensor:
    """The share of the positive attribution that lies in a region.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).

    Returns:
        Shares (n,) in [0, 1], float64; NaN where nothing is positive or the map is not finite.

    Example:
        >>> relevance_mass(torch.tensor([[3.0, -5.0, 1.0]]), torch.tensor([[True, True, False]]))
        tensor([0.7500], dtype=torch.float64)
    """
    positive = accurate(scores).clamp(min=0)
    total = positive.sum(dim=1)
    share = (positive * mask.to(positive)).sum(dim=1) / total
    return torch.where((total > 0) & torch.isfinite(positive).all(dim=1), share, torch.nan)


def relevance_rank(scores: Tensor, mask: Tensor) -> Tensor:
    """The share of the region that is among the K most relevant features, K the region's size.

    Features tied at the K-th place count with the share of them that still fits: the expected value
    if ties were broken at random.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).

    Returns:
        Shares (n,) in [0, 1], float64; NaN where the region is empty or the map not finite.

    Example:
        >>> relevance_rank(torch.tensor([[3.0, 1.0, 2.0, 2.0]]), torch.tensor([[True, False, True, False]]))
        tensor([0.7500], dtype=torch.float64)
    """
    scores = accurate(scores)
    mask = mask.to(scores.device)
    size = mask.sum(dim=1)
    place = (size - 1).clamp(min=0)[:, None]
    least = scores.sort(dim=1, descending=True).values.gather(1, place)
    above, tied = scores > least, scores == least
    fits = (size - above.sum(dim=1)).double() / tied.sum(dim=1).clamp(min=1)
    inside = (above & mask).sum(dim=1) + fits * (tied & mask).sum(dim=1)
    defined = (size > 0) & torch.isfinite(scores).all(dim=1)
    return torch.where(defined, inside / size.clamp(min=1), torch.nan)


class RegionMetric(AttributionMetric):
    """Base of the scores that need a region.

    Args:
        enrichment: Divide by the region's share of the area: 1 is chance, whatever the region's size.
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.
    """

    plot_lower_bound = 0.0

    def __init__(self, enrichment: bool = True, artefact: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.enrichment, self.artefact = enrichment, artefact

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """True for an object, False for an artefact."""
        return not self.artefact

    @classmethod
    def missing(cls, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if probe.mask is None:
            return "the probe set has no mask; pass mask= to it"
        if isinstance(space, Layer):
            return f"{method.name}{space} lives at a layer, the mask at the input"
        return None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        if evaluation.mask is None:
            raise ValueError(f"{self.name} needs a mask, and the probe set has none.")
        share = self.share(evaluation.scores, evaluation.mask)
        if not self.enrichment:
            return share
        return share / accurate(evaluation.mask).mean(dim=1)

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The share of each sample's relevance in the region, before it is divided by the area's.

        Returns:
            Shares (n,).
        """
        raise NotImplementedError


@METRICS.register("relevance_mass")
class RelevanceMass(RegionMetric):
    """The share of the positive attribution that lies in the mask, divided by the mask's share of the area.

    From 0 up, 1 is chance. Higher is better for an object, lower for an artefact.

    L. Arras, A. Osman, W. Samek: CLEVR-XAI. arXiv:2003.07258, 2022.
    """

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return relevance_mass(scores, mask)


@METRICS.register("relevance_rank")
class RelevanceRank(RegionMetric):
    """The share of the mask among the K most relevant features, divided by the mask's share of the area.

    K is the number of features in the mask. From 0 up, 1 is chance. Higher is better for an object,
    lower for an artefact.

    L. Arras, A. Osman, W. Samek: CLEVR-XAI. arXiv:2003.07258, 2022.
    """

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return relevance_rank(scores, mask)
