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
    from lightning_explain.attribution.target import Readout
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

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0 if self.artefact else 1.0

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        if probe.mask is None:
            return "the probe set has no mask; pass mask= to it"
        if isinstance(space, Layer):
            return f"{method.name}{space} lives at a layer, the mask at the input"
        return None

    def per_sample(self, evaluation: Evaluation | RandomEvaluation) -> Tensor:  # noqa: D102
        scores, mask = evaluation.scores, evaluation.mask
        if mask is None:
            raise ValueError(f"{self.name} needs a mask, and the probe set has none.")
        if mask.shape != scores.shape:
            raise ValueError(
                f"{self.name} needs a mask of the features, {tuple(scores.shape)} as the attributions, got"
                f" {tuple(mask.shape)}. Attributions of a layer have no mask, unless they are upsampled to the input."
            )
        return self.inside(scores, self.region(mask.to(scores.device), evaluation))

    def region(self, mask: Tensor, evaluation: Evaluation | RandomEvaluation) -> Tensor:
        """The region that counts, the mask itself unless a metric takes more.

        Args:
            mask: The probe set's mask (n, D), True inside.
            evaluation: What it belongs to.

        Returns:
            The regions (n, D), True inside.
        """
        return mask

    @abstractmethod
    def inside(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Score maps against regions.

        Args:
            scores: Attributions of the features (n, D).
            mask: The regions (n, D), True inside.

        Returns:
            Scores (n,), NaN where undefined.
        """


class ShareMetric(RegionMetric):
    """Base of the scores that are a share, whose chance level is the region's share of the area.

    Args:
        enrichment: Divide by the region's share of the area: 1 is chance, whatever the region's size.
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.
    """

    def __init__(self, enrichment: bool = True, artefact: bool = False, **kwargs: Any) -> None:
        super().__init__(artefact, **kwargs)
        self.enrichment = enrichment

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        # The best enrichment, all inside, is one over the area: another number for every sample.
        return None if self.enrichment and not self.artefact else super().perfect(readout)

    def inside(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        share = self.share(scores, mask)
        return share / area_share(mask) if self.enrichment else share

    @abstractmethod
    def share(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The share that lies in regions, before it is divided by anything.

        Args:
            scores: Attributions of the features (n, D).
            mask: The regions (n, D), True inside.

        Returns:
            Shares (n,) in [0, 1], NaN where undefined.
        """


def defined(scores: Tensor, mask: Tensor) -> Tensor:
    """Whether a map can be compared with its region: it is finite, and the region is not empty.

    Args:
        scores: Attributions of the features (n, D).
        mask: The regions (n, D).

    Returns:
        (n,), boolean.
    """
    finite = torch.isfinite(accurate(scores)).all(dim=1)
    return finite & mask.any(dim=1).to(finite.device)


def area_share(mask: Tensor) -> Tensor:
    """The share of the features that lie in each region.

    Returns:
        Shares (n,), float64.
    """
    return accurate(mask).mean(dim=1)
