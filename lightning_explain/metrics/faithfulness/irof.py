"""IROF: how much of the score is lost while segments of the picture go."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.regions import Partition, Segments
from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.perturbation import Course, Curve

LEAST = 0.1


def irof(curve: Curve, least: float = LEAST) -> Tensor:
    r"""The area over the relative curve, :math:`1 - \int_0^1 S(x^{(t)}) / S(x) \, dt` by the trapezoidal rule.

    Args:
        curve: The score while segments go, at the share of each sample's segments that is gone.
        least: How large the score of the whole sample has to be, a share of the curve's largest absolute value. A score
            that is hardly there, and rises a hundred times when something goes, has no share to lose either: its area
            would be a number without a bound, and the mean over samples that number.

    Returns:
        Areas (n,), at least 1 - 1 / ``least``, at most 1 for scores that are nowhere negative, and at least 0 where
        removals never raise the score; higher is better. NaN where the score of the whole sample is not positive, or
        too small.

    Example:
        >>> shares = torch.tensor([0.0, 0.5, 1.0])
        >>> irof(Curve(shares, torch.tensor([[0.8, 0.2, 0.0], [0.0, 0.1, 0.1]])))
        tensor([0.6250,    nan])
    """
    whole = curve.values[:, 0]
    enough = (whole > 0) & (whole >= least * curve.values.abs().amax(dim=1))
    return torch.where(enough, 1 - curve.area() / whole, torch.nan)


@METRICS.register("irof")
class IROF(AttributionMetric):
    """Iterative removal of features: the area over the score, relative to its start, while segments go.

    Superpixels of each picture go one by one, those of the highest mean attribution first. The area is divided by the
    number of each picture's own segments: 1 is the best, and 0 the score that does not fall. Higher is better. NaN for
    maps that order nothing, and for samples whose score is not positive or less than a tenth of what it becomes.

    L. Rieger, L. K. Hansen: IROF: a low resource evaluation metric for explanation methods. arXiv:2003.08747, 2020.

    Args:
        partition: What goes as one, each for a row, but the last; None: SLIC segments, which need scikit-image.
            ``Grid()`` needs nothing.
        fill: What takes the place of features, see :data:`~lightning_explain.attribution.fill.FILLS`. The paper has
            the mean color; that is a baseline of zeros for pictures normalised by the mean of the data set.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ImportError: If there is no scikit-image, and no other partition.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> from lightning_explain.attribution.regions import Grid
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [IROF(Grid())]).explained[0]
        >>> round(explained.scores["irof"].mean, 3)
        0.518
    """

    higher_is_better = True
    plot_upper_bound = 1.0
    yardstick = True

    def __init__(self, partition: Partition | None = None, fill: str = "baseline", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.course = Course(Segments() if partition is None else partition, fill=fill)

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 1.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        perturbations = evaluation.perturbations
        score = irof(evaluation.curve(perturbations.one_by_one(self.course)))
        # A single segment, as in a picture that is all noise: any map would have the same score.
        single = perturbations.regions(self.course.partition).filled.to(score.device) < 2
        return score.masked_fill(single, torch.nan)
