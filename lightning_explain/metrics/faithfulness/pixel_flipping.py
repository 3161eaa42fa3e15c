"""Pixel flipping: the mean score while the most relevant features go."""

from __future__ import annotations

from torch import Tensor

from lightning_explain.attribution.target import Readout
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.faithfulness.curves import CurveMetric
from lightning_explain.metrics.metric import METRICS
from lightning_explain.metrics.shapes import require_alike


def pixel_flipping(values: Tensor) -> Tensor:
    r"""The mean of the score over flips, :math:`\frac{1}{K} \sum_{k=1}^{K} S(x^{(k)})`.

    The score of the whole sample is left out: it is the same for every map.

    Args:
        values: :math:`S(x^{(0)}), \dots, S(x^{(K)})`, (n, K + 1).

    Returns:
        Means (n,), in units of the score; lower is better, NaN where a value is.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> pixel_flipping(torch.tensor([[1.0, 0.5, 0.25, 0.0]]))
        tensor([0.2500])
    """
    require_alike("(n, K + 1)", values=values)
    return values[:, 1:].mean(dim=1)


@METRICS.register("pixel_flipping")
class PixelFlipping(CurveMetric):
    """Mean of the score over the steps of removing features, the most relevant first. Lower is better.

    In units of the score: the target's probability for a classifier, then in [0, 1]. It reads the very curve of
    ``deletion_auc`` and costs nothing beside it.

    S. Bach et al.: On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation. PLoS ONE 10(7), doi:10.1371/journal.pone.0130140, 2015.

    Args:
        steps: See :class:`~lightning_explain.metrics.faithfulness.curves.CurveMetric`, as for the other arguments.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [PixelFlipping()]).explained[0]
        >>> round(explained.scores["pixel_flipping"].mean, 3)
        0.386
    """

    higher_is_better = False

    def perfect(self, readout: Readout) -> float | None:  # noqa: D102
        return 0.0 if readout == "probability" else None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        return pixel_flipping(evaluation.curve(self.course).values)
