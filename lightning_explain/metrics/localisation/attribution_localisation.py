"""Attribution localisation: the inside-total relevance ratio."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_explain.metrics.localisation.region import ShareMetric
from lightning_explain.metrics.localisation.relevance_mass import relevance_mass
from lightning_explain.metrics.metric import METRICS


@METRICS.register("attribution_localisation")
class AttributionLocalisation(ShareMetric):
    r"""The inside-total relevance ratio: how much of the positive attribution lies in the mask.

    .. math:: \mu = \frac{R_{in}}{R_{tot}}, \qquad \mu_w = \mu \cdot \frac{S_{tot}}{S_{in}}

    with :math:`R` sums of positive attributions and :math:`S` numbers of features. In [0, 1], chance is the mask's
    share of the area; weighted from 0 up, chance is 1. Higher is better for an object, lower for an artefact. With
    features that are pixels this is :class:`~lightning_explain.metrics.localisation.relevance_mass.RelevanceMass`
    under another name; the paper's default is the ratio, there it is the enrichment.

    M. Kohlbrenner et al.: Towards Best Practice in Explaining Neural Network Decisions with LRP.
    arXiv:1910.09840, 2020.

    Args:
        weighted: Divide by the mask's share of the area, the paper's :math:`\mu_w`: 1 is chance.
        artefact: Whether the region is an artefact: then lower is better.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> model[1].weight.data = torch.stack([torch.arange(16.0), torch.arange(16.0).flip(0)]) / 16
        >>> mask = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) >= 12
        >>> probe = ProbeSet.from_tensors(torch.ones(2, 1, 4, 4), target=0, mask=mask)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [AttributionLocalisation()]).explained[0]
        >>> round(explained.scores["attribution_localisation"].mean, 3)
        0.45
    """

    def __init__(self, weighted: bool = False, artefact: bool = False, **kwargs: Any) -> None:
        super().__init__(weighted, artefact, **kwargs)

    def share(self, scores: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        return relevance_mass(scores, mask)
