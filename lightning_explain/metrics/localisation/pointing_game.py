"""The pointing game: does the most relevant feature lie in a region?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_number
from lightning_explain.metrics.localisation.region import ShareMetric, defined
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.shapes import require_region
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation


def pointing_game(scores: Tensor, mask: Tensor) -> Tensor:
    """Whether the feature with the highest attribution lies in a region.

    If several share the highest attribution, the share of them inside: the expected value if ties were broken at
    random. A constant map therefore scores the region's share of the area, chance.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).

    Returns:
        Hits (n,) in [0, 1], float64, 0 or 1 without ties; NaN where the region is empty or the map not finite.

    Raises:
        TypeError: If the region is not boolean.
        ValueError: If the shapes do not fit.

    Example:
        >>> scores = torch.tensor([[3.0, 1.0, 2.0], [2.0, 1.0, 2.0]])
        >>> pointing_game(scores, torch.tensor([[True, True, False]]).expand(2, 3))
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    require_region(scores, mask)
    scores = accurate(scores)
    mask = mask.to(scores.device)
    highest = scores == scores.amax(dim=1, keepdim=True)
    hits = (highest & mask).sum(dim=1).double() / highest.sum(dim=1).clamp(min=1)
    return hits.where(defined(scores, mask), torch.nan)


def dilated(region: Tensor, radius: float) -> Tensor:
    """All positions that are at most ``radius`` (Euclidean) from a region.

    Args:
        region: True inside, (n, positions...).
        radius: In positions; at least 0.

    Returns:
        Regions of the same shape.

    Example:
        >>> dilated(torch.tensor([[False, False, False, True, False]]), radius=1.5)
        tensor([[False, False,  True,  True,  True]])
    """
    # The squared distance to the region, one dimension after the other: the least of what is k positions off, plus k².
    squared = torch.zeros(region.shape, device=region.device).masked_fill(~region, torch.inf)
    for dim in range(1, region.ndim):
        side = region.shape[dim]
        nearest = squared.clone()
        for k in range(1, min(math.floor(radius), side - 1) + 1):
            for here, there in ((0, k), (k, 0)):
                part = nearest.narrow(dim, here, side - k)
                part.copy_(torch.minimum(part, squared.narrow(dim, there, side - k) + k * k))
        squared = nearest
    return squared <= radius**2


@METRICS.register("pointing_game")
class PointingGame(ShareMetric):
    """Whether the most relevant feature lies in the mask.

    In [0, 1], chance is the mask's share of the area: compare with random attributions, or ask for ``enrichment``.
    Higher is better for an object, lower for an artefact. It looks at a single feature of each map; the mean over the
    probe set is the accuracy of the pointing game.

    J. Zhang et al.: Top-down Neural Attention by Excitation Backprop. arXiv:1608.00507, 2016.

    Args:
        tolerance: How many positions (pixels) beside the mask still count. At least 0; the paper takes 15 for pictures
            of some 500 pixels.
        enrichment: Divide by the region's share of the area, what is tolerated included: 1 is chance.
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If the tolerance is negative.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> mask = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) >= 12
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0, mask=mask)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [PointingGame()]).explained[0]
        >>> round(explained.scores["pointing_game"].mean, 3)
        1.0
    """

    default = True

    def __init__(self, tolerance: float = 0, enrichment: bool = False, artefact: bool = False, **kwargs: Any) -> None:
        super().__init__(enrichment, artefact, **kwargs)
        require_number("tolerance", tolerance)
        if not tolerance >= 0:
            raise ValueError(f"The tolerance is a number of positions, at least 0, got {tolerance}.")
        self.tolerance = tolerance

    def region(self, mask: Tensor, evaluation: Evaluation | RandomEvaluation) -> Tensor:  # noqa: D102
        if not self.tolerance:
            return mask
        features = evaluation.perturbations.features
        parts = zip(mask.split(features.sizes, dim=1), features.positions, strict=True)
        grown = [dilated(part.reshape(-1, *dims), self.tolerance) for part, dims in parts]
        return torch.cat([part.reshape(len(mask), -1) for part in grown], dim=1)

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return pointing_game(scores, mask)
