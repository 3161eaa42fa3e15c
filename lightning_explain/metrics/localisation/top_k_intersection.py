"""Top-k intersection: how many of the most relevant features lie in a region?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.settings import require_number
from lightning_explain.inputs import is_continuous, leaves
from lightning_explain.metrics.localisation.region import ShareMetric, defined
from lightning_explain.metrics.localisation.relevance_rank import hits
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.shapes import require_region

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.attribution.target import Readout
    from lightning_explain.probe import ProbeSet


def top_k_intersection(scores: Tensor, mask: Tensor, k: int) -> Tensor:
    """The share of the k most relevant features that lies in a region.

    Features tied at the k-th place count with the share of them that still fits: the expected value if ties were
    broken at random.

    Args:
        scores: Attributions of features (n, D).
        mask: The region (n, D).
        k: How many features, from 1 to D.

    Returns:
        Shares (n,) in [0, 1], float64; NaN where the region is empty or the map not finite.

    Raises:
        TypeError: If the region is not boolean.
        ValueError: If there are no k features, or the shapes do not fit.

    Example:
        >>> top_k_intersection(torch.tensor([[4.0, 3.0, 2.0, 2.0]]), torch.tensor([[True, False, True, False]]), k=3)
        tensor([0.5000], dtype=torch.float64)
    """
    require_region(scores, mask)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must be from 1 to the number of features, {scores.shape[1]}, got {k}.")
    number = torch.full((len(scores),), k, device=scores.device)
    return (hits(scores, mask, number) / k).where(defined(scores, mask), torch.nan)


@METRICS.register("top_k_intersection")
class TopKIntersection(ShareMetric):
    """The share of the k most relevant features that lies in the mask.

    In [0, 1], chance is the mask's share of the area; it cannot reach 1 where the mask has fewer than k features.
    Higher is better for an object, lower for an artefact.

    J. Theiner, E. Müller-Budack, R. Ewerth: Interpretable Semantic Photo Geolocation. arXiv:2104.14995, 2021.

    Args:
        k: A share of the features (a float in (0, 1], at least one feature is taken), or how many (an integer). The
            default is what the paper's 1000 are of 224 x 224 pixels; a fixed number means something else at every
            resolution.
        enrichment: Divide by the mask's share of the area: the paper's concept influence, 1 is chance.
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If k is neither.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> mask = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) >= 12
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0, mask=mask)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [TopKIntersection(k=8)]).explained[0]
        >>> round(explained.scores["top_k_intersection"].mean, 3)
        0.5
    """

    def __init__(self, k: float = 0.02, enrichment: bool = False, artefact: bool = False, **kwargs: Any) -> None:
        super().__init__(enrichment, artefact, **kwargs)
        if not isinstance(k, bool):
            require_number("k", k)
        if isinstance(k, bool) or (k < 1 if isinstance(k, int) else not 0 < k <= 1):
            raise ValueError(f"k is a number of features (an integer from 1) or a share of them in (0, 1], got {k!r}.")
        self.k = k

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        # Where the mask has fewer than k features, the best is less than 1.
        return 0.0 if self.artefact else None

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        reason = super().missing(method, space, probe)
        if reason is None and isinstance(self.k, int):
            point = tuple(leaf for leaf in leaves(probe.inputs) if is_continuous(leaf)) or leaves(probe.inputs)
            count = FeatureSpace.of(point, space.channel_dim).count
            reason = f"k={self.k} features are asked for, the input has {count}" if self.k > count else None
        return reason

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        k = self.k if isinstance(self.k, int) else max(1, round(self.k * scores.shape[1]))
        return top_k_intersection(scores, mask, k)
