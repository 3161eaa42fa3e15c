"""Efficient model parameter randomisation: are maps of a random model more complex?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.settings import require_integer
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate


def histogram_entropy(values: Tensor, bins: int = 100) -> Tensor:
    r"""The entropy of each row's histogram, :math:`-\sum_b p_b \ln p_b`, of equal bins from its least to its greatest.

    Args:
        values: Numbers (n, D).
        bins: The number of bins; each includes its lower edge, the last one both.

    Returns:
        Entropies (n,) in [0, ln(bins)], float64: 0 where a row is constant, NaN where it is not finite.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> histogram_entropy(torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 3.0], [5.0, 5.0, 5.0, 5.0]]), bins=2)
        tensor([0.6931, 0.5623, 0.0000], dtype=torch.float64)
    """
    require_alike("(n, D)", values=values)
    values = accurate(values)
    least, span = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True) - values.amin(dim=1, keepdim=True)
    share = torch.where(span > 0, (values - least) / span, 0.0)
    finite = torch.isfinite(share).all(dim=1) & torch.isfinite(span[:, 0])
    bin_of = (share.nan_to_num() * bins).long().clamp(0, bins - 1)
    counts = values.new_zeros(len(values), bins).scatter_add_(1, bin_of, torch.ones_like(values))
    entropy: Tensor = torch.special.entr(counts / values.shape[1]).sum(dim=1)
    return entropy.masked_fill(~finite, torch.nan)


def relative_rise(original: Tensor, randomised: Tensor) -> Tensor:
    """How much greater a number is after randomisation, in units of what it was.

    Args:
        original: Numbers (n,) >= 0.
        randomised: Numbers (n,) >= 0.

    Returns:
        (randomised - original) / original, (n,), from -1 up; NaN where the original is 0.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> relative_rise(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 1.0]))
        tensor([0.5000, nan])
    """
    require_alike("(n,)", original=original, randomised=randomised)
    return torch.where(original > 0, (randomised - original) / original, torch.nan)


@METRICS.register("efficient_mprt")
class EfficientMPRT(AttributionMetric):
    r"""The relative rise of a map's complexity when all parameters of the model become random.

    .. math:: \frac{H(\phi_{\text{random}}) - H(\phi)}{H(\phi)}

    :math:`H` is the entropy of the histogram of the features' attributions. From -1 up; higher is better: what a model
    has learnt makes its explanations simpler. The random model, its maps, is that of ``mprt``, made once in a run. NaN
    where the entropy is 0: a constant map.

    A. Hedström et al.: Sanity Checks Revisited. arXiv:2401.06465, 2024.

    Args:
        bins: The number of bins of the histograms. At least 2.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``bins`` is less than 2.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [EfficientMPRT(bins=4)]).explained[0]
        >>> round(explained.scores["efficient_mprt"].mean, 3)
        -0.421
    """

    higher_is_better = True
    randomises = True
    plot_lower_bound = -1.0

    def __init__(self, bins: int = 100, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_integer("bins", bins, 2)
        self.bins = bins

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        if evaluation.randomised is None:
            raise ValueError("efficient_mprt needs the attributions of the model with random parameters.")
        maps = (evaluation.scores, evaluation.randomised.to(evaluation.scores.device))
        original, randomised = (histogram_entropy(scores, self.bins) for scores in maps)
        return relative_rise(original, randomised)
