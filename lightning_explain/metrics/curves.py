"""Deletion and insertion: what the score does while the most relevant features go, or come."""

import torch
from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric


def area_under_curve(curve: Tensor, shares: Tensor) -> Tensor:
    """The area under curves over [0, 1] by the trapezoidal rule.

    Args:
        curve: Values (n, points).
        shares: Where they stand, (points,), from 0 to 1.

    Returns:
        Areas (n,).

    Example:
        >>> area_under_curve(torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]]), torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.5000, 1.0000])
    """
    return torch.trapezoid(curve, shares.to(curve), dim=1)


@METRICS.register("deletion_auc")
class DeletionAUC(AttributionMetric):
    r"""Area under the score while features are replaced by the baseline, the most relevant first.

    In units of the score: the target's probability for a classifier, then in [0, 1]. Lower is better.
    It moves with the model's confidence: compare with the same score of a random attribution.

    V. Petsiuk, A. Das, K. Saenko: RISE. arXiv:1806.07421, 2018.
    """

    higher_is_better = False
    yardstick = True

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return area_under_curve(evaluation.curves[0], evaluation.perturbations.shares)


@METRICS.register("insertion_auc")
class InsertionAUC(AttributionMetric):
    r"""Area under the score while features are put into the baseline, the most relevant first.

    In units of the score: the target's probability for a classifier, then in [0, 1]. Higher is better.
    With the same baseline this is also the deletion curve with the least relevant first.

    V. Petsiuk, A. Das, K. Saenko: RISE. arXiv:1806.07421, 2018.
    """

    higher_is_better = True
    yardstick = True

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return area_under_curve(evaluation.curves[1], evaluation.perturbations.shares)


@METRICS.register("srg")
class SRG(AttributionMetric):
    r"""Symmetric relevance gain: insertion area minus deletion area. Higher is better, random gives about 0.

    The difference cancels most of what removing features does to any model.

    S. Bluecher, J. Vielhaben, N. Strodthoff: Decoupling Pixel Flipping and Occlusion Strategy for
    Consistent XAI Benchmarks. arXiv:2401.06654, 2024.
    """

    higher_is_better = True
    yardstick = True

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        deletion, insertion = evaluation.curves
        return area_under_curve(insertion - deletion, evaluation.perturbations.shares)
