"""What scores that need a region share: is there one, is it somewhere, and which direction is better?"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.attribution.place import Layer, Place
from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation
from lightning_explain.metrics.metric import AttributionMetric
from lightning_explain.precision import accurate

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.probe import ProbeSet


class RegionMetric(AttributionMetric):
    """Base of the scores that need a region: higher is better for an object, lower for an artefact.

    Args:
        artefact: Whether the region is an artefact.
        kwargs: For :class:`torchmetrics.Metric`.
    """

    plot_lower_bound = 0.0
    yardstick = True

    def __init__(self, artefact: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.artefact = artefact

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """True for an object, False for an artefact."""
        return not self.artefact

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if probe.mask is None:
            return "the probe set has no mask; pass mask= to it"
        if isinstance(space, Layer):
            return f"{method.name}{space} lives at a layer, the mask at the input"
        return None

    def per_sample(self, evaluation: Evaluation | RandomEvaluation) -> Tensor:  # noqa: D102
        if evaluation.mask is None:
            raise ValueError(f"{self.name} needs a mask, and the probe set has none.")
        return self.inside(evaluation.scores, evaluation.mask.to(evaluation.scores.device))

    @abstractmethod
    def inside(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Score maps against regions.

        Args:
            scores: Attributions of the features (n, D).
            mask: The regions (n, D), True inside.

        Returns:
            Scores (n,), NaN where undefined.
        """


def defined(scores: Tensor, mask: Tensor) -> Tensor:
    """Whether a map can be compared with its region: it is finite, and the region is neither empty nor everything.

    Args:
        scores: Attributions of the features (n, D).
        mask: The regions (n, D).

    Returns:
        (n,), boolean.
    """
    return torch.isfinite(scores).all(dim=1) & mask.any(dim=1)


def area_share(mask: Tensor) -> Tensor:
    """The share of the features that lie in each region.

    Returns:
        Shares (n,), float64.
    """
    return accurate(mask).mean(dim=1)
